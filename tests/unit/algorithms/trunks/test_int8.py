"""INT8 graphs are kept beside a trunk's own, by what they were calibrated on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trunkline.algorithms.trunks import resolve
from trunkline.algorithms.trunks.int8 import int8_graph, make_int8
from trunkline.core.errors import InputError

IMAGES = ("a" * 64, "b" * 64)


def pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)


def none() -> np.ndarray:
    raise AssertionError("there is nothing to do")


def test_it_is_made_once_and_touches_no_float_graph(home: Path) -> None:
    trunk = resolve("test-trunk", home)
    before = {path.name: path.read_bytes() for path in trunk.folder.iterdir()}
    name = make_int8(trunk, IMAGES, pictures)
    assert make_int8(trunk, IMAGES[::-1], none) == name
    after = {path.name: path.read_bytes() for path in trunk.folder.iterdir()}
    assert set(after) - set(before) == {f"int8-{name}.onnx", f"int8-{name}.json"}
    assert {key: after[key] for key in before} == before
    assert json.loads(after[f"int8-{name}.json"])["images"] == sorted(IMAGES)


def test_other_images_and_maps_give_another_one(home: Path) -> None:
    trunk = resolve("test-trunk", home)
    names = {
        make_int8(trunk, IMAGES, pictures), make_int8(trunk, IMAGES[:1], pictures),
        make_int8(trunk, IMAGES, pictures, dense=True),
    }  # fmt: skip
    assert len(names) == 3


def test_one_without_maps_gives_none(home: Path) -> None:
    trunk = resolve("test-trunk", home)
    plain = make_int8(trunk, IMAGES, pictures)
    dense = make_int8(trunk, IMAGES, pictures, dense=True)
    with pytest.raises(InputError, match="was made without maps"):
        int8_graph(trunk, plain, dense=True)
    assert int8_graph(trunk, dense, dense=True) == int8_graph(trunk, dense)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "changed": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "missing": lambda path: path.unlink(),
    "facts missing": lambda path: path.with_suffix(".json").unlink(),
    "facts torn": lambda path: path.with_suffix(".json").write_bytes(b"{"),
    "facts of another kind": lambda path: path.with_suffix(".json").write_bytes(b"[]"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_one_is_refused_and_made_again(kind: str, home: Path) -> None:
    trunk = resolve("test-trunk", home)
    name = make_int8(trunk, IMAGES, pictures)
    DAMAGE[kind](int8_graph(trunk, name))
    with pytest.raises(InputError, match="is missing or was changed"):
        int8_graph(trunk, name)
    assert make_int8(trunk, IMAGES, pictures) == name
    assert int8_graph(trunk, name).is_file()


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "ab", "G" * 16, "0" * 17])
def test_a_name_that_is_none_opens_nothing(name: str, home: Path) -> None:
    with pytest.raises(InputError, match="expected the name of an INT8 graph"):
        int8_graph(resolve("test-trunk", home), name)
