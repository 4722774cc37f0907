"""Handwritten digits that scikit-learn carries: 1,797 real 8x8 scans (E. Alpaydin, C. Kaynak, UCI, 1998)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.core.errors import DataError
from trunkline.platform.samples.base import Picture, Progress, SampleSet, package_file, publish
from trunkline.platform.samples.cut import Row, classes, images_of, listed, one_or_not, table
from trunkline.platform.samples.mosaics import mosaics

if TYPE_CHECKING:
    import numpy as np

    from trunkline.core.types.scenario import Scenario

_RECIPE = 1
_SCALE = 8  # 8x8 to 64x64 by repeating pixels: the scans stay as crisp as they are
_QUADS = 160
_SOURCE = "scikit-learn's digits: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998"
_LICENCE = "CC-BY-4.0"
_PAIRS = (("1", "7"), ("3", "8"), ("4", "9"), ("5", "6"), ("2", "3"), ("8", "9"))  # those most often mistaken


class Digits:
    """scikit-learn's digits, a folder a digit, and squares of four digits for several labels at once."""

    def collect(self, into: Path, progress: Progress | None = None) -> list[SampleSet]:
        """Write the scans as PNG images.

        Raises:
            MissingExtraError: When scikit-learn is not installed.
            DataError: When its file of digits is not what it was.
        """
        path = package_file("sklearn", "datasets/data/digits.csv.gz", "samples", "the sample 'digits'")
        root = into / "digits"
        lists: dict[str, str] = {}

        def pictures() -> Iterator[Picture]:
            scans, labels = read(path)
            for number, (scan, label) in enumerate(zip(scans, labels, strict=True)):
                yield f"digits/{label}/{number:04}.png", scan
            # The last scans of each digit, which the other scenarios leave alone.
            late = {str(d): [s for s, label in zip(scans, labels, strict=True) if label == d][-64:] for d in range(10)}
            rows = []
            for number, (pixels, names) in enumerate(mosaics(late, _QUADS)):
                name = f"digit-quads/{number:04}.png"
                rows.append(Row(name, names))
                yield name, pixels
            lists["digit-quads.csv"] = table(rows)

        counts = publish(root, _RECIPE, pictures, total=1797 + _QUADS, texts=lambda: lists, progress=progress)
        quads = f"squares of four scans each, put together by Trunkline from {_SOURCE}"
        return [
            SampleSet("digits", "classify", root / "digits", counts["digits"], _LICENCE, _SOURCE, "digits"),
            SampleSet("digit-quads", "multilabel", root / "digit-quads.csv", counts["digit-quads"], _LICENCE, quads,
                      "digits"),
        ]  # fmt: skip

    def scenarios(self, sets: Sequence[SampleSet]) -> list[Scenario]:
        """Every digit against the rest, the pairs that are mistaken most, all ten, and four at once."""
        by_name = {s.name: s for s in sets}
        found: list[Scenario] = []
        if digits := by_name.get("digits"):
            found = [one_or_not(digits, f"digit-{d}-or-not", d, 70, 140) for d in images_of(digits)]
            found += [classes(digits, f"digit-{a}-or-{b}", (a, b), 70) for a, b in _PAIRS]
            found.append(classes(digits, "digits-all-ten", [str(d) for d in range(10)], 40))
        if quads := by_name.get("digit-quads"):
            found.append(whole(quads, "which-digits-of-four"))
        return found


def whole(sample: SampleSet, name: str) -> Scenario:
    """The scenario on all images of a set that is a CSV list with several labels an image."""
    import csv

    with sample.path.open(newline="", encoding="utf-8") as stream:
        rows = [Row(row["path"], tuple(row["label"].split(";"))) for row in csv.DictReader(stream)]
    return listed(sample, name, "multilabel", rows)


def read(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """Scans, uint8 of shape (64, 64), dark ink on white, and what each one is.

    Raises:
        DataError: When the file does not hold 1,797 rows of 64 values from 0 to 16 and a digit.
    """
    import gzip

    import numpy as np

    try:
        with gzip.open(path, "rt", encoding="ascii") as stream:
            values = np.loadtxt(stream, delimiter=",")
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"expected a table of digits: {error}", where=path.name) from error
    if values.shape != (1797, 65) or values[:, :64].min() < 0 or values[:, :64].max() > 16:
        raise DataError(
            f"expected 1,797 rows of 64 values from 0 to 16 and a digit, got {values.shape}", where=path.name
        )
    ink = np.round(255 * (1 - values[:, :64] / 16)).astype(np.uint8).reshape(-1, 8, 8)
    crisp = ink.repeat(_SCALE, axis=1).repeat(_SCALE, axis=2)
    return list(crisp), [int(label) for label in values[:, 64]]
