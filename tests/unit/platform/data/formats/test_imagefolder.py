from __future__ import annotations

from typing import Any

import pytest

from trunkline.core.errors import DataError
from trunkline.core.types.dataset import Box, Dataset, Sample
from trunkline.platform.data.formats import parse
from trunkline.platform.data.formats.imagefolder import ImageFolder

READ: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "classes": {"a/1.png": (("a",), ""), "b/1.png": (("b",), "")},
    "flat": {"1.png": ((), ""), "2.png": ((), "")},
    "one folder that says nothing": {"images/1.png": ((), ""), "images/x/2.png": (("x",), "")},
    "flat beside classes": {"1.png": ((), ""), "a/2.png": (("a",), "")},
    "deep folders count by the first": {"a/b/c/1.png": (("a",), ""), "d/b/1.png": (("d",), "")},
    "train and test": {"train/a/1.png": (("a",), "train"), "test/a/2.png": (("a",), "test")},
    "train alone": {"train/a/1.png": (("a",), "train"), "train/b/2.png": (("b",), "train")},
    "val is tested on where there is no test": {"train/a/1.png": (("a",), "train"), "val/a/2.png": (("a",), "test")},
    "val is learned from where there is a test": {
        "Training/a/1.png": (("a",), "train"), "valid/a/2.png": (("a",), "train"), "TEST/a/3.png": (("a",), "test"),
    },
    "splits without classes": {"train/1.png": ((), "train"), "test/2.png": ((), "test")},
    "a class that is called like a split": {"train/1.png": (("train",), ""), "bus/1.png": (("bus",), "")},
    "a folder of classes in a folder": {"all/parts/a/1.png": (("a",), ""), "all/parts/b/1.png": (("b",), "")},
    "spaces and accents of a label": {"cafe\u0301 noir /1.png": (("caf\u00e9 noir",), ""), "b/1.png": (("b",), "")},
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_labels_and_splits_are_those_of_the_folders(case: str, make: Any, read: Any) -> None:
    expected = {name: (labels, [], split) for name, (labels, split) in READ[case].items()}
    assert read(make(dict.fromkeys(expected)), "imagefolder") == (expected, {})


def test_what_is_no_image_is_passed_over(make: Any, read: Any) -> None:
    source = make({"a/1.png": None, "a/Thumbs.db": b"", "a/.2.png": b"", "__MACOSX/a/1.png": b"", "b/notes.txt": b""})
    assert read(source, "imagefolder") == ({"a/1.png": (("a",), [], "")}, {})


def test_a_name_that_is_not_text_is_left_out_and_said(make: Any, read: Any) -> None:
    source = make({"a/1.png": None})
    (source / "a" / b"\xff\xfe.png".decode("utf-8", "surrogateescape")).write_bytes(b"")
    assert read(source, "imagefolder") == ({"a/1.png": (("a",), [], "")}, {"bad-name": ["a/??.png"]})


def test_a_file_is_no_folder(make: Any) -> None:
    with pytest.raises(DataError, match="expected a folder in the layout imagefolder, got a file"):
        parse(make({"1.png": None}) / "1.png", "imagefolder")


def sample(*labels: str, split: str = "", boxes: tuple[Box, ...] = ()) -> Sample:
    return Sample("a" * 64, "1.png", labels, boxes, split)


LACKS = {
    "boxes": ([sample(boxes=(Box("a", 0, 0, 1, 1),))], "boxes (1 images have some)"),
    "several labels": ([sample("a", "b")], "several labels on one image (1 images have them)"),
    "labels of a path": ([sample("a/b"), sample(".."), sample(" c")],
                         "labels that no folder can be named after (' c', '..', 'a/b')"),
    "half a split": ([sample("a", split="train"), sample("b")], "images of which only some are in a split"),
    "classes like splits": ([sample("train"), sample("test")], "classes that are all named like splits (test, train)"),
    "a class that says nothing": ([sample("images")], "a single class of the name 'images'"),
    "nothing": ([sample("a"), sample("train"), sample()], ""),
}  # fmt: skip


@pytest.mark.parametrize("case", LACKS)
def test_what_folders_cannot_say_is_known(case: str) -> None:
    samples, expected = LACKS[case]
    labels = {label for s in samples for label in (*s.labels, *(b.label for b in s.boxes))}
    assert ImageFolder().lacks(Dataset("x", 1, tuple(samples), tuple(sorted(labels)))) == expected
