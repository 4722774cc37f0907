from __future__ import annotations

from typing import Any

import pytest
import yaml

from trunkline.core.errors import DataError
from trunkline.core.types.dataset import Box, Dataset, Sample
from trunkline.platform.data.formats import parse
from trunkline.platform.data.formats.yolo import Yolo

NAMES = "names: {0: dent, 2: hole}\n"
LINE = "2 0.5 0.25 0.5 0.25\n"
HOLE = ("hole", 12.0, 6.0, 36.0, 18.0)
TAKEN: dict[str, tuple[str, list[tuple[str, float, float, float, float]]]] = {
    "a box": (LINE, [HOLE]),
    "with a score": ("2 0.5 0.25 0.5 0.25 0.9\n", [HOLE]),
    "a class as 2.0": ("2.0 0.5 0.25 0.5 0.25", [HOLE]),
    "Windows and empty lines": ("\r\n2 0.5 0.25 0.5 0.25\r\n\r\n", [HOLE]),
    "a polygon": ("2 0.25 0.125 0.75 0.125 0.5 0.375", [HOLE]),
    "over an edge": ("0 0 0.5 0.5 0.5", [("dent", -12.0, 12.0, 12.0, 36.0)]),
    "no line": ("", []),
}  # fmt: skip


@pytest.mark.parametrize("case", TAKEN)
def test_labels_as_tools_write_them(case: str, make: Any, read: Any) -> None:
    text, boxes = TAKEN[case]
    source = make({"images/1.png": None, "images/2.png": None, "labels/1.txt": text, "data.yaml": NAMES})
    assert read(source, "yolo") == ({"images/1.png": ((), boxes, ""), "images/2.png": ((), [], "")}, {})


LEFT = {
    "a class without a name": ("1 0.5 0.5 0.1 0.1", "unknown-label", "labels/1.txt:1"),
    "a class below 0": ("-1 0.5 0.5 0.1 0.1", "unknown-label", "labels/1.txt:1"),
    "too few numbers": (f"{LINE}2 0.5 0.5 0.1", "bad-annotation", "labels/1.txt:2"),
    "words": ("dent 0.5 0.5 0.1 0.1", "bad-annotation", "labels/1.txt:1"),
    "half a class": ("0.5 0.5 0.5 0.1 0.1", "bad-annotation", "labels/1.txt:1"),
    "NaN": ("2 nan 0.5 0.1 0.1", "bad-box", "images/1.png"),
    "infinite": ("2 0.5 0.5 inf 0.1", "bad-box", "images/1.png"),
    "no area": ("2 0.5 0.5 0 0.1", "bad-box", "images/1.png"),
    "outside": ("2 1.5 0.5 0.1 0.1", "bad-box", "images/1.png"),
}  # fmt: skip


@pytest.mark.parametrize("case", LEFT)
def test_lines_that_cannot_be_used_are_listed_and_the_rest_is_kept(case: str, make: Any, read: Any) -> None:
    text, kind, name = LEFT[case]
    source = make({"images/1.png": None, "labels/1.txt": f"{text}\n0 0.5 0.5 0.5 0.5\n", "data.yaml": NAMES})
    items, findings = read(source, "yolo")
    assert items["images/1.png"][1][-1] == ("dent", 12.0, 12.0, 36.0, 36.0)
    assert findings == {kind: [name]}


def test_boxes_in_pixels_are_told_and_converted(make: Any, read: Any) -> None:
    source = make({"images/1.png": None, "labels/1.txt": f"2 24 12 24 12\n{LINE}", "data.yaml": NAMES})
    assert read(source, "yolo") == ({"images/1.png": ((), [HOLE], "")}, {"wrong-units": ["labels/1.txt:1"]})


NAMED = {
    "a list": "names: [dent, x, hole]\n", "numbers": NAMES, "numbers as text": "names: {'0': dent, '2': hole}\n",
    "names that are numbers": "names: [a, b, hole]\nnc: 99\n",
}  # fmt: skip


@pytest.mark.parametrize("case", NAMED)
def test_names_may_be_a_list_or_numbered(case: str, make: Any, read: Any) -> None:
    source = make({"images/1.png": None, "labels/1.txt": LINE, "data.yaml": NAMED[case]})
    assert read(source, "yolo")[0] == {"images/1.png": ((), [HOLE], "")}


@pytest.mark.parametrize("place", ["classes.txt", "labels/classes.txt", "obj.names"])
def test_names_may_be_a_plain_list(place: str, make: Any, read: Any) -> None:
    source = make({"images/1.png": None, "labels/1.txt": LINE, place: "dent\nx\nhole\n"})
    assert read(source, "yolo") == ({"images/1.png": ((), [HOLE], "")}, {})


REFUSED = {
    "none": ({}, "expected the names of the classes, found no data.yaml"),
    "a word": ({"data.yaml": "names: dent\n"}, "expected `names`, a list or numbers with names, got 'dent'"),
    "an empty list": ({"data.yaml": "names: []\n"}, "expected `names`"),
    "a name that is a list": ({"data.yaml": "names: [a, [b]]\n"}, r"expected a number and a name, got 1: \['b'\]"),
    "a number that is a word": ({"data.yaml": "names: {a: b}\n"}, "expected a number and a name, got 'a': 'b'"),
    "not YAML": ({"data.yaml": "names: [a\n"}, "not YAML"),
    "a tag": ({"data.yaml": "names: !!python/name:os.system\n"}, "not YAML"),
    "no bool": ({"data.yaml": "names: !!bool x\n"}, "not YAML"),
    "no time": ({"data.yaml": "names: !!timestamp x\n"}, "not YAML"),
    "nested too deep": ({"data.yaml": "names: " + "[" * 500}, "not YAML"),
    "not UTF-8": ({"data.yaml": b"names: \xff"}, "not YAML"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_names_that_are_none_are_a_clear_error(case: str, make: Any) -> None:
    files, message = REFUSED[case]
    source = make({"images/1.png": None, "labels/1.txt": LINE, **files})
    with pytest.raises(DataError, match=message) as caught:
        parse(source, "yolo")
    assert str(source) in str(caught.value.where)


PLACES = {
    "images/train": ("images/train/1.png", "labels/train/1.txt", "train"),
    "train/images": ("train/images/1.png", "train/labels/1.txt", "train"),
    "a subfolder": ("images/test/a/b/1.png", "labels/test/a/b/1.txt", "test"),
    "the last images is the one": ("images/x/images/1.png", "images/x/labels/1.txt", ""),
    "beside": ("1.png", "1.txt", ""),
    "a folder around": ("v1/parts/valid/images/1.png", "v1/parts/valid/labels/1.txt", "test"),
}  # fmt: skip


@pytest.mark.parametrize("case", PLACES)
def test_labels_are_found_where_ultralytics_puts_them(case: str, make: Any, read: Any) -> None:
    image, text, split = PLACES[case]
    top = "v1/parts/" if image.startswith("v1") else ""
    source = make({image: None, text: LINE, f"{top}data.yaml": NAMES})
    assert read(source, "yolo") == ({image: ((), [HOLE], split)}, {})


CONFIGS: dict[str, tuple[str, str]] = {
    "folders": ("train: images/a\nval: images/b\n", "train test"),
    "folders as Roboflow writes them": ("train: ../images/a\nval: ../images/b\n", "train test"),
    "a list of folders": ("train: [images/a]\ntest: [images/b]\n", "train test"),
    "lists of files": ("train: a.txt\ntest: b.txt\n", "train test"),
    "one folder for all": ("train: images\nval: images\n", "none none"),
    "folders that are not there": ("train: /data/a\nval: ../../etc\npath: /data\ntest: [1, {a: b}]\n", "none none"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIGS)
def test_splits_are_those_of_the_yaml_where_folders_do_not_say(case: str, make: Any, read: Any) -> None:
    text, expected = CONFIGS[case]
    lists = {"a.txt": "./images/a/1.png\n/etc/passwd\n", "b.txt": "images/b/2.png\n../../x\n"}
    source = make({"images/a/1.png": None, "images/b/2.png": None, **lists, "data.yaml": NAMES + text})
    items, findings = read(source, "yolo")
    assert (" ".join(split or "none" for _, _, split in items.values()), findings) == (expected, {})


def test_key_points_do_not_make_a_box_larger(make: Any, read: Any) -> None:
    text = "2 0.5 0.25 0.5 0.25 0.9 0.9 0.1 0.1\n"
    source = make({"images/1.png": None, "labels/1.txt": text, "data.yaml": f"{NAMES}kpt_shape: [2, 2]\n"})
    assert read(source, "yolo")[0] == {"images/1.png": ((), [HOLE], "")}


def test_boxes_count_from_the_upright_image(make: Any, read: Any) -> None:
    import io

    from PIL import Image

    turned, stream = Image.Exif(), io.BytesIO()
    turned[0x0112] = 6
    Image.new("RGB", (100, 40)).save(stream, "JPEG", exif=turned)
    source = make({"images/1.jpg": stream.getvalue(), "labels/1.txt": "0 0.5 0.5 1 1\n", "data.yaml": NAMES})
    assert read(source, "yolo")[0] == {"images/1.jpg": ((), [("dent", 0.0, 0.0, 40.0, 100.0)], "")}


def test_an_image_that_cannot_be_read_is_left_to_the_intake(make: Any, read: Any) -> None:
    source = make({"images/1.png": b"no picture", "labels/1.txt": LINE, "data.yaml": NAMES})
    assert read(source, "yolo") == ({"images/1.png": ((), [], "")}, {})


def test_pictures_that_training_left_beside_the_images_are_passed_over(make: Any, read: Any) -> None:
    source = make({"images/1.png": None, "runs/train/curve.png": None, "labels/1.txt": LINE, "data.yaml": NAMES})
    assert list(read(source, "yolo")[0]) == ["images/1.png"]


def test_what_is_written_is_what_ultralytics_reads(tmp_path: Any) -> None:
    boxes = (Box("a", 0.0, 0.0, 24.0, 12.0), Box("b", 12.0, 6.0, 48.0, 24.0))
    samples = (Sample("a" * 64, "1.png", (), boxes, "train", 48, 24), Sample("b" * 64, "2.png", (), (), "test", 48, 24))
    places = [Yolo().place(sample.split, (), f"x/{sample.name}") for sample in samples]
    Yolo().annotate(tmp_path, Dataset("x", 1, samples, ("a", "b")), places)
    assert places == ["images/train/x/1.png", "images/test/x/2.png"]
    assert (tmp_path / "labels/train/x/1.txt").read_text() == (
        "0 0.2500000000 0.2500000000 0.5000000000 0.5000000000\n1 0.6250000000 0.6250000000 0.7500000000 0.7500000000\n"
    )
    assert yaml.safe_load((tmp_path / "data.yaml").read_text()) == {
        "train": "images/train", "val": "images/test", "test": "images/test", "names": {0: "a", 1: "b"},
    }  # fmt: skip
