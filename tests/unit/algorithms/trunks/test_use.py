"""A trunk at work: the outputs that are wanted, in the runtime that was chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.algorithms.trunks import open_trunk, resolve, use
from trunkline.core.errors import ConfigError
from trunkline.core.settings import Settings

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


@pytest.mark.parametrize(("dense", "outputs"), [(False, ["pooled"]), (True, ["pooled", "tap0", "tap1", "tap2"])])
def test_gives_what_is_asked_for(dense: bool, outputs: list[str], home: Path) -> None:
    trunk = resolve("test-trunk", home)
    session = open_trunk(trunk, Settings(home=home, runtime="onnxruntime", threads=1), dense=dense)
    whole = session.embed(list(PICTURES))
    streamed = list(session.stream([PICTURES[:2], PICTURES[2:]]))
    session.close()
    assert (session.runtime, session.card) == ("onnxruntime", trunk.card)
    assert list(whole) == outputs
    assert np.array_equal(np.concatenate([out["pooled"] for out in streamed]), whole["pooled"])


def test_auto_asks_which_runtime_is_the_faster_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = resolve("test-trunk", home)
    asked: list[dict[str, Any]] = []

    def choose(model: Path, **options: Any) -> str:
        asked.append({"model": model, **options})
        return "onnxruntime"

    monkeypatch.setattr(use, "choose", choose)
    session = open_trunk(trunk, Settings(home=home, threads=3, batch=5), dense=True)
    assert (session.runtime, session.embed(list(PICTURES))["pooled"].shape) == (
        "onnxruntime", (3, trunk.card.width),
    )  # fmt: skip
    assert asked == [
        {
            "model": trunk.path(), "key": trunk.card.digest, "side": 32, "home": home, "threads": 3, "batch": 5,
            "wanted": "auto",
        }
    ]  # fmt: skip


def test_made_up_numbers_are_refused_for_a_real_trunk(home: Path) -> None:
    trunk = resolve("test-trunk", home)
    with pytest.raises(ConfigError, match="expected a runtime that runs the trunk, got 'fake'"):
        open_trunk(trunk, Settings(home=home, runtime="fake"))
