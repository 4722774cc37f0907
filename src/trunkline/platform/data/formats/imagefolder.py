"""One folder a class, below folders named like splits or not; or a flat folder of images without a class.

Datumaro's `imagenet` importer is not used: one README beside the classes, and it does not know the folder (1.13.12).
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path

from trunkline.core.errors import DataError
from trunkline.core.types.dataset import Dataset
from trunkline.platform.data.formats.base import Parsed
from trunkline.platform.data.formats.files import NEUTRAL, Look, split_word
from trunkline.platform.data.formats.gather import Gathered, label_of


class ImageFolder:
    """The label is the first folder below the split's, however deep the image is, as in torchvision's ImageFolder."""

    def detect(self, look: Look) -> str:
        return "images in folders" if not look.file and look.images() else ""

    def parse(self, path: Path) -> Parsed:
        top = folder_only(path, "imagefolder").top
        gathered = Gathered("imagefolder", path)
        rows = [(name, name[len(top) :].split("/")) for name in gathered.folder.images if name.startswith(top)]
        firsts = {parts[0] for _, parts in rows if len(parts) > 1}
        flat = any(len(parts) == 1 for _, parts in rows)
        splits = bool(firsts) and not flat and all(map(split_word, firsts))
        plain = not flat and len(firsts) == 1 and next(iter(firsts)).casefold() in NEUTRAL
        for name, parts in rows:
            side = split_word(parts[0]) if splits else ""
            below = parts[1:] if splits or plain else parts
            gathered.add(name, [label_of(below[0])] if len(below) > 1 else (), side=side)
        return gathered.parsed()

    def lacks(self, dataset: Dataset) -> str:
        if missing := one_label_no_box(dataset):
            return missing
        sides = {sample.split for sample in dataset.samples}
        labels = {label for sample in dataset.samples for label in sample.labels}
        if len(sides) > 1 and "" in sides:
            return "images of which only some are in a split"
        if sides == {""} and all(sample.labels for sample in dataset.samples):
            if all(map(split_word, labels)):
                return f"classes that are all named like splits ({', '.join(sorted(labels))})"
            if len(labels) == 1 and next(iter(labels)).casefold() in NEUTRAL:
                return f"a single class of the name {next(iter(labels))!r}"
        return ""

    def place(self, split: str, labels: Sequence[str], name: str) -> str:
        return "/".join([*([split] if split else []), *labels, posixpath.basename(name)])

    def annotate(self, folder: Path, dataset: Dataset, places: Sequence[str]) -> None:
        """Nothing: the folders say it all."""


def folder_only(path: Path, layout: str) -> Look:
    """A look at a source that must be a folder.

    Raises:
        DataError: When it is a file.
    """
    look = Look(path)
    if look.file:
        raise DataError(f"expected a folder in the layout {layout}, got a file", where=str(path), fix="name its folder")
    return look


def one_label_no_box(dataset: Dataset) -> str:
    """What a layout of one folder a class has no place for."""
    boxes = sum(bool(sample.boxes) for sample in dataset.samples)
    several = sum(len(sample.labels) > 1 for sample in dataset.samples)
    bad = sorted({label for s in dataset.samples for label in s.labels if not _folder_name(label)})
    if boxes:
        return f"boxes ({boxes} images have some)"
    if several:
        return f"several labels on one image ({several} images have them)"
    return f"labels that no folder can be named after ({', '.join(map(repr, bad[:5]))})" if bad else ""


def _folder_name(label: str) -> bool:
    """Whether a folder of this name is read back as this label."""
    fits = label == label_of(label) and label[:1] not in ("", ".") and len(label.encode()) < 200
    return fits and "/" not in label and all(ord(c) >= 32 for c in label) and label != "__MACOSX"
