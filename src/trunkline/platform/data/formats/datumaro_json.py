"""Datumaro's own JSON, read and written by datumaro."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trunkline.core.errors import DataError
from trunkline.core.types.dataset import Box, Dataset
from trunkline.platform.data.formats.base import Parsed
from trunkline.platform.data.formats.coco import enclosing
from trunkline.platform.data.formats.files import Look, split_word
from trunkline.platform.data.formats.gather import Gathered, label_of
from trunkline.platform.data.formats.imagefolder import folder_only
from trunkline.platform.data.formats.notes import shown

_KEYS = re.compile(r'"dm_format_version"|"categories"\s*:\s*\{')
_BOXED = ("bbox", "polygon")
_MAX_BYTES = 1 << 30


class DatumaroJson:
    """`annotations/SPLIT.json` and `images/SPLIT/`."""

    def detect(self, look: Look) -> str:
        return next((name or "JSON with items" for name, head in look.jsons() if _KEYS.search(head)), "")

    def parse(self, path: Path) -> Parsed:
        look = folder_only(path, "datumaro")
        names = [look.top + name for name, head in look.jsons() if "/" in name and _KEYS.search(head)]
        if not names:
            raise DataError(
                "expected datumaro's JSON in annotations/, found none",
                where=str(path),
                fix="name the folder that holds annotations/ and images/",
            )
        gathered = Gathered("datumaro", path)
        labels: list[str] = []
        for name in names:
            labels += _take(gathered, name)
        return gathered.parsed(labels)

    def lacks(self, dataset: Dataset) -> str:
        return ""

    def place(self, split: str, labels: Sequence[str], name: str) -> str:
        return f"images/{split or 'default'}/{name}"

    def annotate(self, folder: Path, dataset: Dataset, places: Sequence[str]) -> None:
        from trunkline.platform.data.formats.with_datumaro import write

        write(folder, "datumaro", dataset, [place.split("/", 2)[2] for place in places])


def _take(gathered: Gathered, name: str) -> list[str]:
    """Put the images of one JSON into what is gathered, and return the labels that it names."""
    from trunkline.platform.data.formats.with_datumaro import read

    file = gathered.folder.root / name
    if file.stat().st_size > _MAX_BYTES:
        raise DataError(f"expected JSON of at most {_MAX_BYTES >> 20} MB", where=str(file))

    def report(item: str, why: str) -> None:
        outside = "escapes base directory" in why or "parent directory" in why  # datumaro's words
        gathered.notes.add("outside-path" if outside else "bad-annotation", item, why)

    items, names = read(file, "datumaro", report)
    space = [label_of(label) for label in names]
    side = split_word(posixpath.splitext(posixpath.basename(name))[0])
    for item in items:
        if found := _image(gathered, item):
            labels, boxes = _marks(gathered, found, item, space)
            gathered.add(found, labels, boxes, side)
    return [label for label in space if label]


def _image(gathered: Gathered, item: Any) -> str | None:
    """The image's path relative to the source's folder, or None, with a note."""
    path = getattr(item.media, "path", None)
    if not isinstance(path, str) or not path:
        gathered.notes.add("bad-annotation", str(item.id), "an item without an image")
        return None
    folder = gathered.folder
    name = os.path.relpath(path, folder.root)
    if name in folder.files:
        return name
    if name.startswith(".."):
        gathered.notes.add("outside-path", str(item.id), "leaves the source's folder; name files relative to it")
    else:
        folder.missing(name, "named by an item")
    return None


def _marks(gathered: Gathered, name: str, item: Any, space: Sequence[str]) -> tuple[list[str], list[Box]]:
    """Labels of the whole image, and boxes. Masks and other shapes say only that their label is in the image."""
    labels, boxes = [], []
    for mark in item.annotations:
        kind = mark.type.name
        if kind == "caption":
            continue
        number = getattr(mark, "label", None)
        if not isinstance(number, int) or not 0 <= number < len(space) or not space[number]:
            gathered.notes.add("unknown-label", name, f"label_id {shown(number)} of {len(space)} labels")
        elif kind in _BOXED and len(mark.points) >= 4:
            boxes.append(gathered.box(name, space[number], enclosing(mark.points)))
        else:
            labels.append(space[number])
    return labels, [box for box in boxes if box]
