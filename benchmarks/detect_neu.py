"""Boxes on NEU-DET with the trunk frozen: mAP50 on a fifth of the images, and the CPU minutes of the whole build."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from benchmarks import line
from benchmarks.common import NEU, Figure, Reference, Result, main, scratch

ASKED, MINUTES = 0.68, 10.0
TEST, SEED = 0.2, 0
METHOD = (
    "`task: detect` on all of NEU-DET with its VOC boxes through the line, nothing set but the split: "
    f"{TEST:.0%} of the images to test, seed {SEED}, near-duplicates on one side. CPU minutes of all threads from the "
    "files to the sealed bundle, the trunk exported before. Reference: one box a picture, of its true kind, the mean "
    "of that kind's boxes in training; what can be had without looking where things are."
)


def run(quick: bool) -> Result:
    from trunkline.core.types.scenario import Scenario, Source, Split

    with scratch() as folder:
        source = drawn(folder / "drawn") if quick else NEU.parent
        trunk = line.trunk(quick)
        line.set_up(folder / "home", trunk)
        given: dict[str, Any] = {"plan": {"side": 32, "finest": 4, "width": 8, "epochs": 2}} if quick else {}
        scenario = Scenario(
            name="boxes",
            task="detect",
            data=(Source(path=source),),
            trunk=trunk,
            split=Split(test=TEST, seed=SEED),
            **given,
        )
        built = line.build(folder / "home", [scenario])
        guessed = mean_boxes(folder / "home", "boxes")
    result = built.results[0]
    value, minutes = result.metrics["map50"], result.cpu_seconds / 60
    low, high = result.intervals["map50"]
    reference = Reference("the mean box of the true kind", round(guessed, 4), "mAP50")
    figures = [
        Figure("NEU-DET boxes, trunk frozen", round(value, 4), "mAP50", f">= {ASKED}", value >= ASKED, reference,
               value / max(guessed, 1e-9)),
        Figure("CPU time of that build", round(minutes, 2), "CPU minutes", f"<= {MINUTES:g}", minutes <= MINUTES),
    ]  # fmt: skip
    detail = {
        "interval": [round(low, 4), round(high, 4)],
        "metrics": {name: value for name, value in result.metrics.items() if not math.isnan(value)},
        "seconds": result.seconds,
    }
    return Result(figures, METHOD, (SEED,), detail)


def mean_boxes(home: Path, name: str) -> float:
    """mAP50 of one box a test picture and kind that is in it: the mean of the training boxes of that kind."""
    import numpy as np

    from trunkline.algorithms.heads.base import Scores, Things
    from trunkline.algorithms.metrics import evaluate
    from trunkline.core.settings import load_settings
    from trunkline.core.types.dataset import Boxed
    from trunkline.platform.data.store import DataStore
    from trunkline.platform.data.view import truths

    dataset = DataStore(load_settings(home)).load(name)
    learned, tested = (truths("detect", dataset.split(side)) for side in ("train", "test"))
    boxes: dict[str, list[tuple[float, ...]]] = {label: [] for label in dataset.labels}
    for truth in learned:
        for box in truth.shares() if isinstance(truth, Boxed) else ():
            boxes[box.label].append((box.x1, box.y1, box.x2, box.y2))
    means = {label: np.mean(rows, axis=0) for label, rows in boxes.items()}
    index = {label: number for number, label in enumerate(dataset.labels)}
    things = []
    for truth in tested:
        there = sorted(set(truth))
        corners = np.array([means[label] for label in there]).reshape(-1, 4)
        found = np.array([index[label] for label in there], int)
        things.append(Things(corners, found, np.full(len(there), 0.9), np.ones(len(there), bool)))
    none = np.zeros((len(tested), len(dataset.labels)), np.float32)
    scores = Scores(none, none > 0, none[:, 0] > 0, things=tuple(things))
    return evaluate("detect", dataset.labels, scores, tested, intervals=False).values["map50"]


def drawn(folder: Path) -> Path:
    """Small pictures with a bright or a dark square and its box, for a quick run, in YOLO's layout."""
    import numpy as np
    from PIL import Image

    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    (folder / "data.yaml").write_text("names: {0: dark, 1: bright}\n")
    for number in range(40):
        rng = np.random.default_rng(number)
        pixels = rng.normal(128, 12, (64, 64, 3))
        kind, (x, y) = number % 2, rng.integers(0, 44, 2)
        pixels[y : y + 20, x : x + 20] += 80 if kind else -80
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / "images" / f"{number}.png")
        centre = ((x + 10) / 64, (y + 10) / 64)
        (folder / "labels" / f"{number}.txt").write_text(f"{kind} {centre[0]} {centre[1]} {20 / 64} {20 / 64}\n")
    return folder


if __name__ == "__main__":
    main(run)
