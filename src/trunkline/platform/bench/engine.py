"""`trunkline bench engine`: what this machine can carry, measured part by part and as a whole, in under a minute."""

from __future__ import annotations

import io
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from trunkline.compute.chips.blas import Blas
from trunkline.compute.chips.machine import machine
from trunkline.core.errors import BusyError
from trunkline.core.images import decode
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead
from trunkline.platform.engine.fleet import Fleet, Model
from trunkline.platform.engine.predictor import TOGETHER

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.trunks import Trunk, TrunkCard
    from trunkline.compute.chips.base import Way
    from trunkline.core.settings import Settings

Say = Callable[[str], None]
HEADS = (1, 100, 1_000, 10_000)
"""How many heads an image is asked of."""
SERVED = 1_000
"""Models in the engine where a whole answer is measured."""
RATES = (1, 5, 15)
"""Frames a second of a camera."""
LOAD = 0.8
"""Share of the images a second that cameras may fill: beyond, a queue grows whenever two frames meet."""
FRAME = (1280, 720)
"""Pixels of the pictures that are decoded, width and height: a camera's."""
_CLASSES = 6
_PICTURES, _SECONDS, _ROUNDS = 16, 4.0, 5


@dataclass(frozen=True)
class EngineReport:
    """What a machine can carry.

    Attributes:
        trunk: The trunk's name.
        runtime, precision: In which it ran.
        threads, batch: As the settings say.
        trunk_images_per_second: Of batches from memory.
        single_ms_p50, single_ms_p95: The trunk on single images.
        decoded_images_per_second: JPEG to the trunk's input, all threads.
        frame: Width and height of those JPEGs, pixels.
        heads_ms: Number of six-class heads -> milliseconds that they take on one image, one thread.
        heads: Heads that were asked for a whole answer.
        answers_per_second: Images, from JPEG bytes to the answers of all those heads.
        memory_mb: Resident, with that engine at work.
        memory_mb_heads: Resident, added by 10,000 heads; their weights are mapped, and can be paged out.
        cameras: Frames a second of a camera -> cameras at 80 % of `answers_per_second`.
        machine: What it was measured on.
        seconds: What the measurement took.
    """

    trunk: str
    runtime: str
    precision: str
    threads: int
    batch: int
    trunk_images_per_second: float
    single_ms_p50: float
    single_ms_p95: float
    decoded_images_per_second: float
    frame: tuple[int, int]
    heads_ms: dict[str, float]
    heads: int
    answers_per_second: float
    memory_mb: float
    memory_mb_heads: float
    cameras: dict[str, int]
    machine: dict[str, Any]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def bench_engine(
    settings: Settings, *, trunk: str = "efficientnet-lite0", say: Say = lambda text: None
) -> EngineReport:
    """Measure the engine on this machine.

    Args:
        settings: Home, threads, batch, runtime, precision.
        trunk: The trunk's name.
        say: Told what is being measured.

    Raises:
        NotFoundError: On an unknown trunk, with near names.
        InputError: When the trunk, the runtime or the precision cannot be had here.
    """
    from trunkline.algorithms.trunks import open_trunk, resolve
    from trunkline.compute.runtimes.speed import measure
    from trunkline.platform.engine.precision import way_for

    start = time.monotonic()
    found = resolve(trunk, settings.home, where="--trunk", say=say)
    way = way_for(found, (), settings, say=say)
    files = frames(_PICTURES)
    say(f"{found.card.name}: the trunk alone")
    with closing(open_trunk(found, settings, way=way)) as session:
        pixels = _decoded(files, found.card, settings)
        speed = measure({"": session.session}, pixels, threads=settings.threads, batch=settings.batch)[""]
        runtime, precision = session.runtime, session.precision
        pooled = session.embed(list(pixels[:TOGETHER]))["pooled"]
    say(f"decoding JPEG of {FRAME[0]} x {FRAME[1]} pixels")
    decoding = _rate(lambda: _decoded(files, found.card, settings), len(files))
    before = resident_mb()
    costs, added = {}, 0.0
    fleet = Fleet(found.card.digest, folder=settings.home / "engine")
    for count in HEADS:
        say(f"{count:,} heads on an image")
        fleet = grown(fleet, found.card, count)
        costs[str(count)] = _heads_ms(fleet, pooled, settings)
        added = resident_mb() - before
    del fleet
    say(f"JPEG to the answers of {SERVED:,} models")
    answers, memory = _whole(found, files, settings, way)
    return EngineReport(
        trunk=found.card.name, runtime=runtime, precision=precision, threads=settings.threads, batch=settings.batch,
        trunk_images_per_second=speed.images_per_second, single_ms_p50=speed.p50_ms, single_ms_p95=speed.p95_ms,
        decoded_images_per_second=round(decoding, 1), frame=FRAME, heads_ms=costs, heads=SERVED,
        answers_per_second=round(answers, 1), memory_mb=round(memory, 1), memory_mb_heads=round(added, 1),
        cameras={str(rate): int(LOAD * answers / rate) for rate in RATES}, machine=machine(),
        seconds=round(time.monotonic() - start, 1),
    )  # fmt: skip


def frames(count: int) -> list[bytes]:
    """JPEG files as a camera gives them: smooth shapes with some noise, all different."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    files = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (9, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(FRAME, Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + rng.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(noisy).save(stream, "JPEG", quality=85)
        files.append(stream.getvalue())
    return files


def _decoded(files: Sequence[bytes], card: TrunkCard, settings: Settings) -> np.ndarray:
    """Pictures as the trunk takes them, by the path that the line uses: uint8 (n, size, size, 3)."""
    import numpy as np

    from trunkline.platform.engine.features import decoded

    data = {str(at): file for at, file in enumerate(files)}
    stream = decoded(list(data), lambda names: ((name, data[name]) for name in names), card, settings)
    return np.stack([pixels for _, pixels in stream])


def _rate(go: Callable[[], object], count: int) -> float:
    """Images a second of the best round within a few seconds."""
    best, end = 0.0, time.perf_counter() + _SECONDS
    while not best or time.perf_counter() < end:
        start = time.perf_counter()
        go()
        best = max(best, count / (time.perf_counter() - start))
    return best


def grown(fleet: Fleet, card: TrunkCard, count: int) -> Fleet:
    """A fleet with so many heads of random weights, all different."""
    for start in range(len(fleet), count, 256):  # not all at once: each is held twice while a block is made
        fleet = fleet.changed({f"model{n}": _model(card, n) for n in range(start, min(count, start + 256))})
    return fleet


def _model(card: TrunkCard, number: int) -> Model:
    import numpy as np

    labels = tuple(f"class{n}" for n in range(_CLASSES))
    weight = np.random.default_rng(number).standard_normal((card.width, _CLASSES), np.float32)
    head = TrainedHead(
        task="classify",
        labels=labels,
        trunk=card.digest,
        weights={"weight": weight, "bias": np.zeros(_CLASSES, np.float32)},
        config={"channels": [tap.channels for tap in card.taps]},
        thresholds=dict.fromkeys(labels, 0.5),
        unsure=dict.fromkeys(labels, (0.0, 0.5)),
        calibration={"temperature": 1.0},
    )
    return Model(f"{number:064x}", head, f"model{number}")


def _heads_ms(fleet: Fleet, pooled: np.ndarray, settings: Settings) -> float:
    """Milliseconds of one image's answers, in one thread: the others are the trunk's."""
    table = FeatureTable(("",) * len(pooled), pooled, fleet.trunk)
    times = []
    with Blas(settings.threads).limit(1):
        fleet.answers(table)  # allocates
        for _ in range(_ROUNDS):
            start = time.perf_counter()
            fleet.answers(table)
            times.append(1e3 * (time.perf_counter() - start) / len(pooled))
    return round(median(times), 4)


def _whole(trunk: Trunk, files: Sequence[bytes], settings: Settings, way: Way | None) -> tuple[float, float]:
    """Images a second from bytes to answers through the engine, and megabytes in memory meanwhile."""
    from trunkline.platform.engine.engine import Engine

    models = dict(grown(Fleet(trunk.card.digest), trunk.card, SERVED))
    engine = Engine(settings)
    try:
        engine.put(models, trunk, way)
        keys = list(models)
        del models
        rate = _rate(lambda: _answers(engine, [*files] * 4, keys, settings), 4 * len(files))
        return rate, resident_mb()
    finally:
        engine.close()


def _answers(engine: Any, files: Sequence[bytes], keys: Sequence[str], settings: Settings) -> None:
    """Ask about all pictures, as many under way as keep trunk and callers busy, and look at every answer's first."""

    def ask(data: bytes) -> Future[Any]:
        while True:
            try:
                future: Future[Any] = engine.ask(partial(decode, data, max_pixels=settings.max_pixels), keys)
                return future
            except BusyError:  # the queue is full: this is load, not a fault
                time.sleep(0.005)

    under_way: deque[Future[Any]] = deque()
    for data in files:
        under_way.append(ask(data))
        if len(under_way) > 2 * TOGETHER:
            _look(under_way.popleft(), keys)
    while under_way:
        _look(under_way.popleft(), keys)


def _look(asked: Future[Any], keys: Sequence[str]) -> None:
    _ = asked.result().scores[keys[0]].probabilities


def resident_mb() -> float:
    """Megabytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
