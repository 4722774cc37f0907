"""A rebuild where nothing has changed, and one after 50 images were added: only those are embedded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import line
from benchmarks.common import (
    ROOT,
    Classes,
    Cost,
    Figure,
    Reference,
    Result,
    cost,
    draw,
    in_child,
    lay_out,
    main,
    neu_classes,
    scratch,
)

SEED = 0
ADDED = 50
LIMIT = 1.0
_RUNS = 5


def run(quick: bool) -> Result:
    trunk, runs, added = line.trunk(quick), 1 if quick else _RUNS, 4 if quick else ADDED
    with scratch() as folder:
        classes = line.drawn(folder / "drawn", ("a", "b"), 8) if quick else neu_classes()
        data = lay_out(folder / "data", classes)
        images = sum(map(len, classes.values()))
        words = (str(folder / "home"), str(data), trunk)
        once = in_process if quick else partial(in_child, "benchmarks.rebuild:in_process")
        first = once(*words)
        warm = [once(*words) for _ in range(runs)]
        whole = [whole_process(*words) for _ in range(runs)]
        add(data, classes, added)
        more = once(*words)
    assert [row["status"] == "unchanged" for row in (first, *warm, more)] == [False, *(True for _ in warm), False]
    seconds = median(row["wall"] for row in warm)
    return Result(
        _figures(images, added, first, seconds, more),
        "A fresh process each, timed after its imports, in a home that was set up (trunk exported, faster runtime "
        "found); the median of the rebuilds. Added images are mirrored copies of others. Images embedded are those "
        "that streams of the trunk take. `whole_process` is `trunkline build --json` from start to end.",
        (SEED,),
        {"first": first, "warm": warm, "whole_process": [vars(spent) for spent in whole], "added": more},
    )


def _figures(images: int, added: int, first: dict[str, Any], seconds: float, more: dict[str, Any]) -> list[Figure]:
    before = Reference(f"the first build of the {images:,} images", round(first["wall"], 2), "s")
    return [
        Figure(
            f"rebuild of an unchanged scenario of {images:,} images", round(seconds, 4), "s", f"< {LIMIT:g} s",
            seconds < LIMIT, before, first["wall"] / seconds,
        ),
        Figure(
            f"images embedded after {added} were added", more["embedded"], "images", f"exactly {added}",
            more["embedded"] == added, Reference("the first build", first["embedded"], "images"),
        ),
        Figure(
            f"rebuild after {added} images were added", round(more["wall"], 2), "s",
            reference=before, ratio=first["wall"] / more["wall"],
        ),
    ]  # fmt: skip


def in_process(home: str, data: str, trunk: str) -> dict[str, Any]:
    """One build of a folder, after imports."""
    line.warm_up()
    line.set_up(Path(home), trunk)
    built = line.build(Path(home), [line.scenario("steel", Path(data), trunk=trunk)])
    result = built.results[0]
    return {
        "status": result.status,
        "images": result.images,
        "embedded": built.embedded,
        "wall": round(built.spent.wall, 4),
        "cpu": round(built.spent.cpu, 4),
        "cpu_by_station": built.cpu_by_station,
    }


def whole_process(home: str, data: str, trunk: str) -> Cost:
    """The command, from its start to its end."""
    scenario = Path(home).parent / "steel.yaml"
    scenario.write_text(f"name: steel\ntask: classify\ndata: {data}\ntrunk: {trunk}\n")
    command = [sys.executable, "-m", "trunkline.cli", "build", str(scenario), "--json"]
    before = os.times()
    with cost() as spent:
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "TRUNKLINE_HOME": home}, stdout=subprocess.PIPE, text=True, check=True
        )
    after = os.times()
    assert json.loads(done.stdout)["status"] == "unchanged"
    return Cost(round(spent.wall, 3), round(sum(after[2:4]) - sum(before[2:4]), 3))


def add(data: Path, classes: Classes, count: int) -> None:
    """Put mirrored copies of images beside the others."""
    from PIL import Image, ImageOps

    labels = sorted(classes)
    (chosen,) = draw(classes, [-(-count // len(labels))], SEED)
    turns = [(label, path) for paths in zip(*(chosen[label] for label in labels), strict=True)
             for label, path in zip(labels, paths, strict=True)]  # fmt: skip
    for label, path in turns[:count]:
        with Image.open(path) as image:
            ImageOps.mirror(image).save(data / label / f"mirrored-{path.name}", quality=95)


if __name__ == "__main__":
    main(run)
