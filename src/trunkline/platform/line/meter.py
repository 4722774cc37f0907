"""What a station cost: wall seconds, and CPU seconds of all threads."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
    """What one scenario cost, by station."""

    by_station: dict[str, Spent] = field(default_factory=dict)

    def add(self, station: str, spent: Spent) -> None:
        before = self.by_station.get(station, Spent())
        self.by_station[station] = Spent(before.wall + spent.wall, before.cpu + spent.cpu)

    @property
    def cpu(self) -> float:
        return sum(spent.cpu for spent in self.by_station.values())

    def wall_by_station(self) -> dict[str, float]:
        return {station: round(spent.wall, 4) for station, spent in self.by_station.items()}

    def cpu_by_station(self) -> dict[str, float]:
        return {station: round(spent.cpu, 4) for station, spent in self.by_station.items()}


class Meter:
    """Measures stations; `total` adds up over the whole run."""

    def __init__(self) -> None:
        self.total = Costs()

    @contextmanager
    def station(self, name: str, costs: Costs | None = None) -> Iterator[Spent]:
        """Measure a block; the `Spent` is filled when it ends."""
        spent = Spent()
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield spent
        finally:
            spent.wall, spent.cpu = time.perf_counter() - wall, time.process_time() - cpu
            self.total.add(name, spent)
            if costs is not None:
                costs.add(name, spent)
