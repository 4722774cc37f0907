"""Images a second from JPEG bytes to the answers of a thousand models, against the bare trunk graph fed from memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from statistics import median
from typing import Any

from benchmarks.common import Figure, Reference, Result, main, scratch
from benchmarks.engine_heads import fleet
from benchmarks.jpeg_to_features import images_per_second, in_memory, pictures

ASKED = 0.80
THREADS, HEADS = 2, 1_000
PAIRS, IMAGES, UNDER_WAY = 9, 384, 48
BATCH = 2
"""Images a run of the bare graph: the fastest of 1, 2, 4 and 8 here."""


def run(quick: bool) -> Result:
    """Both ways in turn, each pair in the other order than the one before, so that a slow moment hits both alike."""
    from trunkline.algorithms.trunks import open_trunk, resolve
    from trunkline.core.settings import Settings
    from trunkline.platform.engine.engine import Engine

    pairs, count, heads = (2, 48, 20) if quick else (PAIRS, IMAGES, HEADS)
    with scratch() as home:
        files = pictures(count, home / "drawn", quick)
        settings = Settings(home=home, threads=THREADS)
        trunk = resolve("efficientnet-lite0", home)
        session = open_trunk(trunk, settings)
        batches = in_memory(session, files, settings.model_copy(update={"batch": BATCH}))
        models = dict(fleet(trunk, heads, home))
        engine = Engine(settings)
        engine.put(models, trunk)
        data = [path.read_bytes() for path in files]
        ways: dict[str, Callable[[], Any]] = {
            "memory": lambda: [out["pooled"] for out in session.stream(iter(batches))],
            "bytes": lambda: answered(engine, data, list(models), settings),
        }
        check(ways["bytes"](), models)
        ways["memory"]()  # warms up
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(pairs):
            for name in sorted(ways, reverse=bool(number % 2)):
                speeds[name].append(images_per_second(ways[name], count))
        engine.close()
        session.close()
    ratios = [a / b for a, b in zip(speeds["bytes"], speeds["memory"], strict=True)]
    ratio = median(ratios)
    reference = Reference(
        f"the bare graph ({session.runtime}, float32 as in the engine), fed from memory in batches of {BATCH}",
        round(median(speeds["memory"]), 1), "images/s",
    )  # fmt: skip
    return Result(
        figures=[
            Figure(
                f"JPEG bytes to the answers of {heads:,} models", round(median(speeds["bytes"]), 1), "images/s",
                f">= {ASKED:.0%} of the bare graph", ratio >= ASKED, reference, ratio,
            )
        ],
        method=f"{count} NEU-DET files (416 x 416, JPEG), their bytes in memory, decoded by the engine, asked "
        f"of {heads:,} six-class heads in one engine, at most {UNDER_WAY} images under way; {THREADS} threads; {pairs} "
        "pairs in alternating order, the ratio is the median of the pairs' ratios",
        detail={"ratio_lowest": round(min(ratios), 3), "ratio_highest": round(max(ratios), 3)},
    )  # fmt: skip


def answered(engine: Any, data: Sequence[bytes], keys: Sequence[str], settings: Any) -> list[Any]:
    """The answers on all images, in their order."""
    from trunkline.core.images import decode

    answers: list[Any] = []
    under_way: deque[Future[Any]] = deque()
    for image in data:
        under_way.append(engine.ask(partial(decode, image, max_pixels=settings.max_pixels), keys))
        if len(under_way) >= UNDER_WAY:
            answers.append(under_way.popleft().result())
    answers += [future.result() for future in under_way]
    return answers


def check(answers: Sequence[Any], models: Any) -> None:
    """Every image is answered by every model."""
    for answer in (answers[0], answers[-1]):
        assert list(answer.scores) == list(models)
        assert all(abs(float(scores.probabilities.sum()) - 1) < 1e-4 for scores in answer.scores.values())


if __name__ == "__main__":
    main(run)
