"""Items as they are read: an image named twice is one item, splits get one meaning, boxes are checked."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trunkline.core.types.dataset import Box
from trunkline.platform.data.formats.base import Item, Parsed
from trunkline.platform.data.formats.files import Folder, size_of
from trunkline.platform.data.formats.notes import Notes

DIGITS = 2
"""Boxes are kept to a hundredth of a pixel, as COCO and datumaro write them: every layout then gives back the same."""

_FARTHEST = 1e6  # pixels; a picture has 65,535 a side at most


def label_of(value: Any) -> str:
    """A label as text without spaces around it, in one Unicode form; "" for what cannot be one.

    File systems and tools differ in how they compose accents; without one form a class would fall in two.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return ""
    text = unicodedata.normalize("NFC", str(value)).strip()
    return text if text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text) else ""


def number(value: Any) -> float:
    """A number from outside; NaN for what is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


class Gathered:
    """What has been read of one source.

    Args:
        format: Name of the layout.
        root: The source's folder.

    Attributes:
        folder: Its files.
        notes: What was left out.
    """

    def __init__(self, format: str, root: Path) -> None:  # noqa: A002
        self.format = format
        self.notes = Notes()
        self.folder = Folder(root, self.notes)
        self._rows: dict[str, tuple[dict[str, None], dict[Box, None], set[str]]] = {}
        self._sizes: dict[str, tuple[int, int] | None] = {}
        self._declared: dict[str, tuple[float, float]] = {}

    def add(self, name: str, labels: Iterable[str] = (), boxes: Iterable[Box] = (), side: str = "") -> None:
        """Put one image in, or more about one that is in already.

        Args:
            name: Its path relative to the folder.
            labels: Labels of the whole image.
            boxes: Its boxes.
            side: "train", "val", "test" or "".
        """
        row = self._rows.setdefault(name, ({}, {}, set()))
        row[0].update(dict.fromkeys(labels))
        row[1].update(dict.fromkeys(boxes))
        if side:
            row[2].add(side)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def size(self, name: str) -> tuple[int, int] | None:
        """Width and height of an image, from its header; None when it cannot be read."""
        if name not in self._sizes:
            self._sizes[name] = size_of(self.folder.root / name)
        return self._sizes[name]

    def box(self, name: str, label: str, corners: Sequence[Any], declared: tuple[Any, Any] = (0, 0)) -> Box | None:
        """A box, or None, with a note, when it is none.

        Args:
            name: The image's path relative to the folder.
            label: The box's label.
            corners: x1, y1, x2, y2 in pixels, as they came.
            declared: Width and height as the labels say them. They are often wrong, so that a box outside them is held
                against the image's header.
        """
        width, height = map(number, declared)
        if 0 < width <= _FARTHEST and 0 < height <= _FARTHEST:
            self._declared.setdefault(name, (width, height))
        x1, y1, x2, y2 = (round(n, DIGITS) if math.isfinite(n) else n for n in map(number, corners))
        if not all(map(math.isfinite, (x1, y1, x2, y2))):
            reason = "not finite"
        elif max(map(abs, (x1, y1, x2, y2))) > _FARTHEST:
            reason = "absurdly large"
        elif x1 >= x2 or y1 >= y2:
            reason = "of no area"
        elif x2 <= 0 or y2 <= 0 or self._beyond(name, x1, y1, declared):
            reason = "outside the image"
        else:
            return Box(label, x1, y1, x2, y2)
        self.notes.add("bad-box", name, f"{label}: {reason}: {x1:g}, {y1:g}, {x2:g}, {y2:g}")
        return None

    def _beyond(self, name: str, x1: float, y1: float, declared: tuple[Any, Any]) -> bool:
        width, height = map(number, declared)
        if x1 < width and y1 < height:
            return False
        size = self.size(name)
        return size is not None and (x1 >= size[0] or y1 >= size[1])

    def parsed(self, label_space: Iterable[str] = ()) -> Parsed:
        """All that was gathered.

        "val" is taken for the training part where there is a test part, and for the test part where there is none.
        """
        test = any("test" in sides for _, _, sides in self._rows.values())
        meaning = {"train": "train", "test": "test", "val": "train" if test else "test"}
        items = []
        for name, (labels, boxes, sides) in self._rows.items():
            meant = {meaning[side] for side in sides}
            if len(meant) > 1:
                self.notes.add("split-conflict", name, "named in both")
            # Tested on what was learned from, a figure would be too good.
            split = "train" if "train" in meant else next(iter(meant), "")
            declared = self._declared.get(name, (0.0, 0.0))
            items.append(Item(self.folder.root / name, name, tuple(labels), tuple(boxes), split, declared))
        return Parsed(self.format, tuple(items), tuple(label_space), self.notes.findings())
