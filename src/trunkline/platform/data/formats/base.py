"""What every layout is: it can be told from a folder's structure, read, and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from trunkline.core.types.dataset import SPLITS, Box, Dataset, Finding

if TYPE_CHECKING:
    from trunkline.platform.data.formats.files import Look


@dataclass(frozen=True, slots=True)
class Item:
    """One image file with what a layout says about it; nothing of the file itself has been read yet.

    Attributes:
        path: The file.
        name: Where it is, relative to the source, with "/"; for people.
        labels: Labels of the whole image, sorted, without repeats.
        boxes: Boxes in pixels, to a hundredth; an edge may lie outside the image.
        split: "train", "test", or "" when the layout brings none.
        declared: Width and height that the labels say the image has; (0, 0) when they do not say it.
    """

    path: Path
    name: str
    labels: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    split: str = ""
    declared: tuple[float, float] = field(default=(0.0, 0.0), compare=False)

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"expected a split of {SPLITS}, got {self.split!r}")
        object.__setattr__(self, "labels", tuple(sorted(set(self.labels))))


@dataclass(frozen=True, slots=True)
class Parsed:
    """A source as its layout tells it.

    Attributes:
        format: Name of the layout.
        items: The images, each once, in a stable order.
        label_space: All labels that the layout names, also those that no image has, sorted.
        findings: What was left out, and why.
    """

    format: str
    items: tuple[Item, ...]
    label_space: tuple[str, ...]
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        seen = {label for item in self.items for label in (*item.labels, *(box.label for box in item.boxes))}
        object.__setattr__(self, "label_space", tuple(sorted(seen | set(self.label_space))))


def space_of(dataset: Dataset) -> list[str]:
    """All labels of a data set, those of boxes too, sorted."""
    return sorted({*dataset.labels, *(box.label for sample in dataset.samples for box in sample.boxes)})


class Format(Protocol):
    """A layout of images and labels on disk; a class without arguments.

    Reading and writing are each other's inverse: what `lacks` lets through comes back from `parse` with the same
    images, labels, boxes and splits.
    """

    def detect(self, look: Look) -> str:
        """What in a folder or file speaks for this layout, for people ("annotations/ with .xml files"); empty when
        nothing does. Looks at names and at the first kilobytes of a few files only.
        """

    def parse(self, path: Path) -> Parsed:
        """Read a folder or file.

        Raises:
            DataError: When it cannot be read as this layout, with what was expected and what to do.
        """

    def lacks(self, dataset: Dataset) -> str:
        """What of a data set this layout has no place for, for people; empty when it can hold it all."""

    def place(self, split: str, labels: Sequence[str], name: str) -> str:
        """Where an exported image goes, relative to the folder.

        Args:
            split: "train", "test" or "".
            labels: Labels of the whole image.
            name: A safe relative path; no two of an export have the same, whatever their endings and their case.
        """

    def annotate(self, folder: Path, dataset: Dataset, places: Sequence[str]) -> None:
        """Write all that is not an image into a folder that holds the images already.

        Args:
            folder: The folder that is being written.
            dataset: What `lacks` let through.
            places: For each sample, where `place` put it.
        """
