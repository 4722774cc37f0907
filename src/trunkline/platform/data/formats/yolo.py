"""YOLO: one `.txt` an image with normalised boxes, names of the classes in `data.yaml`; folders as in Ultralytics.

Datumaro's `yolo` importers are not used: with a gap in `names: {0: a, 2: b}` class 2 has no name for them (1.13.12), a
line with a polygon costs the whole image, and their exporter wants both a train and a val part.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trunkline.core.errors import DataError
from trunkline.core.types.dataset import Box, Dataset, Sample
from trunkline.platform.data.formats.base import Parsed, space_of
from trunkline.platform.data.formats.coco import enclosing
from trunkline.platform.data.formats.files import Folder, Look, read_bounded, split_word, stem_of
from trunkline.platform.data.formats.gather import Gathered, label_of, number
from trunkline.platform.data.formats.notes import shown

_YAML = (".yaml", ".yml")
_NAMES = ("classes.txt", "obj.names")
_MAX_BYTES = 16 << 20
_NO_SHARE = 2.0  # the middle or the side of a box, as a share of its image, is never as much
_FIX = "write data.yaml with `names: [scratch, dent]`, in the order of the numbers in labels/"


class Yolo:
    """`images/` and `labels/` (also `images/train` or `train/images`), or `.txt` beside the images."""

    def detect(self, look: Look) -> str:
        if look.file:
            return "YAML with names" if look.path.suffix.lower() in _YAML and _has_names(look.path) else ""
        for name in look.files():
            if name.lower().endswith(_YAML) and _has_names(look.path / look.top / name):
                return name
        places = [
            *look.named("labels"),
            *(place for side in look.sides() for place in look.named("labels", below=side)),
        ]
        return next((f"{place} with .txt files" for place in places if look.having(".txt", place)), "")

    def parse(self, path: Path) -> Parsed:
        look = Look(path)
        gathered = Gathered("yolo", path.parent if look.file else path)
        config = _config(gathered.folder, path.name if look.file else _yaml(look))
        names = config["names"]
        images = gathered.folder.images
        images = [name for name in images if "images" in name.split("/")[:-1]] or images
        listed = _listed(gathered.folder, config, images)
        used = set()
        for image in images:
            text = next((label for label in _labels_of(image) if label in gathered.folder.files), None)
            used.add(text)
            try:
                boxes = list(_boxes(gathered, image, text, names, pose="kpt_shape" in config)) if text else []
            except DataError as error:
                gathered.notes.add("unread-labels", text or image, error.message)
                continue
            side = next(filter(None, map(split_word, image.split("/")[:-1])), "") or listed.get(image, "")
            gathered.add(image, (), boxes, side)
        for name in gathered.folder.files:
            *folders, base = name.split("/")
            if base.endswith(".txt") and base not in _NAMES and "labels" in folders and name not in used:
                gathered.folder.missing(stem_of(name), f"the image of {name}")
        return gathered.parsed(names.values())

    def lacks(self, dataset: Dataset) -> str:
        labelled = sum(bool(sample.labels) for sample in dataset.samples)
        if labelled:
            return f"labels of a whole image ({labelled} images have some)"
        return "" if space_of(dataset) else "a data set without a single label"

    def place(self, split: str, labels: Sequence[str], name: str) -> str:
        return "/".join(["images", *([split] if split else []), name])

    def annotate(self, folder: Path, dataset: Dataset, places: Sequence[str]) -> None:
        import yaml

        space = space_of(dataset)
        index = {label: number for number, label in enumerate(space)}
        for sample, place in zip(dataset.samples, places, strict=True):
            if sample.boxes:
                file = folder / next(_labels_of(place))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text("".join(_line(sample, box, index[box.label]) for box in sample.boxes), encoding="utf-8")
        sides = {sample.split for sample in dataset.samples}
        train = "images/train" if "train" in sides else "images"
        test = "images/test" if "test" in sides else train
        # Ultralytics wants both train and val.
        config = {"train": train, "val": test, "test": test, "names": dict(enumerate(space))}
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        (folder / "data.yaml").write_text(text, encoding="utf-8")


def _has_names(path: Path) -> bool:
    with path.open("rb") as stream:
        head = stream.read(64 << 10)
    return head.startswith(b"names:") or b"\nnames:" in head


def _yaml(look: Look) -> str:
    """The YAML with the names, relative to the source's folder; "" when there is none."""
    names = [name for name in look.files() if name.lower().endswith(_YAML)]
    return next((look.top + name for name in names if _has_names(look.path / look.top / name)), "")


def _config(folder: Folder, name: str) -> dict[str, Any]:
    """What the YAML says, with `names` as number -> label.

    Raises:
        DataError: When no names are found, or they are not what they should be.
    """
    import yaml

    if not name:
        return {"names": _plain_names(folder), "base": ""}
    file = folder.root / name
    try:
        config = yaml.safe_load(read_bounded(file, 1 << 20, "a YAML file"))
    except (yaml.YAMLError, RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"not YAML: {str(error)[:200]}", where=str(file)) from error
    names = config.get("names") if isinstance(config, dict) else None
    rows = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(rows, dict) or not rows:
        raise DataError(
            f"expected `names`, a list or numbers with names, got {shown(names)}", where=str(file), fix=_FIX
        )
    made = {}
    for key, value in rows.items():
        label = label_of(value)
        if not str(key).isdecimal() or not label:
            raise DataError(
                f"expected a number and a name, got {shown(key)}: {shown(value)}", where=f"{file}: names", fix=_FIX
            )
        made[int(key)] = label
    return {**config, "names": made, "base": posixpath.dirname(name)}


def _plain_names(folder: Folder) -> dict[int, str]:
    """Names from a plain list, one a line, as LabelImg and Darknet write it."""
    found = [name for name in folder.files if posixpath.basename(name) in _NAMES]
    if not found:
        raise DataError("expected the names of the classes, found no data.yaml", where=str(folder.root), fix=_FIX)
    text = read_bounded(folder.root / found[0], 1 << 20, "a list of names").decode("utf-8", "replace")
    return {number: label for number, line in enumerate(text.splitlines()) if (label := label_of(line))}


def _labels_of(image: str) -> Iterator[str]:
    """Where an image's labels may be: the last folder "images" turned into "labels", or beside the image."""
    stem = f"/{stem_of(image)}.txt"
    before, mark, after = stem.rpartition("/images/")
    if mark:
        yield f"{before}/labels/{after}"[1:]
    yield stem[1:]


def _listed(folder: Folder, config: dict[str, Any], images: Sequence[str]) -> dict[str, str]:
    """Image -> "train", "val" or "test", by the YAML, where it gives a folder or list to one of them only."""
    places: dict[str, set[str]] = {}
    for side in ("train", "val", "test"):
        given = config.get(side)
        for place in given if isinstance(given, list) else [given]:
            if isinstance(place, str) and place:
                # Exports often say "../train/images" and mean the folder beside the YAML.
                places.setdefault(posixpath.normpath(place.replace("\\", "/").removeprefix("../")), set()).add(side)
    listed = {}
    for place, sides in places.items():
        name = posixpath.normpath(posixpath.join(config["base"], place))
        if len(sides) > 1:
            continue
        inside = {image for image in images if image.startswith(f"{name}/")}
        if name in folder.files and name.endswith(".txt"):
            text = read_bounded(folder.root / name, _MAX_BYTES, "a list of images").decode("utf-8", "replace")
            inside = {posixpath.normpath(posixpath.join(posixpath.dirname(name), line)) for line in text.splitlines()}
        listed.update(dict.fromkeys(inside, next(iter(sides))))
    return listed


def _boxes(gathered: Gathered, image: str, file: str, names: dict[int, str], *, pose: bool) -> Iterator[Box]:
    text = read_bounded(gathered.folder.root / file, _MAX_BYTES, "a file of labels").decode("utf-8", "replace")
    lines = [(at, line.split()) for at, line in enumerate(text.splitlines(), 1) if line.strip()]
    size = gathered.size(image) if lines else None
    for at, fields in lines if size else []:
        values = [number(field) for field in fields]
        if not values[0].is_integer() or len(values) < 5:
            gathered.notes.add("bad-annotation", f"{file}:{at}", "expected a class and 4 numbers, or a polygon")
            continue
        label = names.get(int(values[0]))
        if label is None:
            gathered.notes.add("unknown-label", f"{file}:{at}", f"class {fields[0]:.40} has no name in data.yaml")
            continue
        sides = size or (0, 0)
        if _NO_SHARE < max(values[1:5]) < math.inf:
            gathered.notes.add("wrong-units", f"{file}:{at}", "YOLO's boxes are shares of the image, these are pixels")
            sides = (1, 1)
        box = gathered.box(image, label, _corners(values[1:], sides, pose), size or (0, 0))
        if box:
            yield box


def _corners(values: Sequence[float], size: tuple[int, int], pose: bool) -> Sequence[float]:
    """x1, y1, x2, y2 in pixels: of a box and, it may be, a score or key points; else of a polygon."""
    if len(values) < 6 or pose:
        x, y, width, height = values[:4]
        values = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    scaled = [value * size[at % 2] for at, value in enumerate(values)]
    return scaled if len(scaled) == 4 else enclosing(scaled)


def _line(sample: Sample, box: Box, index: int) -> str:
    width, height = sample.width, sample.height
    values = ((box.x1 + box.x2) / 2 / width, (box.y1 + box.y2) / 2 / height)
    sides = ((box.x2 - box.x1) / width, (box.y2 - box.y1) / height)
    return " ".join([str(index), *(f"{value:.10f}" for value in (*values, *sides))]) + "\n"
