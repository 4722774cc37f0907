"""The same weights on pictures of another side; what has its size inside is refused."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from tests.unit.algorithms.trunks.nets import brought, graph, nodes
from trunkline.algorithms.trunks import Trunk, anchored, by_digest, open_trunk, resolve, stamp
from trunkline.algorithms.trunks.sized import parse, resized_card
from trunkline.core.errors import ConfigError, InputError, NotFoundError
from trunkline.core.settings import Settings

SPECS = [
    ("efficientnet-lite0", ("efficientnet-lite0", None)),
    ("efficientnet-lite0@384", ("efficientnet-lite0", 384)),
    ("onnx:a@2.onnx", ("onnx:a@2.onnx", None)),
    ("onnx:a@2.onnx@64", ("onnx:a@2.onnx", 64)),
    ("net@", ("net@", None)),
    ("@64", ("@64", None)),
    ("net@-64", ("net@-64", None)),
    ("net@1000000", ("net@1000000", None)),
]


@pytest.mark.parametrize(("spec", "expected"), SPECS)
def test_a_side_stands_behind_the_name(spec: str, expected: tuple[str, int | None]) -> None:
    assert parse(spec) == expected


def maps(trunk: Trunk, settings: Settings, picture: np.ndarray) -> dict[str, np.ndarray]:
    with closing(open_trunk(trunk, settings, dense=True)) as session:
        return dict(session.embed([picture]))


def test_features_of_a_place_are_those_of_the_same_pixels(home: Path) -> None:
    settings = Settings(home=home, runtime="onnxruntime", threads=1)
    own, larger = resolve("test-trunk", home), resolve("test-trunk@64", home)
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole, part = maps(larger, settings, picture), maps(own, settings, picture[:32, :32])
    assert larger.card == replace(own.card, name="test-trunk@64", size=64)
    for tap in own.card.taps:
        side = 32 // tap.stride - 2  # the last positions see the edge
        np.testing.assert_allclose(
            whole[tap.name][..., :side, :side], part[tap.name][..., :side, :side], rtol=1e-5, atol=1e-5
        )
        assert whole[tap.name].shape[2:] == (64 // tap.stride, 64 // tap.stride)


def test_it_is_made_once_and_found_by_name_and_digest(home: Path) -> None:
    first = resolve("test-trunk@64", home)
    before = first.path().stat().st_mtime_ns
    again = [
        resolve("test-trunk@64", home),
        resolve(first.card.digest, home),
        by_digest(first.card.digest, home, name="test-trunk@64"),
    ]
    assert (again, first.path().stat().st_mtime_ns) == ([first] * 3, before)
    own = resolve("test-trunk", home).card.digest
    assert (resolve(f"{own}@64", home), stamp(f"{own}@64", home)) == (first, f"{own}@64")
    assert resolve("test-trunk@32", home) == resolve("test-trunk", home)


def test_bundle_elsewhere_gets_it_by_name(home: Path, tmp_path: Path) -> None:
    digest = resolve("test-trunk@64", home).card.digest
    assert by_digest(digest, tmp_path / "other", name="test-trunk@64").card.digest == digest


def test_stamp_is_that_of_the_weights(home: Path, tmp_path: Path) -> None:
    path = brought(tmp_path)
    specs = [f"onnx:{path}", f"onnx:{path}@64"]
    before = [stamp(spec, home) for spec in specs]
    brought(tmp_path, mean=[1.0, 2, 3])
    after = [stamp(spec, home) for spec in specs]
    assert len({*before, *after}) == 4


def test_file_is_taken_from_the_scenarios_folder(tmp_path: Path) -> None:
    assert anchored("onnx:net.onnx@64", tmp_path) == f"onnx:{tmp_path / 'net.onnx'}@64"
    assert anchored("test-trunk@64", tmp_path) == "test-trunk@64"


@pytest.mark.parametrize(
    ("side", "near"), [(0, "@8"), (4, "@8"), (60, "@64"), (2049, "@2048"), (4096, "@2048"), (99999, "@2048")]
)
def test_side_that_it_cannot_have_is_refused(side: int, near: str, home: Path) -> None:
    with pytest.raises(ConfigError, match=f"multiple of 8, got {side}\n.*test-trunk{near}"):
        resolve(f"test-trunk@{side}", home)
    with pytest.raises(ConfigError, match=r"x\.yaml: trunk: expected a side"):
        resized_card(resolve("test-trunk", home).card, side, where="x.yaml: trunk")


def test_unknown_name_is_refused_as_without_a_side(home: Path) -> None:
    with pytest.raises(NotFoundError, match="did you mean 'test-trunk'"):
        resolve("test-trunc@64", home)


def test_network_of_a_fixed_size_is_refused(home: Path, tmp_path: Path) -> None:
    """A map that is added position by position, as a transformer's positions are."""
    place = numpy_helper.from_array(np.ones((1, 6, 16, 16), np.float32), "place")
    made = [*nodes()[:2], helper.make_node("Add", ["fine", "place"], ["placed"]), *nodes()[2:]]
    made[3].input[0] = "placed"
    path = brought(tmp_path, graph(made, more=[place]))
    resolve(f"onnx:{path}", home)
    with pytest.raises(InputError, match="brought computes on pictures of 32 pixels alone"):
        resolve(f"onnx:{path}@64", home)
    assert not [left for left in (home / "trunks").iterdir() if left.name.startswith(".")]


def test_maps_that_do_not_grow_are_refused(home: Path, tmp_path: Path) -> None:
    sides = numpy_helper.from_array(np.array([16, 16], np.int64), "sides")
    made = [*nodes()[:2], helper.make_node("Resize", ["fine", "", "", "sides"], ["kept"], axes=[2, 3]), *nodes()[2:]]
    made[3].input[0] = "kept"
    path = brought(tmp_path, graph(made, more=[sides]))
    resolve(f"onnx:{path}", home)
    with pytest.raises(InputError, match="expected maps of the sides"):
        resolve(f"onnx:{path}@64", home)
