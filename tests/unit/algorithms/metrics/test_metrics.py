"""Metrics against scikit-learn, and on test sets that lack something."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from tests.unit.algorithms.metrics import boxed
from trunkline.algorithms.heads.base import Scores, Things
from trunkline.algorithms.metrics import METRICS, Metrics, evaluate
from trunkline.algorithms.metrics.intervals import wilson
from trunkline.algorithms.metrics.tables import worst
from trunkline.algorithms.metrics.types import ClassRow
from trunkline.core.errors import NotFoundError
from trunkline.core.types.dataset import Truth
from trunkline.core.types.scenario import GATE_NAMES

LABELS = ("crack", "dent", "scratch")
BINARY = ("good", "anomaly")


def softmax_scores(n: int = 120, seed: int = 0) -> tuple[Scores, tuple[tuple[str, ...], ...], np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    logits = rng.normal(0, 1, (n, 3)) + 1.5 * np.eye(3)[truth]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    unsure = p.max(axis=1) < 0.5
    accepted = (np.arange(3) == p.argmax(axis=1)[:, None]) & ~unsure[:, None]
    return Scores(p.astype(np.float32), accepted, unsure), tuple((LABELS[t],) for t in truth), truth


def test_classification_equals_scikit_learn() -> None:
    from sklearn import metrics

    scores, targets, truth = softmax_scores()
    got = evaluate("classify", LABELS, scores, targets)
    answer = scores.probabilities.argmax(axis=1)
    expected = {
        "accuracy": metrics.accuracy_score(truth, answer),
        "recall_min": metrics.recall_score(truth, answer, average=None).min(),
        "recall_macro": metrics.recall_score(truth, answer, average="macro"),
        "precision_min": metrics.precision_score(truth, answer, average=None).min(),
        "f1_macro": metrics.f1_score(truth, answer, average="macro"),
        "unsure_rate": scores.unsure.mean(),
        "accuracy_sure": metrics.accuracy_score(truth[~scores.unsure], answer[~scores.unsure]),
        "log_loss": metrics.log_loss(truth, scores.probabilities.astype(float)),
    }
    assert {name: got.values[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert got.confusion == metrics.confusion_matrix(truth, answer).tolist()


def test_ece_by_hand() -> None:
    p = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]], np.float32)
    scores = Scores(p, p > 0.5, np.zeros(4, bool))
    got = evaluate("classify", ("a", "b"), scores, (("a",), ("b",), ("a",), ("b",)))
    # The bin of 0.9 to 1: confidence 0.95, half right; the bin of 0.6 to 0.7: confidence 0.65, all right.
    assert got.values["ece"] == pytest.approx(0.5 * 0.45 + 0.5 * 0.35, abs=1e-6)


def test_multilabel_equals_scikit_learn() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(1)
    truth = rng.random((150, 3)) < 0.4
    p = np.round(np.clip(0.35 * truth + rng.random((150, 3)) * 0.65, 0, 1), 2).astype(np.float32)  # with ties
    taken = p >= 0.5
    scores = Scores(p, taken, p.max(axis=1) < 0.55)
    targets = tuple(tuple(LABELS[c] for c in np.nonzero(row)[0]) for row in truth)
    got = evaluate("multilabel", LABELS, scores, targets)
    assert got.values == pytest.approx(
        {
            "f1_macro": metrics.f1_score(truth, taken, average="macro"),
            "f1_micro": metrics.f1_score(truth, taken, average="micro"),
            "recall_min": metrics.recall_score(truth, taken, average=None).min(),
            "precision_min": metrics.precision_score(truth, taken, average=None).min(),
            "average_precision": metrics.average_precision_score(truth, p, average="macro"),
            "exact_match": metrics.accuracy_score(truth, taken),
            "unsure_rate": scores.unsure.mean(),
        },
        abs=1e-6,
    )


def anomaly_scores(raw: np.ndarray, threshold: float) -> Scores:
    refused = raw >= threshold
    p = 1 / (1 + np.exp(-raw))
    return Scores(np.stack([1 - p, p], axis=1), np.stack([~refused, refused], axis=1), np.zeros(len(raw), bool), raw)


def test_anomaly_equals_scikit_learn() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(2)
    faulty = rng.random(90) < 0.3
    raw = np.round(rng.normal(0, 1, 90) + 1.5 * faulty, 1)  # with ties
    got = evaluate("anomaly", BINARY, anomaly_scores(raw, 0.8), tuple((BINARY[int(f)],) for f in faulty))
    refused = raw >= 0.8
    assert got.values == pytest.approx(
        {
            "auroc": metrics.roc_auc_score(faulty, raw),
            "average_precision": metrics.average_precision_score(faulty, raw),
            "recall": metrics.recall_score(faulty, refused),
            "false_reject_rate": refused[~faulty].mean(),
            "balanced_accuracy": metrics.balanced_accuracy_score(faulty, refused),
            "unsure_rate": 0.0,
        }
    )
    assert got.confusion == metrics.confusion_matrix(faulty, refused).tolist()


BY_SIZE = ("map75", "map_small", "map_medium", "map_large")
"""Figures that only inform: no gate can ask for them, and they have no interval."""


def perfect(task: str) -> Metrics:
    labels = BINARY if task == "anomaly" else LABELS
    truth = np.repeat(np.arange(len(labels)), 20)
    p = np.eye(len(labels), dtype=np.float32)[truth]
    scores = Scores(p, p > 0.5, np.zeros(len(p), bool), p[:, 1] if task == "anomaly" else None, things_of(task, p))
    return evaluate(task, labels, scores, truths_of(task, labels, [(labels[t],) for t in truth]))


def things_of(task: str, p: np.ndarray) -> tuple[Things, ...] | None:
    return boxed.things(p) if task == "detect" else None


def truths_of(task: str, labels: Sequence[str], targets: Sequence[tuple[str, ...]]) -> tuple[Truth, ...]:
    return boxed.truth(labels, targets) if task == "detect" else tuple(targets)


@pytest.mark.parametrize("task", METRICS.names())
def test_a_perfect_score_on_few_images_is_not_certain(task: str) -> None:
    got = perfect(task)
    assert set(GATE_NAMES[task]) <= set(got.values)
    assert set(got.intervals) == set(got.values) - set(BY_SIZE)
    shares = [n for n in GATE_NAMES[task] if n not in ("unsure_rate", "false_reject_rate")]
    assert {name: got.values[name] for name in shares} == dict.fromkeys(shares, 1.0)
    assert all(got.intervals[name][0] < 0.97 and got.intervals[name][1] == 1.0 for name in shares)


def test_no_mistake_on_few_images_is_no_proof_of_calibration() -> None:
    """Where a bootstrap gives a point: up to 6 % may be wrong of 60, and each would cost what certainty costs."""
    got = perfect("classify")
    unseen = wilson(0.0, 60)[1]
    assert (got.values["log_loss"], got.values["ece"]) == (0.0, 0.0)
    assert got.intervals["ece"] == pytest.approx((0.0, unseen))
    assert got.intervals["log_loss"] == pytest.approx((0.0, unseen * -np.log(1e-7)))


@pytest.mark.parametrize("task", METRICS.names())
def test_every_value_lies_in_its_interval(task: str) -> None:
    rng = np.random.default_rng(3)
    labels = BINARY if task == "anomaly" else LABELS
    truth = rng.integers(0, len(labels), 40)
    p = rng.dirichlet(np.ones(len(labels)), 40).astype(np.float32)
    raw = p[:, 1] if task == "anomaly" else None
    scores = Scores(p, p >= p.max(axis=1, keepdims=True), p.max(axis=1) < 0.6, raw, things_of(task, p))
    got = evaluate(task, labels, scores, truths_of(task, labels, [(labels[t],) for t in truth]))
    assert all(got.intervals[n][0] <= v <= got.intervals[n][1] for n, v in got.values.items() if n not in BY_SIZE)
    rows = [(row.precision, row.precision_interval) for row in got.per_class]
    rows += [(row.recall, row.recall_interval) for row in got.per_class]
    rows += [(row.f1, row.f1_interval) for row in got.per_class]
    assert all(low <= value <= high for value, (low, high) in rows)
    again = evaluate(task, labels, scores, truths_of(task, labels, [(labels[t],) for t in truth]))  # seeded
    assert json.dumps(got.to_json()) == json.dumps(again.to_json())


@pytest.mark.parametrize(
    ("task", "labels", "targets", "missing", "note"),
    [
        ("classify", LABELS, (("crack",), ("crack",)), {"recall_min", "precision_min", "accuracy_sure"}, "recall_min"),
        ("classify", LABELS, (("rust",), ("crack",)), {"recall_min", "precision_min", "accuracy_sure"}, "accuracy"),
        ("multilabel", LABELS, ((), ("crack",)), {"recall_min", "precision_min"}, "f1_macro"),
        (
            "multilabel",
            LABELS,
            ((), ()),
            {"f1_macro", "f1_micro", "recall_min", "precision_min", "average_precision"},
            "f1_micro",
        ),
        (
            "anomaly",
            BINARY,
            (("good",), ("good",)),
            {"auroc", "average_precision", "recall", "balanced_accuracy"},
            "recall",
        ),
        (
            "anomaly",
            BINARY,
            (("anomaly",), ("anomaly",)),
            {"auroc", "average_precision", "false_reject_rate", "balanced_accuracy"},
            "false_reject_rate",
        ),
    ],
)
def test_what_the_test_set_lacks_is_not_measured_and_noted(
    task: str, labels: tuple[str, ...], targets: tuple[tuple[str, ...], ...], missing: set[str], note: str
) -> None:
    p = np.full((2, len(labels)), 1 / len(labels), np.float32)
    scores = Scores(p, np.zeros(p.shape, bool), np.ones(2, bool))
    got = evaluate(task, labels, scores, targets)
    assert {name for name, value in got.values.items() if np.isnan(value)} == missing
    assert set(got.intervals) == set(got.values) - missing
    assert {*missing, note} <= set(got.notes)
    row = json.loads(json.dumps(got.to_json(), allow_nan=False))
    assert {name for name, value in row["values"].items() if value is None} == missing
    assert {r["recall"] for r in row["per_class"] if not r["n"]} <= {None}


def test_the_worst_class_is_not_known_while_one_is_untested() -> None:
    p = np.eye(3, dtype=np.float32)[[0, 0, 1, 0]]
    got = evaluate("classify", LABELS, Scores(p, p > 0, np.zeros(4, bool)), tuple((LABELS[t],) for t in (0, 0, 1, 1)))
    assert (np.isnan(got.values["recall_min"]), got.notes["recall_min"]) == (
        True,
        "no test image is of scratch: add some; worst of the other classes: dent with 0.5000",
    )
    assert got.notes["precision_min"] == "never the answer: scratch; worst of the other classes: crack with 0.6667"


def test_labels_are_not_compared_with_each_other_to_find_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[object] = []
    monkeypatch.setattr(ClassRow, "__eq__", lambda *rows: compared.append(rows) or False)
    rows = [ClassRow(str(number), 1, 0.5, np.nan if number else 0.5, 0.5) for number in range(4)]
    assert (
        worst(rows, "recall")[2] == "no test image is of 1, 2, 3: add some; worst of the other classes: 0 with 0.5000"
    )
    assert compared == []


def test_a_label_that_the_head_does_not_know_is_a_wrong_answer() -> None:
    p = np.eye(3, dtype=np.float32)
    scores = Scores(p, p > 0, np.zeros(3, bool))
    got = evaluate("classify", LABELS, scores, (("crack",), ("dent",), ("rust",)))
    assert got.values["accuracy"] == pytest.approx(2 / 3)
    assert "rust" in got.notes["accuracy"]


def test_the_worst_class_is_named() -> None:
    p = np.eye(3, dtype=np.float32)[[0, 0, 1, 0, 2, 2]]
    scores = Scores(p, p > 0, np.zeros(6, bool))
    got = evaluate("classify", LABELS, scores, tuple((LABELS[t],) for t in (0, 0, 1, 1, 2, 2)))
    assert (got.values["recall_min"], got.notes["recall_min"]) == (0.5, "worst class: dent")
    assert got.notes["precision_min"] == "worst class: crack"


def test_shapes_are_checked() -> None:
    scores, targets, _ = softmax_scores(5)
    with pytest.raises(ValueError, match=r"expected answers of shape \(4, 3\)"):
        evaluate("classify", LABELS, scores, targets[:4])
    with pytest.raises(NotFoundError, match="no metric named 'clasify'"):
        evaluate("clasify", LABELS, scores, targets)
