"""A trunk's graphs are run before they are used, and refused when they are not what the card says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from trunkline.algorithms.trunks import TRUNKS
from trunkline.algorithms.trunks.loader import Exported
from trunkline.algorithms.trunks.proof import check_runs
from trunkline.core.errors import InputError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    exported: Exported = TRUNKS.load("test-trunk")().export(tmp_path_factory.mktemp("whole"))
    return exported


def edited(graph: bytes, edit: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_model_from_string(graph)
    edit(model)
    return bytes(model.SerializeToString())


def endless(model: onnx.ModelProto) -> None:
    weights = next(one for one in model.graph.initializer if one.name == "kernel0")
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(1e38), "kernel0"))


def smaller(model: onnx.ModelProto) -> None:
    weights = next(one for one in model.graph.initializer if one.name == "kernel2")
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights)[:12], "kernel2"))


def elsewhere(model: onnx.ModelProto) -> None:
    """Weights in a file that is named by a path out of the folder."""
    weights = next(one for one in model.graph.initializer if one.name == "kernel0")
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../secret"), ("length", "864")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value


def test_a_whole_one_passes(whole: Exported, tmp_path: Path) -> None:
    check_runs(whole, tmp_path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda t: replace(t, pooled=b"no graph"), "cannot read the graph"),
        (lambda t: replace(t, dense=t.dense[:300]), "cannot read the graph"),
        (lambda t: replace(t, dense=t.pooled), "expected an output 'tap0'"),
        (lambda t: replace(t, card=replace(t.card, size=64)), "expected uint8 pictures|does not run"),
        (lambda t: replace(t, pooled=edited(t.pooled, endless)), "NaN or infinity"),
        (lambda t: replace(t, pooled=edited(t.pooled, smaller), dense=edited(t.dense, smaller)), r"\(2, 12\)"),
        (lambda t: replace(t, pooled=edited(t.pooled, elsewhere)), "cannot read the graph|does not run"),
    ],
    ids=["no graph", "cut", "without maps", "another size", "infinite", "fewer channels", "weights elsewhere"],
)  # fmt: skip
def test_what_is_not_as_its_card_says_is_refused(
    changed: Callable[[Exported], Exported], message: str, whole: Exported, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(bytes(864))
    (tmp_path / "inner").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        check_runs(changed(whole), tmp_path / "inner")
    assert caught.value.where == "trunk test-trunk"
