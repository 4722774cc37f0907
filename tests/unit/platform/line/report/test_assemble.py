"""From answers to what a report shows."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trunkline.algorithms.heads.base import Scores
from trunkline.algorithms.metrics import evaluate
from trunkline.core.types.dataset import Sample
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.scenario import Scenario, Source
from trunkline.platform.line.gate import Measured
from trunkline.platform.line.report import assemble
from trunkline.platform.line.report.assemble import Shown, asked_for, doubted, wrong


def measured(
    task: str, p: list[list[float]], accepted: list[list[int]], unsure: list[int], truth: list[str]
) -> Measured:
    labels = ("good", "anomaly") if task == "anomaly" else ("a", "b")
    probabilities = np.array(p, np.float32)
    raw = probabilities[:, 1] if task == "anomaly" else None
    scores = Scores(probabilities, np.array(accepted, bool), np.array(unsure, bool), raw)
    targets = tuple(tuple(text.split()) for text in truth)
    head = TrainedHead(task, labels, "0" * 64, {}, {"cut": 0.5, "band": [0.4, 0.6]})
    return Measured(head, scores, targets, evaluate(task, labels, scores, targets))


@pytest.mark.parametrize(
    ("task", "p", "accepted", "truth", "expected"),
    [
        ("classify", [[0.9, 0.1], [0.3, 0.7], [0.8, 0.2]], [[1, 0], [0, 1], [0, 0]], ["b", "b", "b"],
         [Shown(0, "a", 0.9), Shown(2, "a", 0.8)]),
        ("multilabel", [[0.9, 0.1], [0.2, 0.3]], [[1, 0], [0, 0]], ["a b", "b"],
         [Shown(0, "a", 0.9), Shown(1, "none", 0.7)]),
        ("anomaly", [[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]], [[1, 0], [0, 1], [0, 1]], ["anomaly", "good", "anomaly"],
         [Shown(0, "good", 0.9), Shown(1, "anomaly", 0.8)]),
    ],
)  # fmt: skip
def test_mistakes_most_confident_first(
    task: str, p: list[list[float]], accepted: list[list[int]], truth: list[str], expected: list[Shown]
) -> None:
    found = wrong(measured(task, p, accepted, [0] * len(p), truth))
    assert [(one.row, one.said, round(one.score, 4)) for one in found] == [
        (one.row, one.said, one.score) for one in expected
    ]


@pytest.mark.parametrize(
    ("task", "p", "expected"),
    [
        ("classify", [[0.6, 0.4], [0.45, 0.55], [0.9, 0.1]], [(1, "b", 0.55), (0, "a", 0.6)]),
        ("multilabel", [[0.52, 0.01], [0.9, 0.45], [0.9, 0.1]], [(1, "b", 0.45), (0, "a", 0.52)]),
        ("anomaly", [[0.6, 0.4], [0.45, 0.55], [0.9, 0.1]], [(1, "anomaly", 0.55), (0, "good", 0.6)]),
    ],
)
def test_unsure_least_sure_first(task: str, p: list[list[float]], expected: list[tuple[int, str, float]]) -> None:
    best = [[int(row[0] >= row[1]), int(row[1] > row[0])] for row in p]
    found = doubted(measured(task, p, best, [1, 1, 0], ["good"] * 3 if task == "anomaly" else ["a"] * 3))
    assert [(one.row, one.said, round(one.score, 4)) for one in found] == expected


def test_what_was_asked_in_words() -> None:
    fields: dict[str, Any] = {
        "operating_point": {"recall": 0.95},
        "gates": {"accuracy": ">= 0.9"},
        "budget": {"cpu_minutes": 2},
    }
    scenario = Scenario(name="x", task="classify", data=(Source(path=Path("/somewhere/parts")),), **fields)
    assert asked_for(scenario, "voc") == {
        "Task": "classify",
        "Data": "parts",
        "Layout of the data": "voc, detected",
        "Trunk": "efficientnet-lite0",
        "Split": "25% put aside, seed 0, where the data brings no split",
        "Operating point": "recall 0.95",
        "Budget": "2 CPU minutes",
        "Gate accuracy": ">= 0.9",
    }


def test_pictures_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a whole set of large photographs, one is in memory at a time."""
    from PIL import Image

    alive: list[weakref.ref[Image.Image]] = []
    most: list[int] = []

    def decoded(images: Sequence[str]) -> Iterator[tuple[str, Image.Image]]:
        for image in images:
            picture = Image.new("RGB", (400, 300))
            alive.append(weakref.ref(picture))
            yield image, picture
            most.append(sum(one() is not None for one in alive))

    monkeypatch.setattr(assemble, "heat_maps", lambda job, measured, shown, inputs: [np.ones((7, 7))] * len(shown))
    samples = [Sample(f"{n:064x}", f"{n}.png", ("a",)) for n in range(6)]
    job: Any = SimpleNamespace(
        rows=lambda _: range(6), dataset=SimpleNamespace(samples=samples), dense=("tap",), pictures=decoded
    )
    answers = measured("classify", [[0.1, 0.9]] * 6, [[0, 1]] * 6, [0] * 6, ["a"] * 6)
    made = assemble._pictures(job, answers, wrong(answers))
    assert ([picture.name for picture in made], max(most)) == ([f"{n}.png" for n in range(6)], 1)
