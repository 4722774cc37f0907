"""COCO: JSON with images, categories and annotations; written by datumaro, read here.

Datumaro's `coco` importer is not used. Of what real exports hold, it (1.13.12) gives the category of id 0 no label, and
many tools count from 0; it leaves out a box without `iscrowd`; and `a.png` beside `a.jpg` stops the whole import.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trunkline.core.errors import DataError
from trunkline.core.types.dataset import Dataset
from trunkline.platform.data.formats.base import Parsed
from trunkline.platform.data.formats.files import Look, read_bounded, split_word
from trunkline.platform.data.formats.gather import Gathered, label_of, number
from trunkline.platform.data.formats.notes import shown

_KEYS = re.compile(r'"(?:images|categories)"\s*:\s*\[|"image_id"\s*:')
_MAX_BYTES = 1 << 30
_LABELLED = ("instances", "labels")
"""Tasks of COCO that say what is in an image; beside them, captions, keypoints and the like are passed over."""


class Coco:
    """`annotations/*.json`, or JSON beside the images or in folders named like splits.

    An annotation with neither a box nor a polygon is a label of the whole image; datumaro keeps such annotations in
    `labels_*.json`.
    """

    def detect(self, look: Look) -> str:
        return next((name or "JSON with images" for name, head in look.jsons() if _KEYS.search(head)), "")

    def parse(self, path: Path) -> Parsed:
        look = Look(path)
        gathered = Gathered("coco", path.parent if look.file else path)
        labels: list[str] = []
        for name in _chosen(look, path):
            labels += _Json(gathered, look.top, name).take()
        for name in gathered.folder.images:
            if name not in gathered and not look.file:
                gathered.notes.add("not-listed", name, "named by no annotation file")
        return gathered.parsed(labels)

    def lacks(self, dataset: Dataset) -> str:
        return ""

    def place(self, split: str, labels: Sequence[str], name: str) -> str:
        return f"images/{split or 'default'}/{name}"

    def annotate(self, folder: Path, dataset: Dataset, places: Sequence[str]) -> None:
        from trunkline.platform.data.formats.with_datumaro import write

        tasks = ["labels"] if any(sample.labels for sample in dataset.samples) else []
        if not tasks or any(sample.boxes for sample in dataset.samples):
            tasks.append("instances")
        names = [place.split("/", 2)[2] for place in places]
        write(folder, "coco", dataset, names, tasks=tasks, reindex=True)


def _chosen(look: Look, path: Path) -> list[str]:
    """Paths of the annotation files, relative to the source's folder."""
    if look.file:
        return [path.name]
    found = [name for name, head in look.jsons() if _KEYS.search(head)]
    named = [name for name in found if posixpath.basename(name).startswith(_LABELLED)]
    if not found:
        raise DataError(
            "expected COCO's JSON in annotations/ or beside the images, found none",
            where=str(path),
            fix="put instances_train.json and the like into annotations/, or name the JSON file itself",
        )
    return [look.top + name for name in named or found]


class _Json:
    """One annotation file.

    Args:
        gathered: Where its images go.
        top: Folder that the layout begins in, relative to the source's.
        name: The file, relative to the source's folder.
    """

    def __init__(self, gathered: Gathered, top: str, name: str) -> None:
        self.gathered = gathered
        self.file = gathered.folder.root / name
        self.name = name
        stem = posixpath.splitext(posixpath.basename(name))[0]
        subset = re.sub(r"^[a-z]+_", "", stem)
        parent = posixpath.dirname(name)
        here = f"{parent}/" if parent else ""
        words = [*re.split(r"[_.\s-]+", stem), posixpath.basename(parent)]
        self.side = next((side for word in words if (side := split_word(word))), "")
        self.bases = [f"{top}images/{subset}/", f"{top}images/", top, f"{top}{subset}/", here, f"{here}images/"]
        self.categories: dict[int | str, str] = {}

    def take(self) -> list[str]:
        """Put its images into what is gathered.

        Returns:
            The labels that it names.

        Raises:
            DataError: When it is not JSON, or not COCO's.
        """
        data = read_json(self.file)
        images, annotations, categories = (self._list(data, key) for key in ("images", "annotations", "categories"))
        for row in categories:
            label, key = label_of(row.get("name")), _key(row.get("id"))
            if label and key is not None:
                self.categories.setdefault(key, label)
            else:
                self._note("bad-annotation", "a category without a name or an id")
        known = {}
        for row in images:
            key = _key(row.get("id"))
            known[key] = (self._find(row.get("file_name")), row)
            if found := known[key][0]:
                self.gathered.add(found, side=self.side)
        for row in annotations:
            key = _key(row.get("image_id"))
            if key is None or key not in known:
                self._note("bad-annotation", f"of an image that is not listed (image_id {shown(row.get('image_id'))})")
            elif name := known[key][0]:
                self._annotation(name, row, known[key][1])
        return list(self.categories.values())

    def _list(self, data: Any, key: str) -> list[dict[str, Any]]:
        rows = data.get(key) if isinstance(data, dict) else None
        if not isinstance(rows, list):
            got = type(rows if isinstance(data, dict) else data).__name__
            raise DataError(f"expected COCO's JSON with a list {key!r}, got {got}", where=str(self.file))
        bad = sum(not isinstance(row, dict) for row in rows)
        if bad:
            self._note("bad-annotation", f"{bad} entries of {key!r} are no objects")
        return [row for row in rows if isinstance(row, dict)] if bad else rows

    def _note(self, kind: str, reason: str) -> None:
        self.gathered.notes.add(kind, self.name, reason)

    def _find(self, name: Any) -> str | None:
        """The image's path relative to the source's folder, or None, with a note."""
        if not isinstance(name, str) or not name:
            self._note("bad-annotation", "an image without a file_name")
            return None
        folder = self.gathered.folder
        if folder.relative(name) is None:
            return None
        for base in self.bases:
            made = posixpath.normpath(base + name)
            if made not in folder.files:
                made = posixpath.normpath(base + name.replace("\\", "/"))
            if made in folder.files:
                self.bases.remove(base)  # most images are where the one before was
                self.bases.insert(0, base)
                return made
        folder.missing(name, f"named in {self.name}")
        return None

    def _annotation(self, name: str, row: dict[str, Any], image: dict[str, Any]) -> None:
        label = self.categories.get(_key(row.get("category_id")))  # type: ignore[arg-type]
        if label is None:
            known = ", ".join(map(str, list(self.categories)[:8]))
            reason = f"category_id {shown(row.get('category_id'))}; defined: {known}"
            self.gathered.notes.add("unknown-label", name, reason)
            return
        corners = _corners(row)
        if corners is None:
            self.gathered.add(name, [label])
            return
        declared = (image.get("width"), image.get("height"))
        if max(map(abs, corners)) <= 1 and corners[0] < corners[2]:  # no box of pixels is that small
            sides = self.gathered.size(name) or (1, 1)
            corners, declared = [value * sides[at % 2] for at, value in enumerate(corners)], sides
            self.gathered.notes.add("wrong-units", name, f"{label}: COCO's boxes are in pixels, these are shares")
        box = self.gathered.box(name, label, corners, declared)
        if box:
            self.gathered.add(name, boxes=[box])


def _corners(row: dict[str, Any]) -> Sequence[float] | None:
    """x1, y1, x2, y2 of an annotation's box, else of its polygons; None when it has neither."""
    box = row.get("bbox")
    if isinstance(box, list) and box:
        x, y, width, height = map(number, (box + [None] * 4)[:4])
        return x, y, x + width, y + height
    polygons = row.get("segmentation")
    if not isinstance(polygons, list):
        return None
    points = [number(value) for polygon in polygons if isinstance(polygon, list) for value in polygon]
    return enclosing(points) if points else None


def enclosing(points: Sequence[float]) -> Sequence[float]:
    """x1, y1, x2, y2 round points given as x, y, x, y, ...; not finite when one of them is not."""
    if any(map(math.isnan, points)):
        return [math.nan] * 4
    return min(points[::2]), min(points[1::2], default=0.0), max(points[::2]), max(points[1::2], default=0.0)


def _key(value: Any) -> int | str | None:
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def read_json(file: Path) -> Any:
    """JSON from outside, of bounded size and depth. NaN is taken, which some tools write.

    Raises:
        DataError: When it is too large, nested too deep or not JSON.
    """
    data = read_bounded(file, _MAX_BYTES, "a JSON file")
    try:
        return json.loads(data)
    except RecursionError as error:
        raise DataError("expected flat JSON, got it nested too deep", where=str(file)) from error
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}", where=f"{file}:{error.lineno}:{error.colno}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"not JSON: {str(error)[:200]}", where=str(file), fix="save the file as UTF-8") from error
    except ValueError as error:  # the one that is left
        raise DataError(
            f"expected numbers of at most {sys.get_int_max_str_digits():,} digits, got a longer one",
            where=str(file),
            fix="mend the number, or export the file again from where it is from",
        ) from error
