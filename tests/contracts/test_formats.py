"""What every layout must do, ours or a plugin's: be told, be read, bear hostile input, and give back what it was given.

A layout of your own: add how it looks on disk to `WRITERS`, and run this file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import DataError
from trunkline.core.settings import Settings
from trunkline.core.types.dataset import Box, Dataset, Sample
from trunkline.core.types.scenario import Source
from trunkline.platform.data.export import export
from trunkline.platform.data.formats import FORMATS, Item, detect, load, parse
from trunkline.platform.data.intake import take_in
from trunkline.platform.data.store import ImageStore

EDGES = (4.0, 6.5, 20.25, 30.0)
"""The box on each flawed image of 48 x 48 pixels, in layouts that have boxes."""
X, Y, WIDTH, HEIGHT = 4.0, 6.5, 16.25, 23.5


class Row(NamedTuple):
    """One image of an example: its file's name, its label and its part."""

    name: str
    label: str
    split: str


PLAIN = [Row("1.png", "good", "train"), Row("2.png", "good", "train"), Row("3.png", "good", "test"),
         Row("4.png", "hole", "test")]  # fmt: skip
HOSTILE = [Row("two words.png", "good", "train"), Row("it's \"so\".png", "good", "train"),
           Row("上海 钢板.png", "good", "test"), Row("-rf.png", "hole", "test"),
           Row("Same.png", "good", "train"), Row("same.png", "good", "train"),
           Row("UP.JPG", "good", "test"), Row("a.b;c,d.png", "hole", "test"), Row("[x]#%20&<y>.png", "good", "test"),
           Row("line\nbreak.png", "good", "test")]  # fmt: skip
Writer = Callable[[Path, Sequence[Row]], dict[str, Row]]
"""Writes the labels of an example below a folder, and says where each image goes."""


def folders(_: Path, rows: Sequence[Row]) -> dict[str, Row]:
    return {f"{row.split}/{row.label}/{row.name}": row for row in rows}


def csv(path: Path, rows: Sequence[Row]) -> dict[str, Row]:
    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    lines = [f"{quoted('images/' + row.name)},{row.label},{row.split}" for row in rows]
    (path / "list.csv").write_text("path,label,split\n" + "\n".join(lines))
    return {f"images/{row.name}": row for row in rows}


def coco(path: Path, rows: Sequence[Row]) -> dict[str, Row]:
    (path / "annotations").mkdir()
    for split in ("train", "test"):
        names = [row.name for row in rows if row.split == split]
        flawed = {row.name for row in rows if row.label == "hole"}
        data = {
            "images": [{"id": i, "file_name": name, "width": 48, "height": 48} for i, name in enumerate(names)],
            "categories": [{"id": 90, "name": "hole"}],
            "annotations": [
                {"id": i, "image_id": i, "category_id": 90, "bbox": [X, Y, WIDTH, HEIGHT]}
                for i, name in enumerate(names) if name in flawed
            ],
        }  # fmt: skip
        (path / f"annotations/instances_{split}2017.json").write_text(json.dumps(data))
    return {f"{row.split}2017/{row.name}": row for row in rows}


def voc(path: Path, rows: Sequence[Row]) -> dict[str, Row]:
    (path / "Annotations").mkdir()
    (path / "ImageSets/Main").mkdir(parents=True)
    corners = zip(("xmin", "ymin", "xmax", "ymax"), EDGES, strict=True)
    bounds = "".join(f"<{corner}>{edge}</{corner}>" for corner, edge in corners)
    thing = f"<object><name>hole</name><difficult>1</difficult><bndbox>{bounds}</bndbox></object>"
    for row in rows:
        text = f"<annotation>{thing if row.label == 'hole' else ''}</annotation>"
        (path / f"Annotations/{Path(row.name).stem}.xml").write_text(text)
    for split in ("train", "test"):
        stems = [Path(row.name).stem for row in rows if row.split == split]
        (path / f"ImageSets/Main/{split}.txt").write_text("".join(f"{stem}\n" for stem in stems))
    return {f"JPEGImages/{row.name}": row for row in rows}


def yolo(path: Path, rows: Sequence[Row]) -> dict[str, Row]:
    numbers = ((X + WIDTH / 2) / 48, (Y + HEIGHT / 2) / 48, WIDTH / 48, HEIGHT / 48)
    for row in rows:
        folder = path / "labels" / row.split
        folder.mkdir(parents=True, exist_ok=True)
        line = f"7 {' '.join(f'{n:.6f}' for n in numbers)}\n"
        (folder / f"{Path(row.name).stem}.txt").write_text(line if row.label == "hole" else "")
    (path / "data.yaml").write_text("train: images/train\nval: images/test\nnames: {7: hole}\n")
    return {f"images/{row.split}/{row.name}": row for row in rows}


def datumaro(path: Path, rows: Sequence[Row]) -> dict[str, Row]:
    (path / "annotations").mkdir()
    box = {"id": 0, "type": "bbox", "label_id": 0, "bbox": [X, Y, WIDTH, HEIGHT], "attributes": {}, "group": 0}
    for split in ("train", "test"):
        items = [
            {
                "id": Path(row.name).stem, "image": {"path": row.name, "size": [48, 48]},
                "annotations": [{**box, "z_order": 0}] if row.label == "hole" else [],
            }
            for row in rows if row.split == split
        ]  # fmt: skip
        labels = {"label": {"labels": [{"name": "hole", "parent": "", "attributes": []}], "attributes": []}}
        data = {"dm_format_version": "1.0", "infos": {}, "categories": labels, "items": items}
        (path / f"annotations/{split}.json").write_text(json.dumps(data))
    return {f"images/{row.split}/{row.name}": row for row in rows}


WRITERS: dict[str, Writer] = {
    "imagefolder": lambda path, rows: folders(path, [row._replace(label=f"{row.label} parts") for row in rows]),
    "mvtec": folders, "csv": csv, "coco": coco, "voc": voc, "yolo": yolo, "datumaro": datumaro,
}  # fmt: skip
BOXED = {"coco", "voc", "yolo", "datumaro"}
"""Layouts whose examples say what is in an image by a box; a good image has none."""
layouts = pytest.mark.parametrize("layout", WRITERS)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def written(layout: str, path: Path, rows: Sequence[Row], encode: Callable[[int], bytes]) -> dict[str, Row]:
    places = WRITERS[layout](path, rows)
    for number, place in enumerate(places):
        (path / place).parent.mkdir(parents=True, exist_ok=True)
        (path / place).write_bytes(encode(number))
    return places


def expected(layout: str, path: Path, places: dict[str, Row]) -> list[Item]:
    def item(place: str, row: Row) -> Item:
        if layout in BOXED:
            boxes = (Box("hole", *EDGES),) if row.label == "hole" else ()
            return Item(path / place, place, (), boxes, row.split)
        return Item(path / place, place, (row.label,), (), row.split)

    return sorted((item(place, row) for place, row in places.items()), key=lambda i: i.name)


def test_every_layout_in_the_table_is_tried() -> None:
    assert set(FORMATS.names()) == set(WRITERS)


@layouts
@pytest.mark.parametrize("rows", [PLAIN, HOSTILE], ids=["plain", "hostile"])
def test_is_told_and_read(layout: str, rows: Sequence[Row], source: Path, pictures: Any) -> None:
    places = written(layout, source, rows, pictures.encode)
    readable = {place: row for place, row in places.items() if layout != "voc" or "\n" not in place}
    assert detect(source) == layout
    parsed = parse(source)
    items = [item for item in parsed.items if item.name in readable]
    assert sorted(items, key=lambda item: item.name) == expected(layout, source, readable)
    assert (parsed.format, parsed.findings) == (layout, ())


@layouts
def test_a_folder_around_it_and_a_readme_beside_it_change_nothing(layout: str, source: Path, pictures: Any) -> None:
    inner = source / "unpacked" / "parts"
    inner.mkdir(parents=True)
    places = written(layout, inner, PLAIN, pictures.encode)
    (source / "README.md").write_text("what this is")
    (inner / ".hidden.png").write_bytes(b"")
    assert detect(source) == layout
    assert sorted(item.name for item in parse(source).items) == sorted(f"unpacked/parts/{place}" for place in places)


@layouts
def test_order_of_files_does_not_matter_and_reading_twice_gives_the_same(
    layout: str, source: Path, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(layout, source, PLAIN, pictures.encode)
    first = parse(source)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: str) -> None:
            with scandir(path) as entries:
                self.entries = list(entries)

        def __enter__(self) -> Backwards:
            return self

        def __exit__(self, *_: object) -> None:
            return

        def __iter__(self) -> Backwards:
            return self

        def __next__(self) -> os.DirEntry[str]:
            if not self.entries:
                raise StopIteration
            return self.entries.pop()

    monkeypatch.setattr(os, "scandir", Backwards)
    assert parse(source) == first


@layouts
def test_reading_imports_nothing_heavy(layout: str, source: Path, pictures: Any) -> None:
    written(layout, source, PLAIN, pictures.encode)
    code = (
        "import sys; from pathlib import Path; from trunkline.platform.data.formats import detect, parse; "
        f"path = Path(sys.argv[1]); assert detect(path) == {layout!r}; "
        "early = {'datumaro', 'pandas', 'cv2', 'numpy'} & set(sys.modules); assert not early, early; "
        f"parse(path); assert {layout!r} == 'datumaro' or 'datumaro' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, str(source)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@layouts
def test_nothing_to_read_is_a_clear_error(layout: str, source: Path, pictures: Any) -> None:
    for place in written(layout, source, PLAIN, pictures.encode):
        (source / place).unlink()
    (source.parent / "empty").mkdir()
    for path in (source, source.parent / "empty", source.parent / "not there"):
        with pytest.raises(DataError) as caught:
            parse(path, layout)
        assert str(path) in str(caught.value.where)
        assert caught.value.fix


JUNK = {
    "empty": b"", "text": b"hello\nworld; 1 2 3\n", "zeros": bytes(200),
    "not UTF-8": b"\xff\xfe\xfa path,label\n\x80,\x81",
    "deep JSON": b'{"images":' + b"[" * 100_000, "deep XML": b"<annotation>" * 50_000,
    "wrong types": b'{"images": [1, null, {"id": [], "file_name": {}}], "annotations": [{"image_id": {}}, 3], '
                   b'"categories": [{"id": 1}, "x"], "items": [5], "dm_format_version": "1.0"}',
    "items that are none": b'{"dm_format_version": "1.0", "categories": {"label": {"labels": [{"name": 5}]}}, '
                           b'"items": 3}',
    "entities": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>',
    "entity of a file": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation><object><name>&b;</name>'
                        b"</object></annotation>",
    "YAML that unfolds": b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b]\n"
                         b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nnames: [*e,*e,*e,*e,*e]\n",
    "numbers that are none": b"0 nan inf -inf 1e999\n9 0.5 0.5 0.1 0.1\nx y z\n0 0.5 0.5 0 0\n",
}  # fmt: skip


@layouts
@pytest.mark.parametrize("junk", JUNK)
def test_junk_in_place_of_labels_is_a_clear_error_or_a_finding(
    layout: str, junk: str, source: Path, pictures: Any
) -> None:
    places = written(layout, source, PLAIN, pictures.encode)
    labels = [path for path in source.rglob("*") if path.is_file() and str(path.relative_to(source)) not in places]
    for number, path in enumerate(labels):
        before = path.read_bytes()
        path.write_bytes(JUNK[junk])
        outcome = tried(source, layout)
        assert outcome, f"{path.name} ({number})"
        path.write_bytes(before)
    assert detect(source) == layout


def tried(source: Path, layout: str) -> str:
    """What came of it, for people; anything but items and clear errors is raised."""
    try:
        return f"{len(parse(source, layout).items)} items"
    except DataError as error:
        return str(error)


@layouts
def test_links_that_leave_the_folder_are_not_followed(layout: str, source: Path, pictures: Any) -> None:
    places = written(layout, source, PLAIN, pictures.encode)
    outside = source.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(pictures.encode(99))
    gone = next(iter(places))
    (source / gone).unlink()
    (source / gone).symlink_to(outside / "secret.png")
    (source / Path(gone).parent / "more").symlink_to(outside)
    parsed = parse(source, layout)
    assert sorted(item.name for item in parsed.items) == sorted(set(places) - {gone})
    found = {finding.kind: finding.names for finding in parsed.findings}
    assert gone in found["outside-path"]
    assert set(found) <= {"outside-path", "missing-file", "bad-annotation"}


@pytest.mark.parametrize("layout", ["csv", "coco", "voc", "yolo", "datumaro"])
def test_labels_that_a_link_takes_from_outside_are_not_read(layout: str, source: Path, pictures: Any) -> None:
    written(layout, source, PLAIN, pictures.encode)
    labels = [path for path in source.rglob("*") if path.suffix in (".csv", ".json", ".xml", ".txt", ".yaml")]
    for number, path in enumerate(labels):
        outside = source.parent / f"{number}{path.suffix}"
        path.rename(outside)
        path.symlink_to(outside)
    with pytest.raises(DataError) as caught:
        parse(source, layout)
    assert "hole" not in str(caught.value)


@layouts
def test_links_inside_the_folder_are_followed(layout: str, source: Path, pictures: Any) -> None:
    places = written(layout, source, PLAIN, pictures.encode)
    linked = source / next(iter(places))
    linked.rename(linked.with_name(".kept.png"))
    linked.symlink_to(linked.with_name(".kept.png"))
    assert sorted(item.name for item in parse(source, layout).items) == sorted(places)


@pytest.mark.parametrize("layout", ["csv", "coco", "voc", "yolo", "datumaro"])
def test_named_files_that_are_missing_are_listed(layout: str, source: Path, pictures: Any) -> None:
    places = written(layout, source, PLAIN, pictures.encode)
    gone = list(places)[-1]
    (source / gone).unlink()
    parsed = parse(source, layout)
    assert sorted(item.name for item in parsed.items) == sorted(set(places) - {gone})
    assert [(finding.kind, finding.severity, len(finding.names)) for finding in parsed.findings] == [
        ("missing-file", "warning", 1)
    ]
    assert Path(gone).stem in parsed.findings[0].names[0]


@pytest.mark.parametrize("layout", ["csv", "coco", "datumaro"])
@pytest.mark.parametrize("path", ["../outside/secret.png", "ABSOLUTE", "images/../../outside/secret.png"])
def test_paths_that_leave_the_folder_are_refused(layout: str, path: str, source: Path, pictures: Any) -> None:
    places = written(layout, source, PLAIN, pictures.encode)
    outside = source.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").write_bytes(pictures.encode(99))
    evil = str(outside / "secret.png") if path == "ABSOLUTE" else path
    for file in [*source.rglob("*.csv"), *source.rglob("*.json")]:
        file.write_text(re.sub(r"(images/)?4\.png", evil, file.read_text()))
    parsed = parse(source, layout)
    assert sorted(item.name for item in parsed.items) == sorted(place for place in places if "4.png" not in place)
    assert {finding.kind for finding in parsed.findings} <= {"outside-path", "bad-annotation", "not-listed"}
    assert parsed.findings


def kept(home: Path, rows: Sequence[tuple[str, bytes, tuple[str, ...], tuple[Box, ...], str]]) -> Dataset:
    """A data set whose images are in a home."""
    ImageStore(home).add((digest_bytes(data), data) for _, data, _, _, _ in rows)
    samples = [
        Sample(digest_bytes(data), name, labels, boxes, split, 48, 48) for name, data, labels, boxes, split in rows
    ]
    labels = {label for s in samples for label in (*s.labels, *(box.label for box in s.boxes))}
    return Dataset("parts", 1, tuple(samples), tuple(sorted(labels)))


BOX, EDGE_BOX = Box("hole & <b>", *EDGES), Box("洞", 0.0, 0.0, 48.0, 0.37)
NAMES = ["crack/001.png", "good/001.png", "CRACK/001.png", "images/train/sub/001.png", "two words/it's.jpg",
         "-x/钢.png", "../../etc/passwd", "no ending", "a\\b.png", "x.png/y.png", "x.png",
         "line\nbreak.png", "." * 40 + "png", "long" * 100 + ".png", "é.png", "e\u0301.png", "CON:*?.png",
         "same/A.png", "same/a.png", "a" * 9]  # fmt: skip
CONTENTS: dict[str, list[tuple[tuple[str, ...], tuple[Box, ...]]]] = {
    "one label": [(("good",), ()), (("b",), ()), ((), ())],
    "several labels": [(("good", "b"), ()), (("good",), ()), ((), ())],
    "boxes": [((), (BOX, EDGE_BOX)), ((), ()), ((), (BOX,))],
    "labels and boxes": [(("good", "b"), (BOX, EDGE_BOX)), (("good",), ()), ((), (BOX,))],
    "nothing": [((), ())],
}
"""Labels and boxes that images have in turn."""
HOLDS = {
    "imagefolder": ["one label", "nothing"], "mvtec": [], "csv": list(CONTENTS), "coco": list(CONTENTS),
    "voc": ["boxes", "nothing"], "yolo": ["boxes"], "datumaro": list(CONTENTS),
}  # fmt: skip


def mixed(home: Path, content: str, splits: Sequence[str], encode: Callable[[int], bytes]) -> Dataset:
    kinds = CONTENTS[content]
    return kept(home, [
        (name, encode(at), *kinds[at % len(kinds)], splits[at % len(splits)]) for at, name in enumerate(NAMES)
    ])  # fmt: skip


def round_trip(dataset: Dataset, layout: str, settings: Settings, out: Path) -> Dataset:
    export(dataset, out, layout, settings)
    assert detect(out) == layout
    return take_in([Source(path=out)], settings, name="parts")


@pytest.mark.parametrize("splits", [("",), ("train", "test")], ids=["no split", "both"])
@pytest.mark.parametrize(("layout", "content"), [(layout, content) for layout in HOLDS for content in HOLDS[layout]])
def test_gives_back_what_it_was_given(
    layout: str, content: str, splits: Sequence[str], tmp_path: Path, home: Path, pictures: Any
) -> None:
    dataset = mixed(home, content, splits, pictures.encode)
    back = round_trip(dataset, layout, Settings(home=home, threads=1), tmp_path / "out")
    assert (back.digest, back.findings) == (dataset.digest, ())


@pytest.mark.parametrize(
    ("layout", "content"),
    [(layout, content) for layout in HOLDS for content in CONTENTS if content not in HOLDS[layout]],
)
def test_what_it_has_no_place_for_is_refused_before_anything_is_written(
    layout: str, content: str, tmp_path: Path, home: Path, pictures: Any
) -> None:
    dataset = mixed(home, content, ("train", "test"), pictures.encode)
    with pytest.raises(DataError, match=f"the layout {layout} has no place for ") as caught:
        export(dataset, tmp_path / "place" / "out", layout, Settings(home=home, threads=1))
    assert "csv" in str(caught.value.fix)
    assert not (tmp_path / "place").exists()


HELD: dict[str, tuple[tuple[str, ...], tuple[Box, ...], str]] = {
    "imagefolder": (("b",), (), "train"), "mvtec": (("hole",), (), "test"), "csv": (("good", "x"), (BOX,), "test"),
    "coco": (("good", "x"), (BOX,), "test"), "voc": ((), (BOX,), "test"), "yolo": ((), (BOX,), "test"),
    "datumaro": (("good", "x"), (BOX,), "test"),
}  # fmt: skip
"""The most that each layout can say about an image."""


@layouts
def test_holds_the_most_it_can(layout: str, tmp_path: Path, home: Path, pictures: Any) -> None:
    labels, boxes, split = HELD[layout]
    good = () if layout in ("voc", "yolo") else ("good",)
    rows = [("1.png", pictures.encode(1), good, (), "train"), ("2.png", pictures.encode(2), labels, boxes, split)]
    dataset = kept(home, rows)
    back = round_trip(dataset, layout, Settings(home=home, threads=1), tmp_path / "out")
    assert sorted(sample.content() for sample in back.samples) == sorted(sample.content() for sample in dataset.samples)
    assert back.labels == dataset.labels


@layouts
def test_a_kill_leaves_nothing_that_looks_whole(
    layout: str, tmp_path: Path, home: Path, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, boxes, split = HELD[layout]
    good = () if layout in ("voc", "yolo") else ("good",)
    dataset = kept(
        home, [("1.png", pictures.encode(1), good, (), "train"), ("2.png", pictures.encode(2), labels, boxes, split)]
    )

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(load(layout)), "annotate", killed)
    place = tmp_path / "place"
    with pytest.raises(KeyboardInterrupt):
        export(dataset, place / "out", layout, Settings(home=home, threads=1))
    assert list(place.iterdir()) == []
