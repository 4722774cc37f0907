"""Speeds side by side."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from trunkline.compute.runtimes.speed import Speed, measure

IMAGES = np.zeros((4, 8, 8, 3), np.uint8)


class Sleeps:
    """A session that takes a time for each batch, and notes the sizes of what it ran."""

    outputs = ("pooled",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.sizes: list[int] = []

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        self.sizes.append(len(images))
        time.sleep(self.seconds)
        return {}

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        for batch in batches:
            yield self.run(batch)

    def close(self) -> None: ...


def test_the_faster_session_is_told_from_the_slower() -> None:
    fast, slow = Sleeps(0.001), Sleeps(0.01)
    found = measure({"fast": fast, "slow": slow}, IMAGES, threads=1, batch=2, rounds=2)  # type: ignore[dict-item]
    assert list(found) == ["fast", "slow"]
    assert found["fast"].images_per_second > 2 * found["slow"].images_per_second
    assert 10 <= found["slow"].p50_ms <= found["slow"].p95_ms
    assert set(fast.sizes) == {1, 2}


@pytest.mark.parametrize(
    ("speed", "times"),
    [
        (Speed(200.0, 5.0, 1, 1), 2.0),
        (Speed(200.0, 8.0, 1, 1), 1.25),
        (Speed(110.0, 2.0, 1, 1), 1.1),
        (Speed(300.0, 0.0, 1, 1), 3.0),
    ],
    ids=["both say so", "CPU time says less", "the clock says less", "no CPU time is known"],
)
def test_faster_is_what_clock_and_cpu_agree_on(speed: Speed, times: float) -> None:
    assert speed.over(Speed(100.0, 10.0, 1, 1)) == times
