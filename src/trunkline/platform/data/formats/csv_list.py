"""A list of images as CSV: our own layout, so it is read with the standard library and costs no heavy import."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from trunkline.core.errors import DataError
from trunkline.core.types.dataset import Dataset
from trunkline.platform.data.formats.base import Parsed
from trunkline.platform.data.formats.files import LAYOUT_WORDS, Look, is_image, read_bounded, split_word
from trunkline.platform.data.formats.gather import Gathered, label_of

COLUMNS = {
    "path": (
        "path",
        "file",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "image",
        "image_path",
        "img",
        "img_path",
    ),
    "label": ("label", "labels", "class", "classes", "category", "categories", "class_name", "label_name"),
    "split": ("split", "subset", "set"),
    "x1": ("xmin", "x1", "x_min", "left"),
    "y1": ("ymin", "y1", "y_min", "top"),
    "x2": ("xmax", "x2", "x_max", "right"),
    "y2": ("ymax", "y2", "y_max", "bottom"),
}
"""What a column may be called; the first word is the one that is written."""
CORNERS = ("x1", "y1", "x2", "y2")
SEPARATOR = ";"
"""Parts several labels in one field."""
_SUFFIXES = (".csv", ".tsv")
_MAX_BYTES = 256 << 20
_HEADER = "a first line with the names of the columns: path and label, and, where they are known, split"


class CsvList:
    """One row an image, or one row a box where the columns xmin, ymin, xmax and ymax are filled."""

    def detect(self, look: Look) -> str:
        if look.file:
            return "a table" if look.path.suffix.lower() in _SUFFIXES else ""
        lists = _lists(look)
        if not lists:
            return ""
        inside = [name for name in look.folders() if name.casefold() not in LAYOUT_WORDS and not split_word(name)]
        classes = [name for name in inside if any(map(is_image, look.files(f"{name}/")))]
        if len(classes) > 1:
            raise DataError(
                f"more than one layout fits: csv ({lists[0]}), imagefolder ({', '.join(classes[:5])})",
                where=str(look.path),
                fix="name the CSV file itself, or say `--format imagefolder` (`format: imagefolder` in a scenario)",
            )
        return lists[0]

    def parse(self, path: Path) -> Parsed:
        file = path if path.is_file() else _only_list(path)
        gathered = Gathered("csv", path if path.is_dir() else path.parent)
        base = file.relative_to(gathered.folder.root).parent.as_posix()
        base = "" if base == "." else f"{base}/"
        known: dict[str, str | None] = {}
        for line, row in _rows(file):
            name = row["path"]
            if name not in known:
                known[name] = _find(gathered, name, base)
            if found := known[name]:
                _take(gathered, found, row, file, line)
        return gathered.parsed()

    def lacks(self, dataset: Dataset) -> str:
        labels = {label for s in dataset.samples for label in (*s.labels, *(box.label for box in s.boxes))}
        bad = sorted(label for label in labels if SEPARATOR in label or label != label_of(label) or not label)
        return f"labels with {SEPARATOR!r} in them ({', '.join(map(repr, bad[:5]))})" if bad else ""

    def place(self, split: str, labels: Sequence[str], name: str) -> str:
        return f"images/{name}"

    def annotate(self, folder: Path, dataset: Dataset, places: Sequence[str]) -> None:
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        boxed = any(sample.boxes for sample in dataset.samples)
        writer.writerow([COLUMNS[key][0] for key in ("path", "label", "split", *(CORNERS if boxed else ()))])
        for sample, place in zip(dataset.samples, places, strict=True):
            if sample.labels or not sample.boxes:
                writer.writerow([place, SEPARATOR.join(sample.labels), sample.split, *([""] * 4 if boxed else [])])
            for box in sample.boxes:
                writer.writerow([place, box.label, sample.split, box.x1, box.y1, box.x2, box.y2])
        (folder / "labels.csv").write_text(stream.getvalue(), encoding="utf-8", newline="")


def _find(gathered: Gathered, name: str, base: str) -> str | None:
    """A row's file relative to the source, or None, with a note."""
    # Windows writes "\", which is a letter elsewhere: a file of that very name comes first.
    if "\\" in name and not name.startswith("/") and ".." not in name and gathered.folder.has(base + name):
        return base + name
    relative = gathered.folder.relative(name, base)
    if relative is not None and not gathered.folder.has(relative):
        gathered.folder.missing(relative, "named by a row")
        return None
    return relative


def _take(gathered: Gathered, name: str, row: dict[str, str], file: Path, line: int) -> None:
    side = split_word(row["split"])
    if row["split"].strip() and not side:
        raise DataError(
            f"expected train, val, test or nothing in the column {COLUMNS['split'][0]!r}, got {row['split'][:80]!r}",
            where=f"{file}:{line}",
            fix="mend the value, or rename the column when it says something else",
        )
    labels = [label for part in row["label"].split(SEPARATOR) if (label := label_of(part))]
    corners = [row[key] for key in CORNERS]
    if any(corners):
        boxes = [gathered.box(name, label, corners) for label in labels]
        if not labels:
            gathered.notes.add("unknown-label", name, "a box without a label")
        gathered.add(name, (), [box for box in boxes if box], side)
    else:
        gathered.add(name, labels, (), side)


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each row, by the names in `COLUMNS`; a column that is not there is empty."""
    try:
        text = read_bounded(file, _MAX_BYTES, "a CSV file").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            "expected UTF-8 text", where=str(file), fix="save the file as UTF-8 (Excel: CSV UTF-8)"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        header = next(reader, [])
        place = _places(header, file)
        for fields in reader:
            if any(fields):
                row = {key: fields[at] if at < len(fields) else "" for key, at in place.items()}
                if not row["path"]:
                    raise DataError("expected a path in this row, got none", where=f"{file}:{reader.line_num}")
                yield reader.line_num, defaultdict(str, row)
    except csv.Error as error:
        if "field limit" in str(error):
            message = f"expected fields of at most {csv.field_size_limit():,} characters, got a longer one"
            fix = "shorten it, or close the quote that is open, in this line or in one before it"
        else:
            message, fix = f"not CSV: {error}", "mend this line"
        raise DataError(message, where=f"{file}:{reader.line_num}", fix=fix) from error


def _delimiter(text: str) -> str:
    first = text.split("\n", 1)[0]
    return next((mark for mark in (",", "\t", ";") if mark in first), ",")


def _places(header: Sequence[str], file: Path) -> dict[str, int]:
    """Where each column is; the first of two that mean the same."""
    words = [word.strip().casefold().replace(" ", "_") for word in header]
    place = {key: min(at for at, word in enumerate(words) if word in names)
             for key, names in COLUMNS.items() if any(word in names for word in words)}  # fmt: skip
    if "path" not in place or "label" not in place:
        got = ", ".join(header)[:200] or "an empty file"
        known = "; ".join(f"{key}: {' or '.join(COLUMNS[key])}" for key in ("path", "label"))
        raise DataError(f"expected {_HEADER}, got {got!r}", where=f"{file}:1", fix=f"name them so: {known}")
    return place


def _lists(look: Look) -> list[str]:
    """CSV files at the top of a folder whose first line names a column of paths and one of labels."""
    found = []
    for name in look.files():
        if name.lower().endswith(_SUFFIXES):
            path = look.path / look.top / name
            with path.open("rb") as stream:
                first = stream.readline(4096).decode("utf-8-sig", "replace")
            try:
                _places(next(csv.reader([first], delimiter=_delimiter(first)), []), path)
            except (DataError, csv.Error):
                continue
            found.append(name)
    return found


def _only_list(path: Path) -> Path:
    look = Look(path)
    lists = _lists(look) or [name for name in look.files() if name.lower().endswith(_SUFFIXES)]
    if len(lists) != 1:
        found = f"{len(lists)} ({', '.join(lists[:5])})" if lists else "none"
        raise DataError(
            f"expected one CSV file with {_HEADER}, found {found}", where=str(path), fix="name the CSV file"
        )
    return path / look.top / lists[0]
