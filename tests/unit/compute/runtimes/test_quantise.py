"""INT8 graphs by NNCF."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from trunkline.algorithms.trunks import resolve
from trunkline.compute.runtimes import quantise as module
from trunkline.core.errors import InputError, MissingExtraError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


def test_convolutions_become_int8_and_pooling_stays_float(home: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load_model_from_string(module.quantise(resolve("test-trunk", home).path(), IMAGES, tmp_path)).graph
    made = {output: node.op_type for node in graph.node for output in node.output}
    fed = {node.op_type: {made.get(name, "") for name in node.input} for node in graph.node}
    assert fed["Conv"] == {"DequantizeLinear"}
    assert {kind for kind in ("ReduceMax", "Sub", "Mul", "Sqrt", "Concat") if "DequantizeLinear" in fed[kind]} == set()


def test_the_same_pictures_give_the_same_bytes(home: Path, tmp_path: Path) -> None:
    path = resolve("test-trunk", home).path()
    assert module.quantise(path, IMAGES, tmp_path) == module.quantise(path, IMAGES, tmp_path)


def test_the_pooling_is_found_back_to_the_taps(home: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load_model_from_string(module.folded(resolve("test-trunk", home).path(), tmp_path))
    found = set(module.pooling(graph))
    kinds = {node.op_type for node in graph.graph.node if node.name not in found}
    assert {node.op_type for node in graph.graph.node if node.name in found} >= {"Concat", "Sqrt", "Sub", "ReduceMax"}
    assert kinds == {"Cast", "Transpose", "Sub", "Div", "Conv", "Relu"}


@pytest.mark.parametrize(("convolutions", "expected"), [(3, []), (16, ["c0"]), (48, ["c0", "c1", "c2"])])
def test_the_first_convolutions_stay_float(convolutions: int, expected: list[str]) -> None:
    onnx = pytest.importorskip("onnx")
    kinds = [("Cast", "cast"), *(("Conv", f"c{number}") for number in range(convolutions))]
    nodes = [onnx.helper.make_node(kind, ["x"], ["y"], name=name) for kind, name in kinds]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "net", [], []))
    assert module.first(model) == expected


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(InputError) as caught:
        module.quantise(path, IMAGES, tmp_path)
    assert caught.value.where == str(path)


def test_without_nncf_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingExtraError, match=r"an INT8 trunk needs the package 'nncf'") as caught:
        module.import_nncf()
    assert caught.value.fix == "pip install 'trunkline[int8]'"


USE = """
import logging, sys
from trunkline.compute.runtimes.quantise import import_nncf
nncf = import_nncf()
print("openvino_telemetry" in sys.modules, type(nncf.telemetry.telemetry).__name__, logging.getLoggerClass().__name__)
"""


def test_nncf_sends_nothing_and_takes_no_others_logger(tmp_path: Path) -> None:
    """NNCF imports a package that tells its makers what it is used for; hidden, it takes its own stub."""
    words = [sys.executable, "-c", USE]
    done = subprocess.run(words, env={"HOME": str(tmp_path), "PATH": ""}, capture_output=True, text=True, check=True)
    assert (done.stdout, list(tmp_path.iterdir())) == ("False MagicMock Logger\n", [])
