"""A trunk's card: refused when it is nonsense, its digest that of the features."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from trunkline.algorithms.trunks.card import Tap, TrunkCard
from trunkline.core.errors import ConfigError

CARD = TrunkCard(
    "net", 64, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), (Tap("tap0", 2, 8), Tap("tap1", 3, 16)), "w", "MIT", "here"
)


def test_survives_json() -> None:
    row = json.loads(json.dumps(CARD.to_json()))
    assert TrunkCard.from_json(row) == CARD
    assert (row["digest"], row["pooling"]) == (CARD.digest, "mean,std,max")


def test_slices_cover_the_pooled_features_once() -> None:
    assert CARD.width == 15
    assert CARD.slices() == {
        "tap0": {"mean": slice(0, 2), "std": slice(2, 4), "max": slice(4, 6)},
        "tap1": {"mean": slice(6, 9), "std": slice(9, 12), "max": slice(12, 15)},
    }


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"name": "other"}, True),
        ({"licence": "other"}, True),
        ({"source": "other"}, True),
        ({"size": 65}, False),
        ({"mean": (1.0, 2.0, 3.5)}, False),
        ({"scale": (4.0, 5.0, 6.5)}, False),
        ({"weights": "v"}, False),
        ({"taps": (Tap("tap0", 2, 8),)}, False),
        ({"taps": (Tap("tap0", 3, 8), Tap("tap1", 2, 16))}, False),
    ],
    ids=str,
)
def test_digest_names_what_the_features_depend_on(change: dict[str, Any], same: bool) -> None:
    assert (replace(CARD, **change).digest == CARD.digest) is same


@pytest.mark.parametrize(
    ("change", "where", "said"),
    [
        ({"size": 7}, "", "an input side of 8 to 4096 pixels, got 7"),
        ({"size": 4097}, "", "got 4097"),
        ({"taps": ()}, "", r"taps, each of some channels and a stride, got \(\)"),
        ({"taps": (Tap("a", 0, 8),)}, "", "channels=0"),
        ({"taps": (Tap("a", 8, 0),)}, "", "stride=0"),
        ({"taps": (Tap("a", 2, 8), Tap("a", 3, 16))}, "", "different names"),
        ({"taps": (Tap("a", 2, 16), Tap("b", 3, 8))}, "", "the finest tap first"),
        ({"mean": (1.0, 2.0)}, ": mean", r"three finite numbers, got \(1.0, 2.0\)"),
        ({"scale": (1.0, 2.0, float("nan"))}, ": scale", "three finite numbers"),
        ({"scale": (1.0, 0.0, 2.0)}, ": scale", "numbers other than 0"),
    ],
    ids=str,
)
def test_nonsense_is_refused(change: dict[str, Any], where: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"expected.*{said}") as caught:
        replace(CARD, **change)
    assert caught.value.where == f"trunk net{where}"
