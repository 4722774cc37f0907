"""The chip npu-int8: accuracy of a model on its simulator against floats, cycles at named arrays, simulator speed."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks import line
from benchmarks.common import Figure, Reference, Result, draw, main, neu_classes, scratch

SEEDS = (0, 1, 2)
LEARN, TEST = 20, 60
ARRAYS = ("edge-16x16", "edge-32x32", "tpu-v1-256x256")
LOSS, SECONDS = 0.01, 2.0
METHOD = (
    f"{LEARN} images a class to learn from, {TEST} others a class to test on, mean of {len(SEEDS)} seeds. The model is "
    "built by the line on float features; trunk and head are compiled for npu-int8 with 16 of its training images to "
    "calibrate on, and both sides answer the same test images. Cycles: SCALE-Sim's of the trunk's products, one image, "
    "without waits for memory; reference: as many as a full array would need. Seconds an image: the simulator, one "
    "image a thread."
)


def run(quick: bool) -> Result:
    seeds, learn, test = (SEEDS[:1], 4, 4) if quick else (SEEDS, LEARN, TEST)
    trunk = line.trunk(quick)
    with scratch() as folder:
        source = line.drawn(folder / "drawn", ("a", "b", "c"), 9) if quick else neu_classes()
        images = line.copied(folder / "images", source)
        reports = [_measured(folder, draw(images, [learn, test], seed), seed, trunk) for seed in seeds]
        counted = {name: _cycles(folder / "home", trunk, images, name) for name in ARRAYS}
    figures = _figures(reports, counted)
    detail = {
        "models": [report["model"] for report in reports],
        "features_cosine": [report["features_cosine"] for report in reports],
        "cycles": counted,
    }
    return Result(figures, METHOD, seeds, detail)


def _measured(folder: Path, parts: list[dict[str, list[Path]]], seed: int, trunk: str) -> dict[str, Any]:
    """Build a model and set the chip's answers beside the float ones."""
    from trunkline.core.settings import load_settings
    from trunkline.platform.bench.npu import simulate

    path = line.listed(folder / f"seed{seed}.csv", {"train": parts[0], "test": parts[1]})
    line.build(folder / "home", [line.scenario(path.stem, path, trunk=trunk)])
    settings = load_settings(folder / "home")
    return simulate(settings, trunk="", model=path.stem, array=ARRAYS[0], images=None).to_json()


def _cycles(home: Path, trunk: str, images: dict[str, list[Path]], name: str) -> dict[str, float]:
    """Cycles and multiplications of one image on an array; they follow from shapes alone, so two images calibrate."""
    from trunkline.core.settings import load_settings
    from trunkline.platform.bench.npu import simulate

    few = next(iter(images.values()))[:2]
    row = simulate(load_settings(home), trunk=trunk, model=None, array=name, images=few).to_json()
    return {key: row[key] for key in ("cycles", "macs", "utilisation")}


def _figures(reports: list[dict[str, Any]], counted: dict[str, dict[str, float]]) -> list[Figure]:
    ours, floats = (mean(report["model"][f"accuracy_{side}"] for report in reports) for side in ("npu", "float"))
    seconds = mean(report["seconds_per_image"] for report in reports)
    figures = [
        Figure(
            f"NEU-DET, {LEARN} images a class to learn from: accuracy on npu-int8",
            round(ours, 5),
            asked=f"at most {LOSS:g} under floats",
            met=ours >= floats - LOSS,
            reference=Reference("the same model in floats, same images", round(floats, 5), ""),
            ratio=ours / floats,
        ),
        Figure(
            "npu-int8, trunk features against floats: cosine",
            round(mean(report["features_cosine"] for report in reports), 5),
        ),
        Figure("npu-int8 simulator, the trunk", round(seconds, 3), "s an image", f"< {SECONDS:g}", seconds < SECONDS),
    ]
    for name, row in counted.items():
        sides = name.rpartition("-")[2].split("x")
        full = row["macs"] / (int(sides[0]) * int(sides[1]))
        reference = Reference("an array that is always full", round(full), "cycles an image")
        figures.append(
            Figure(
                f"the trunk on {name}",
                row["cycles"],
                "cycles an image",
                reference=reference,
                ratio=full / row["cycles"],
            )
        )
    return figures


if __name__ == "__main__":
    main(run)
