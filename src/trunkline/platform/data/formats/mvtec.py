"""MVTec AD: `train/good`, `test/good`, `test/DEFECT`. Masks in `ground_truth/` are not read.

Datumaro's `mvtec` importer is not used: without `ground_truth/`, which tests of presence do not need, it does not know
the folder (1.13.12).
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from trunkline.core.errors import DataError
from trunkline.core.types.dataset import Dataset
from trunkline.platform.data.formats.base import Parsed
from trunkline.platform.data.formats.files import Look, split_word
from trunkline.platform.data.formats.gather import Gathered, label_of
from trunkline.platform.data.formats.imagefolder import folder_only, one_label_no_box

GOOD = "good"


class Mvtec:
    """Labels are "good" and the names of the defects; splits are as brought."""

    def detect(self, look: Look) -> str:
        if _is_category(look, ""):
            return "train/ that holds nothing but good/, and test/"
        categories = [f"{name}/" for name in look.folders()]
        if len(categories) > 1 and all(_is_category(look, category) for category in categories):
            raise DataError(
                f"expected one category of MVTec AD, found {len(categories)} ({', '.join(look.folders()[:5])})",
                where=str(look.path),
                fix="name one of these folders; each category is a model of its own",
            )
        return ""

    def parse(self, path: Path) -> Parsed:
        top = folder_only(path, "mvtec").top
        gathered = Gathered("mvtec", path)
        for name in gathered.folder.images:
            parts = name.removeprefix(top).split("/")
            if name.startswith(top) and len(parts) > 2 and split_word(parts[0]):
                gathered.add(name, [label_of(parts[1])], side=split_word(parts[0]))
        return gathered.parsed()

    def lacks(self, dataset: Dataset) -> str:
        if missing := one_label_no_box(dataset):
            return missing
        if any(sample.split == "" or not sample.labels for sample in dataset.samples):
            return "images without a split or without a label"
        trained = {label for sample in dataset.split("train") for label in sample.labels}
        if trained != {GOOD} or not dataset.split("test"):
            return f"anything but {GOOD!r} in its training part, or no test part"
        return ""

    def place(self, split: str, labels: Sequence[str], name: str) -> str:
        return f"{split}/{labels[0]}/{posixpath.basename(name)}"

    def annotate(self, folder: Path, dataset: Dataset, places: Sequence[str]) -> None:
        """Nothing: the folders say it all."""


def _is_category(look: Look, below: str) -> bool:
    train = [name.casefold() for name in look.folders(f"{below}train/")]
    return train == [GOOD] and bool(look.folders(f"{below}test/"))
