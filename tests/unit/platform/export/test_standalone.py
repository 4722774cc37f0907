"""A model as one graph against the engine: each task, many sizes, each runtime, trunks of other makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.conftest import Pictures
from trunkline.algorithms.heads import HEADS
from trunkline.algorithms.trunks import Trunk, resolve
from trunkline.core.digest import digest_bytes
from trunkline.core.errors import InputError, NotFoundError
from trunkline.core.types.bundle import Bundle
from trunkline.core.types.observation import Reading
from trunkline.platform.engine.predictor import Predictor
from trunkline.platform.export import standalone as module
from trunkline.platform.export.check import TOLERANCE, Run, compare, onnxruntime_run, openvino_run
from trunkline.platform.export.heads import HEAD_EXPORTS
from trunkline.platform.export.standalone import Standalone
from trunkline.platform.registry import bundle as bundles

TASKS = ("classify", "multilabel", "anomaly")
RUNS: dict[str, Callable[..., AbstractContextManager[Run]]] = {
    "onnxruntime": onnxruntime_run, "openvino": openvino_run,
}  # fmt: skip
SIZES = [(1, 1), (48, 48), (32, 32), (31, 33), (900, 3), (200, 416), (640, 480), (5, 90)]
Make = Callable[[Bundle, Trunk], Standalone]
Open = Callable[[Bundle, Trunk], Predictor]


def test_heads_of_the_table_can_be_exported() -> None:
    """All but `detect`, whose models run in `predict` and `serve`; docs/detection.md says so."""
    assert set(HEADS.targets) - set(HEAD_EXPORTS.targets) == {"detect"}


@pytest.mark.parametrize("runtime", RUNS)
@pytest.mark.parametrize("task", TASKS)
def test_answers_are_the_engines(
    task: str, runtime: str, exported_models: dict[str, Bundle], tiny: Trunk, make_standalone: Make, predictor: Open,
    tmp_path: Path,
) -> None:  # fmt: skip
    bundle = exported_models[task]
    path = tmp_path / "model.onnx"
    path.write_bytes(make_standalone(bundle, tiny).data)
    pictures = [Pictures.array(n, kind=n % 3, size=size) for n, size in enumerate(SIZES)]
    expected = list(predictor(bundle, tiny).predict(Reading("p", 0, 0.0, pixels) for pixels in pictures))
    with RUNS[runtime](path, threads=1) as run:
        rows = [compare(bundle, one, run(pixels[None])) for pixels, one in zip(pictures, expected, strict=True)]
    assert max(difference for difference, _ in rows) <= TOLERANCE
    assert [decided for _, decided in rows] == [True] * len(SIZES)


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_gives_what_each_picture_gives_alone(
    task: str, exported_models: dict[str, Bundle], tiny: Trunk, make_standalone: Make, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(make_standalone(exported_models[task], tiny).data)
    pictures = np.stack([Pictures.array(seed, kind=seed) for seed in range(3)])
    with onnxruntime_run(path, threads=1) as run:
        together, alone = run(pictures), [run(one[None]) for one in pictures]
    shapes = {name: (str(array.dtype), array.shape) for name, array in together.items()}
    labels = len(exported_models[task].head.labels)
    wanted = {"scores": ("float32", (3, labels)), "accepted": ("bool", (3, labels)), "unsure": ("bool", (3,))}
    assert shapes == wanted | ({"anomaly_score": ("float32", (3,))} if task == "anomaly" else {})
    for name, array in together.items():
        np.testing.assert_allclose(array, np.concatenate([one[name] for one in alone]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("limit", [0.0, 0.4, 1.0])
def test_limits_decide_as_the_heads_do(
    task: str, limit: float, exported_models: dict[str, Bundle], tiny: Trunk, predictor: Open, tmp_path: Path
) -> None:
    """The same head, cooler and with other limits: everything accepted, some unsure, everything refused."""
    bundle = exported_models[task]
    head = bundle.head
    raw = [one.anomaly_score or 0.0 for one in predictor(bundle, tiny).predict(readings())]
    cut = float(np.quantile(raw, limit))
    other = replace(
        head,
        thresholds=dict.fromkeys(head.labels, limit),
        unsure=dict.fromkeys(head.labels, (limit / 2, limit)),
        config={**head.config, "cut": cut, "band": [cut / 2, cut]},
        calibration={**head.calibration, "temperature": 1.5},
    )
    table = predictor(bundle, tiny).features([one.pixels for one in readings()])
    want = HEADS.load(task)().predict(other, table)
    made = module.standalone(_with_head(bundle, other), None, tiny, table.take([0]))
    path = tmp_path / "model.onnx"
    path.write_bytes(made.data)
    with onnxruntime_run(path, threads=1) as run:
        got = [run(one.pixels[None]) for one in readings()]
    np.testing.assert_allclose(np.concatenate([g["scores"] for g in got]), want.probabilities, atol=1e-4)
    clear = [_margin(task, other, want, row) > 1e-4 for row in range(len(got))]
    said = [(g["accepted"][0].tolist(), bool(g["unsure"][0])) for g, c in zip(got, clear, strict=True) if c]
    rows = [(want.accepted[row].tolist(), bool(want.unsure[row])) for row, c in enumerate(clear) if c]
    assert sum(clear) > 5
    assert said == rows


def readings() -> list[Reading]:
    return [Reading("p", 0, 0.0, Pictures.array(seed, kind=seed % 4, size=(40 + seed, 48))) for seed in range(12)]


def _margin(task: str, head: Any, scores: Any, row: int) -> float:
    raw = None if scores.anomaly is None else float(scores.anomaly[row])
    return float(HEAD_EXPORTS.load(task)().margin(head, scores.probabilities[row], raw))


def _with_head(bundle: Bundle, head: Any) -> Bundle:
    """A bundle that says its head is another one, which a real one refuses."""
    from copy import copy

    other = copy(bundle)
    object.__setattr__(other, "head", head)
    return other


@pytest.mark.parametrize("task", TASKS)
def test_the_file_says_what_it_is(
    task: str, exported_models: dict[str, Bundle], tiny: Trunk, make_standalone: Make
) -> None:
    bundle = exported_models[task]
    made = make_standalone(bundle, tiny)
    model = onnx.load_model_from_string(made.data)
    onnx.checker.check_model(model, full_check=True)
    facts = {prop.key: prop.value for prop in model.metadata_props}
    assert facts == made.facts
    assert (json.loads(facts.pop("labels")), json.loads(facts.pop("thresholds"))) == (
        list(bundle.head.labels),
        dict(bundle.head.thresholds),
    )
    assert json.loads(facts.pop("unsure")) == {label: list(band) for label, band in bundle.head.unsure.items()}
    assert facts.pop("made_by").startswith("trunkline ")
    assert facts == {
        "name": "steel", "version": "3", "task": task, "status": "passed", "bundle_digest": bundle.digest,
        "trunk": "test-trunk", "trunk_digest": tiny.card.digest, "trunk_licence": "Apache-2.0",
        "data_licence": "CC0-1.0", "opset": "18",
    }  # fmt: skip
    assert [one.version for one in model.opset_import if not one.domain] == [made.opset] == [18]
    assert [value.name for value in model.graph.input] == ["image"]


def test_the_same_model_gives_the_same_bytes(
    exported_models: dict[str, Bundle], tiny: Trunk, make_standalone: Make
) -> None:
    bundle = exported_models["classify"]
    assert make_standalone(bundle, tiny).data == make_standalone(bundle, tiny).data


def test_weights_that_no_answer_hangs_on_are_left_out(
    exported_models: dict[str, Bundle], tiny: Trunk, make_standalone: Make
) -> None:
    model = onnx.load_model_from_string(make_standalone(exported_models["anomaly"], tiny).data)
    names = {weight.name for weight in model.graph.initializer}
    assert {"kernel0", "kernel1", "kernel2"} & names == {"kernel0", "kernel1"}  # the head reads the first two taps


def brought(folder: Path, home: Path, opset: int) -> Trunk:
    """A trunk from a user's ONNX file of an opset."""
    rng = np.random.default_rng(0)
    make = onnx.helper.make_node
    kernels = [
        onnx.numpy_helper.from_array(rng.normal(0, 0.3, shape).astype(np.float32), name)
        for name, shape in (("image", (6, 3, 3, 3)), ("scores", (10, 6, 3, 3)))
    ]
    nodes = [
        make("Conv", ["pixels", "image"], ["a"], strides=[2, 2], pads=[1] * 4), make("Relu", ["a"], ["fine"]),
        make("Conv", ["fine", "scores"], ["b"], strides=[2, 2], pads=[1] * 4), make("Relu", ["b"], ["coarse"]),
    ]  # fmt: skip
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes, "net",
        [onnx.helper.make_tensor_value_info("pixels", kind, ["n", 3, 40, 40])],
        [onnx.helper.make_tensor_value_info("coarse", kind, ["n", 10, 10, 10])], kernels,
    )  # fmt: skip
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    (folder / "net.yaml").write_text(
        "name: net\nsize: 40\nmean: [120, 110, 100]\nscale: [60, 61, 62.5]\ntaps: [fine, coarse]\n"
        "licence: MIT\nsource: a friend\n"
    )
    return resolve(f"onnx:{folder / 'net.onnx'}", home)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("opset", "made_with"), [(11, 18), (13, 13), (17, 17)])
def test_trunks_of_other_opsets(
    opset: int, made_with: int, task: str, seal_model: Callable[..., bytes], make_standalone: Make, predictor: Open,
    tmp_path: Path,
) -> None:  # fmt: skip
    trunk = brought(tmp_path, tmp_path / "home", opset)
    bundle = bundles.read(seal_model(task, trunk))
    made = make_standalone(bundle, trunk)
    path = tmp_path / "model.onnx"
    path.write_bytes(made.data)
    expected = list(predictor(bundle, trunk).predict(readings()))
    for runtime in RUNS.values():
        with runtime(path, threads=1) as run:
            rows = [compare(bundle, e, run(r.pixels[None])) for e, r in zip(expected, readings(), strict=True)]
        assert max(difference for difference, _ in rows) <= TOLERANCE
        assert all(decided for _, decided in rows)
    assert made.opset == made_with


def test_a_trunk_with_a_name_of_ours_is_refused(
    exported_models: dict[str, Bundle], tiny: Trunk, predictor: Open, tmp_path: Path
) -> None:
    bundle = exported_models["classify"]
    table = predictor(bundle, tiny).features([np.zeros((32, 32, 3), np.uint8)])
    model = onnx.load_model_from_string(tiny.path().read_bytes())
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = "unsure" if name == "tap0" else name
    data = model.SerializeToString()
    (tmp_path / "trunk.onnx").write_bytes(data)
    (tmp_path / "card.json").write_text(json.dumps({"files": {"trunk.onnx": digest_bytes(data)}}))
    with pytest.raises(InputError, match="cannot be made one"):
        module.standalone(bundle, None, Trunk(tiny.card, tmp_path), table)


def test_a_task_without_an_exporter_is_told(
    exported_models: dict[str, Bundle], tiny: Trunk, make_standalone: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(HEAD_EXPORTS.targets, "anomaly")
    with pytest.raises(NotFoundError, match="no head export named 'anomaly'"):
        make_standalone(exported_models["anomaly"], tiny)
