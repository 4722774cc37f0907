"""`bench engine`: figures that fit together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trunkline.core.errors import NotFoundError
from trunkline.core.settings import Settings
from trunkline.platform.bench import engine as module
from trunkline.platform.bench.engine import bench_engine


def test_it_measures_each_part_and_the_whole(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HEADS": (1, 300), "SERVED": 20, "_SECONDS": 0.1, "_ROUNDS": 1, "FRAME": (64, 48)}.items():
        monkeypatch.setattr(module, name, value)
    said: list[str] = []
    report = bench_engine(Settings(home=home, threads=1), trunk="test-trunk", say=said.append)
    row = json.loads(json.dumps(report.to_json()))
    assert (row["trunk"], row["precision"], row["heads"], list(row["heads_ms"])) == (
        "test-trunk",
        "fp32",
        20,
        ["1", "300"],
    )
    speeds = (
        "trunk_images_per_second",
        "decoded_images_per_second",
        "answers_per_second",
        "single_ms_p50",
        "memory_mb",
    )
    assert [name for name in speeds if not row[name] > 0] == []
    exact = {rate: 0.8 * report.answers_per_second / rate for rate in (1, 5, 15)}  # of a figure that was rounded
    assert {rate: abs(row["cameras"][str(rate)] - value) <= 1 for rate, value in exact.items()} == dict.fromkeys(
        exact, True
    )
    assert said[-1] == "JPEG to the answers of 20 models"


def test_frames_are_all_different_and_the_same_each_time() -> None:
    assert module.frames(3) == module.frames(3)
    assert len(set(module.frames(3))) == 3


def test_an_unknown_trunk_is_refused(home: Path) -> None:
    with pytest.raises(NotFoundError, match="no trunk named 'tset-trunk'"):
        bench_engine(Settings(home=home, threads=1), trunk="tset-trunk")
