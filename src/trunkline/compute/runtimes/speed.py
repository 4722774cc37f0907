"""How fast open sessions are, side by side: in turn, by the clock and by the CPU time that they spend."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import numpy as np

    from trunkline.compute.runtimes.base import Session

K = TypeVar("K", bound=Hashable)
ROUNDS = 5
"""Timed rounds of each session, in turn, so that a slow moment hits all."""
_SINGLES = 6  # single images a round
_BATCHES = 2  # batches a thread and round


@dataclass(frozen=True)
class Speed:
    """Figures of one session.

    Attributes:
        images_per_second: The best round of batches, by the clock.
        cpu_ms: CPU milliseconds of all threads for one image, median of the rounds; 0 where that is not what it costs.
        p50_ms, p95_ms: Of single images, by the clock.
    """

    images_per_second: float
    cpu_ms: float
    p50_ms: float
    p95_ms: float

    def over(self, other: Speed) -> float:
        """How many times faster than another: by the clock or by CPU time, whichever says less.

        Other programs can take the cores from one of two sessions in every round, and then the clock alone misleads.
        """
        clock = self.images_per_second / other.images_per_second
        return min(clock, other.cpu_ms / self.cpu_ms) if self.cpu_ms and other.cpu_ms else clock

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(
    sessions: Mapping[K, Session], images: np.ndarray, *, threads: int, batch: int, rounds: int = ROUNDS
) -> dict[K, Speed]:
    """Time sessions on pictures.

    Args:
        sessions: Open ones, by a name.
        images: uint8 of shape (n, side, side, 3), at least `batch`.
        threads: Batches that are under way at once.
        batch: Images in one.
        rounds: Timed rounds.
    """
    parts = [images[at : at + batch] for at in range(0, len(images) - batch + 1, batch)]
    batches = [parts[number % len(parts)] for number in range(_BATCHES * threads)]
    count = sum(len(part) for part in batches)
    walls: dict[K, list[float]] = {name: [] for name in sessions}
    cpus: dict[K, list[float]] = {name: [] for name in sessions}
    singles: dict[K, list[float]] = {name: [] for name in sessions}
    for session in sessions.values():  # the first runs allocate
        session.run(images[:1])
        list(session.stream(batches))
    for _ in range(rounds):
        for name, session in sessions.items():
            wall, cpu = time.perf_counter(), time.process_time()
            for _out in session.stream(batches):
                pass
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
            for at in range(_SINGLES):
                start = time.perf_counter()
                session.run(images[at % len(images) :][:1])
                singles[name].append(1e3 * (time.perf_counter() - start))
    return {
        name: Speed(
            images_per_second=round(count / min(walls[name]), 1),
            cpu_ms=round(1e3 * median(cpus[name]) / count, 3),
            p50_ms=round(median(singles[name]), 3),
            p95_ms=round(sorted(singles[name])[int(0.95 * (len(singles[name]) - 1))], 3),
        )
        for name in sessions
    }
