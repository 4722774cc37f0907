"""An export that answers otherwise than the engine is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from trunkline.algorithms.trunks import Trunk
from trunkline.core.errors import TrunklineError
from trunkline.core.types.bundle import Bundle
from trunkline.core.types.observation import Observation, Prediction
from trunkline.platform.engine.predictor import Predictor
from trunkline.platform.export.check import Checked, Examiner, compare, onnxruntime_run
from trunkline.platform.export.standalone import Standalone

Change = Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]]


def observation(scores: Mapping[str, float], accepted: tuple[str, ...], *, unsure: bool = False) -> Observation:
    rows = tuple(Prediction(label, score) for label, score in scores.items())
    return Observation("p", 0, 0.0, rows, accepted, unsure, "0" * 64)


def outputs(scores: list[float], accepted: list[bool], *, unsure: bool = False) -> dict[str, np.ndarray]:
    return {"scores": np.array([scores]), "accepted": np.array([accepted]), "unsure": np.array([unsure])}


@pytest.mark.parametrize(
    ("scores", "accepted", "unsure", "want"),
    [
        ([0.9, 0.06, 0.04], [True, False, False], False, (0.0, True)),
        ([0.9, 0.06, 0.0405], [True, False, False], False, (0.0005, True)),
        ([0.8, 0.1, 0.1], [True, False, False], False, (0.1, True)),
        ([0.9, 0.06, 0.04], [False, False, False], True, (0.0, False)),
        ([0.9, 0.06, 0.04], [False, True, False], False, (0.0, False)),
    ],
)
def test_scores_and_decisions_are_compared(
    exported_models: dict[str, Bundle],
    scores: list[float],
    accepted: list[bool],
    unsure: bool,
    want: tuple[float, bool],
) -> None:
    bundle = exported_models["classify"]
    expected = observation(dict(zip(bundle.head.labels, (0.9, 0.06, 0.04), strict=True)), (bundle.head.labels[0],))
    difference, decided = compare(bundle, expected, outputs(scores, accepted, unsure=unsure))
    assert (pytest.approx(difference), decided) == want


def test_a_decision_may_differ_where_two_labels_are_level(exported_models: dict[str, Bundle]) -> None:
    bundle = exported_models["classify"]
    expected = observation(dict(zip(bundle.head.labels, (0.4503, 0.45, 0.0997), strict=True)), ())
    assert compare(bundle, expected, outputs([0.45, 0.4503, 0.0997], [False, True, False])) == (
        pytest.approx(0.0003),
        True,
    )


def opposite(out: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    return {**out, "accepted": ~out["accepted"]}


def shifted(out: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    return {**out, "scores": out["scores"] + np.float32(0.002)}


def stranger(out: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    return {**out, "anomaly_score": out["anomaly_score"] * np.float32(1.002)}


def nothing(out: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    return {**out, "scores": out["scores"] * np.float32("nan")}


@pytest.mark.parametrize(
    ("task", "change", "said"),
    [
        ("classify", opposite, "it decides otherwise"),
        ("multilabel", shifted, "scores differ by 0.002"),
        ("anomaly", stranger, "scores differ by 0.002"),
        ("classify", nothing, "scores differ by nan"),
    ],
)
def test_what_differs_is_refused(
    task: str, change: Change, said: str, exported_models: dict[str, Bundle], tiny: Trunk,
    make_standalone: Callable[[Bundle, Trunk], Standalone], predictor: Callable[[Bundle, Trunk], Predictor],
    tmp_path: Any,
) -> None:  # fmt: skip
    bundle = exported_models[task]
    path = tmp_path / "model.onnx"
    path.write_bytes(make_standalone(bundle, tiny).data)
    examiner = Examiner(bundle, predictor(bundle, tiny))
    with onnxruntime_run(path, threads=1) as run:
        checked = examiner.check("onnxruntime", run)
        with pytest.raises(TrunklineError, match=said) as caught:
            examiner.check("onnxruntime", lambda images: change(dict(run(images))))
    assert (checked.runtime, checked.pictures, checked.largest_difference < 1e-5) == ("onnxruntime", 11, True)
    assert isinstance(checked, Checked)
    assert (caught.value.exit_status, caught.value.where) == (1, "steel")
