"""How long a trunk takes on one image: measured once a day, whatever happened to the file that remembers it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from trunkline.algorithms.trunks import Trunk, TrunkSession, open_trunk
from trunkline.core.settings import Settings
from trunkline.platform.engine.singles import single_ms


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, runtime="onnxruntime", threads=1)


class Opened:
    """Opens the trunk, and counts how often it was asked to."""

    def __init__(self, trunk: Trunk, settings: Settings) -> None:
        self.count = 0
        self._trunk, self._settings = trunk, settings

    def __call__(self) -> TrunkSession:
        self.count += 1
        return open_trunk(self._trunk, self._settings, dense=True)


def test_a_second_run_reads_what_the_first_measured(trunk: Trunk, settings: Settings) -> None:
    opened = Opened(trunk, settings)
    first = single_ms(trunk, settings, opened)
    assert (single_ms(trunk, settings, opened), opened.count) == (first, 1)
    assert len(first) == 12
    assert min(first) > 0


@pytest.mark.parametrize("change", [{"threads": 2}, {"dense": True}])
def test_other_circumstances_are_measured_by_themselves(
    trunk: Trunk, settings: Settings, change: dict[str, int]
) -> None:
    opened = Opened(trunk, settings)
    single_ms(trunk, settings, opened)
    threads, dense = change.get("threads", 1), bool(change.get("dense"))
    single_ms(trunk, settings.model_copy(update={"threads": threads}), opened, dense=dense)
    assert opened.count == 2


@pytest.mark.parametrize(
    "change",
    [{"ms": []}, {"ms": "slow"}, {"ms": [None]}, {"at": 0}, {"at": "noon"}, {"at": time.time() + 1e6}],
)
def test_what_is_old_or_damaged_is_measured_again(trunk: Trunk, settings: Settings, change: dict[str, object]) -> None:
    opened = Opened(trunk, settings)
    single_ms(trunk, settings, opened)
    memory = settings.home / "latency.json"
    known = json.loads(memory.read_bytes())
    memory.write_text(json.dumps({key: {**row, **change} for key, row in known.items()}), encoding="utf-8")
    single_ms(trunk, settings, opened)
    assert opened.count == 2


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"a": 1}', b"\xff"])
def test_a_file_of_another_shape_is_measured_again(trunk: Trunk, settings: Settings, content: bytes) -> None:
    opened = Opened(trunk, settings)
    (settings.home).mkdir(parents=True, exist_ok=True)
    (settings.home / "latency.json").write_bytes(content)
    single_ms(trunk, settings, opened)
    assert opened.count == 1
