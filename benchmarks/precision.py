"""The trunk in the runtime and precision that were chosen for a model, against float32 in the slower runtime."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from benchmarks import line
from benchmarks.common import Figure, Reference, Result, draw, main, neu_classes, scratch

ASKED = 2.0
THREADS, LEARN, ROUNDS, IMAGES = 2, 20, 15, 16
LOSS = 0.005
METHOD = (
    f"A model of NEU-DET, {LEARN} images a class to learn from, all others in its frozen test set. `trunkline bench "
    "chip` calibrates INT8 on the images that it learned from, measures all ways, and chooses. Then the chosen way and "
    f"float32 in both runtimes run in turn, {ROUNDS} rounds, {THREADS} threads, batches of 4; the ratio is by the "
    "clock or by CPU time, whichever says less."
)


def run(quick: bool) -> Result:
    from trunkline.compute.chips.machine import machine
    from trunkline.core.settings import Settings
    from trunkline.platform.bench.chip import bench_chip

    trunk, learn, rest = (line.QUICK_TRUNK, 8, 8) if quick else (line.TRUNK, LEARN, -1)
    with scratch() as folder:
        source = line.drawn(folder / "drawn", ("a", "b"), 16) if quick else neu_classes()
        train, test = draw(line.copied(folder / "images", source), [learn, rest], 0)
        path = line.listed(folder / "model.csv", {"train": train, "test": test})
        home = folder / "home"
        line.build(home, [line.scenario("model", path, trunk=trunk)])
        settings = Settings(home=home, threads=THREADS)
        card, _ = bench_chip(settings, refs=["model"], max_loss=LOSS)
        (row,), (model,) = card.trunks.values(), card.models.values()
        speeds = _in_turn(settings, trunk, row, model, 2 if quick else ROUNDS)
        loaded = _loaded(home)
    floats = {way: speed for way, speed in speeds.items() if way.precision == "fp32"}
    slower = min(floats, key=lambda way: floats[way].images_per_second)
    ours = speeds[model.way]
    ratio = ours.over(floats[slower]) if model.way != slower else 1.0
    units = ", ".join(machine()["features"]) or "none that are known"
    worst = max((trial.worst for trial in model.trials if trial.way == model.way), default=0.0)
    notes = "; ".join(card.what["notes"])
    return Result(
        figures=[
            Figure(
                f"the trunk in the way that was chosen ({model.way})",
                ours.images_per_second,
                "images/s",
                f"{ASKED:g} times float32 in the slower runtime, or the reason why not",
                ratio >= ASKED or bool(notes),
                Reference(f"{slower}", floats[slower].images_per_second, "images/s"),
                ratio,
            ),
            Figure(
                "recall that the class which loses most loses by it",
                round(worst, 5),
                asked=f"<= {LOSS:g}",
                met=worst <= LOSS + 1e-9,
            ),
        ],
        method=METHOD,
        seeds=(0,),
        detail={
            "reason": f"instruction sets: {units}. {notes}",
            "choice": model.reason,
            "loaded": loaded,
            "test_images": model.test_images,
            "ways": {str(way): speed.to_json() for way, speed in speeds.items()},
            "card": [_said(one) for one in row.ways],
            "classes": {str(trial.way): dict(trial.classes) for trial in model.trials},
        },
    )


def _in_turn(settings: Any, name: str, row: Any, model: Any, rounds: int) -> dict[Any, Any]:
    """Speed of the chosen way and of float32 in each runtime, by the way."""
    import numpy as np

    from trunkline.algorithms.trunks import open_trunk, resolve
    from trunkline.compute.runtimes.speed import measure

    trunk = resolve(name, settings.home)
    side = trunk.card.size
    images: Any = np.random.default_rng(0).integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
    ways = dict.fromkeys([*(one.way for one in row.ways if one.used == "fp32" and not one.reason), model.way])
    with ExitStack() as held:
        opened = {way: held.enter_context(closing(open_trunk(trunk, settings, way=way))) for way in ways}
        sessions = {way: session.session for way, session in opened.items()}
        return measure(sessions, images, threads=THREADS, batch=settings.batch, rounds=rounds)


def _loaded(home: Path) -> str:
    """The way that a `predict` of the model then takes, with nothing asked for."""
    from trunkline.core.settings import Settings
    from trunkline.platform.registry.use import predictors

    settings = Settings(home=home, threads=THREADS)
    opened = predictors("model", settings, warn=lambda sentence: None)
    said = ", ".join(getattr(predictor, "precision", "") for predictor in opened)
    for predictor in opened:
        predictor.close()
    return said


def _said(row: Any) -> dict[str, Any]:
    return {"way": str(row.way), "used": row.used, "times": row.times, "cosine": row.cosine, "reason": row.reason}


if __name__ == "__main__":
    main(run)
