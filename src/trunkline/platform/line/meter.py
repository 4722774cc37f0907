"""What a station cost: wall seconds, and CPU seconds of all threads but those whose work is no scenario's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Spent:
    """Seconds on the wall and of CPU."""

    wall: float = 0.0
    cpu: float = 0.0

    def share(self, part: float) -> Spent:
        """A part of it, for one of many scenarios that went through together."""
        return Spent(self.wall * part, self.cpu * part)


@dataclass
class Costs:
    """What one scenario cost, by station.

    Attributes:
        by_station: What this run spent.
        before: CPU seconds that earlier runs spent on outputs which this one took over.
    """

    by_station: dict[str, Spent] = field(default_factory=dict)
    before: float = 0.0

    def add(self, station: str, spent: Spent) -> None:
        before = self.by_station.get(station, Spent())
        self.by_station[station] = Spent(before.wall + spent.wall, before.cpu + spent.cpu)

    @property
    def cpu(self) -> float:
        return sum(spent.cpu for spent in self.by_station.values())

    @property
    def cpu_in_all(self) -> float:
        """CPU seconds of this run, and of the outputs that it found finished: what a budget is held against."""
        return self.cpu + self.before

    def wall_by_station(self) -> dict[str, float]:
        return {station: round(spent.wall, 4) for station, spent in self.by_station.items()}

    def cpu_by_station(self) -> dict[str, float]:
        return {station: round(spent.cpu, 4) for station, spent in self.by_station.items()}


class Aside(threading.Thread):
    """Work beside the line, with the CPU seconds that it has used so far.

    Args:
        work: What is done; it starts at once and dies with the process.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="aside", daemon=True)
        self._work = work
        self._ending = threading.Lock()
        self._used: float | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        finally:
            with self._ending:
                self._used = time.thread_time()

    @property
    def cpu(self) -> float:
        """CPU seconds so far."""
        with self._ending:  # the thread cannot end meanwhile: its clock is there
            if self._used is None and self.ident is not None:
                return time.clock_gettime(time.pthread_getcpuclockid(self.ident))
            return self._used or 0.0


class Meter:
    """Measures stations; `total` adds up over the whole run."""

    def __init__(self) -> None:
        self.total = Costs()
        self._asides: list[Aside] = []

    def aside(self, work: Callable[[], None]) -> Aside:
        """Do something in a thread that no station is charged for."""
        self._asides.append(Aside(work))
        return self._asides[-1]

    def cpu(self) -> float:
        """CPU seconds of this process, but for what is done aside."""
        return time.process_time() - sum(aside.cpu for aside in self._asides)

    @contextmanager
    def station(self, name: str, costs: Costs | None = None) -> Iterator[Spent]:
        """Measure a block; the `Spent` is filled when it ends."""
        spent = Spent()
        wall, cpu = time.perf_counter(), self.cpu()
        try:
            yield spent
        finally:
            spent.wall, spent.cpu = time.perf_counter() - wall, self.cpu() - cpu
            self.total.add(name, spent)
            if costs is not None:
                costs.add(name, spent)
