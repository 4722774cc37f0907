"""What an image costs with one head on the trunk, with a thousand and with ten thousand; and what the heads weigh."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import Figure, Reference, Result, in_child, main, scratch
from benchmarks.jpeg_to_features import in_memory, pictures

CLASSES, WIDTHS = 6, (1, 1_000, 10_000)
LIMITS = {1_000: 1.10, 10_000: 1.5}
MEMORY_MB = 400
THREADS, TOGETHER = 2, 16
ROUNDS, IMAGES = 9, 192
SEPARATE = 10
METHOD = (
    f"{IMAGES} NEU-DET pictures, decoded and resized before, through the trunk and all heads as the engine runs them: "
    f"{THREADS} threads, heads on {TOGETHER} images at a time, answers as calibrated probabilities, decisions and "
    f"`unsure` of every head. Heads are of {CLASSES} classes, of random weights, all different. CPU seconds an image "
    f"of all threads; {ROUNDS} rounds of all counts in turn, each in the other order than the one before, the ratio is "
    "the median of the rounds' ratios. Memory: resident, in a process that opens the trunk and makes the heads, and in "
    f"one that makes one head. Reference: {SEPARATE} copies of the whole network as {SEPARATE} separate ONNX Runtime "
    "sessions of 1 image a run, one after the other, scaled to a thousand."
)


def run(quick: bool) -> Result:
    from trunkline.algorithms.trunks import open_trunk, resolve
    from trunkline.core.settings import Settings

    counts, rounds, images = ((1, 20), 2, 32) if quick else (WIDTHS, ROUNDS, IMAGES)
    with scratch() as home:
        settings = Settings(home=home, threads=THREADS)
        trunk = resolve("efficientnet-lite0", home)
        session = open_trunk(trunk, settings)
        batches = in_memory(session, pictures(images, home / "drawn", quick), settings)
        fleets = {count: fleet(trunk, count, home) for count in counts}
        ways = {count: answering(session, batches, fleets[count]) for count in counts}
        cpu, wall = in_turn(ways, rounds, images)
        session.close()
        separate = alone(trunk, batches, 2 if quick else SEPARATE)
        del fleets, ways
        words = (str(home), str(counts[-1]))
        one, many = (in_child("benchmarks.engine_heads:weigh", words[0], count) for count in ("1", words[1]))
    return Result(_figures(counts, cpu, wall, separate, many["mb"] - one["mb"]), METHOD, (0,), {
        "cpu_ms": {str(count): round(1e3 * median(cpu[count]), 3) for count in counts},
        "wall_ms": {str(count): round(1e3 * median(wall[count]), 3) for count in counts},
        "separate_ms": round(1e3 * separate, 2),
        "resident_mb": {"1": one["mb"], words[1]: many["mb"]},
    })  # fmt: skip


def _figures(
    counts: Sequence[int], cpu: dict[int, list[float]], wall: dict[int, list[float]], separate: float, memory: float
) -> list[Figure]:
    figures = []
    for count in counts[1:]:
        ratio = median(many / one for many, one in zip(cpu[count], cpu[1], strict=True))
        limit = LIMITS.get(count, 0.0)
        reference = Reference("the same with 1 head", round(1e3 * median(cpu[1]), 2), "ms of CPU an image")
        figures.append(
            Figure(
                f"an image with {count:,} heads", round(1e3 * median(cpu[count]), 2), "ms of CPU an image",
                f"<= {limit} times the cost with 1 head", ratio <= limit, reference, 1 / ratio,
            )
        )  # fmt: skip
    count = counts[1]
    rate, apart = count / median(wall[count]), 1 / separate
    separately = Reference(f"separate ONNX models ({SEPARATE}, scaled)", round(apart, 1), "models x images/s")
    figures.append(
        Figure(
            f"{count:,} models in the engine", round(rate), "models x images/s", ">= 500 times separate models",
            rate >= 500 * apart, separately, rate / apart,
        )
    )  # fmt: skip
    figures.append(
        Figure(
            f"memory of {counts[-1]:,} heads above one", round(memory), "MB", f"< {MEMORY_MB} MB", memory < MEMORY_MB
        )
    )
    return figures


def fleet(trunk: Any, count: int, home: Path) -> Any:
    """So many heads of random weights, as the engine holds them."""
    import numpy as np

    from trunkline.core.types.head import TrainedHead
    from trunkline.platform.engine.fleet import Fleet, Model

    labels = tuple(f"class {number}" for number in range(CLASSES))
    channels = [tap.channels for tap in trunk.card.taps]

    def model(number: int) -> Model:
        rng = np.random.default_rng(number)
        weight = rng.standard_normal((trunk.card.width, CLASSES), np.float32)
        weights = {"weight": weight, "bias": np.zeros(CLASSES, np.float32)}
        unsure = dict.fromkeys(labels, (0.0, 0.5))
        head = TrainedHead(
            "classify", labels, trunk.card.digest, weights, {"channels": channels}, dict.fromkeys(labels, 0.5), unsure,
            {"temperature": 1.0},
        )  # fmt: skip
        return Model(f"{number:064x}", head, f"model{number}")

    made = Fleet(trunk.card.digest, folder=home / "engine")
    for start in range(0, count, 256):  # not all at once: each is held twice while a block is made
        made = made.changed({f"model{n}": model(n) for n in range(start, min(count, start + 256))})
    return made


def answering(session: Any, batches: Sequence[Any], heads: Any) -> Callable[[], None]:
    """Run the trunk on all batches, and all heads on its features while it is at the next ones."""
    import numpy as np

    from trunkline.compute.chips.blas import Blas
    from trunkline.core.types.features import FeatureTable

    blas = Blas(THREADS)

    def go() -> None:
        waiting: list[Any] = []
        with blas.limit(1):
            for out in session.stream(iter(batches)):
                waiting.append(out["pooled"])
                if sum(map(len, waiting)) >= TOGETHER:
                    pooled = np.concatenate(waiting)
                    heads.answers(FeatureTable(("",) * len(pooled), pooled, heads.trunk))
                    waiting.clear()

    return go


def in_turn(
    ways: dict[int, Callable[[], None]], rounds: int, images: int
) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """Seconds of CPU and by the clock an image, round by round."""
    cpu: dict[int, list[float]] = {count: [] for count in ways}
    wall: dict[int, list[float]] = {count: [] for count in ways}
    for way in ways.values():
        way()  # allocates
    for number in range(rounds):
        for count in sorted(ways, reverse=bool(number % 2)):
            clock, spent = time.perf_counter(), time.process_time()
            ways[count]()
            cpu[count].append((time.process_time() - spent) / images)
            wall[count].append((time.perf_counter() - clock) / images)
    return cpu, wall


def alone(trunk: Any, batches: Sequence[Any], models: int) -> float:
    """Seconds that one image takes in one of some separate networks, each a session of its own."""
    from trunkline.compute.runtimes import RUNTIMES

    runtime = RUNTIMES.load("onnxruntime")()
    sessions = [runtime.open(trunk.path(), outputs=("pooled",), threads=THREADS) for _ in range(models)]
    singles = [batch[:1] for batch in batches[:8]]
    for session in sessions:
        session.run(singles[0])
    start = time.perf_counter()
    for single in singles:
        for session in sessions:
            session.run(single)
    seconds = (time.perf_counter() - start) / (len(singles) * models)
    for session in sessions:
        session.close()
    return seconds


def weigh(home: str, count: str) -> dict[str, Any]:
    """Resident megabytes of a process with so many heads on an open trunk that have answered once."""
    import numpy as np

    from trunkline.algorithms.trunks import open_trunk, resolve
    from trunkline.core.settings import Settings

    settings = Settings(home=Path(home), threads=THREADS)
    trunk = resolve("efficientnet-lite0", Path(home))
    session = open_trunk(trunk, settings)
    batches = [np.zeros((settings.batch, trunk.card.size, trunk.card.size, 3), np.uint8)] * (TOGETHER // settings.batch)
    heads = fleet(trunk, int(count), Path(home))
    answering(session, batches, heads)()
    return {"mb": round(resident() / 2**20, 1), "heads": len(heads)}


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(run)
