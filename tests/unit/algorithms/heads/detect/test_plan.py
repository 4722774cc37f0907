"""The side of the pictures, the finest level and the epochs follow from the boxes; a person's word goes first."""

from __future__ import annotations

from typing import Any

import pytest

from trunkline.algorithms.heads.detect.plan import decide
from trunkline.algorithms.trunks import Tap, TrunkCard
from trunkline.core.errors import ConfigError
from trunkline.core.types.dataset import Box
from trunkline.core.types.plan import DetectPlan

TAPS = (Tap("tap0", 40, 8), Tap("tap1", 112, 16), Tap("tap2", 320, 32))
CARD = TrunkCard("net", 224, (0.0,) * 3, (1.0,) * 3, TAPS, "0" * 64, "MIT", "made up")


def boxes(side: float, count: int = 100) -> list[tuple[Box, ...]]:
    return [(Box("a", 0.1, 0.1, 0.1 + side, 0.1 + side),)] * count


SEEN = {"large": (0.5, 224, 16), "middling": (0.15, 384, 16), "small": (0.06, 512, 8), "tiny": (0.01, 768, 8)}


@pytest.mark.parametrize("case", SEEN)
def test_small_things_are_seen_large_enough(case: str) -> None:
    share, side, finest = SEEN[case]
    plan, why = decide(None, boxes(share), CARD, where="x")
    assert (plan["side"], plan["finest"]) == (side, finest)
    assert f"under {share:.1%}" in why["side"]
    assert set(why) == set(plan) == set(DetectPlan.model_fields)


@pytest.mark.parametrize(("count", "epochs"), [(10, 100), (400, 40), (16_000, 12)])
def test_few_pictures_are_seen_more_often(count: int, epochs: int) -> None:
    assert decide(None, boxes(0.2, count), CARD, where="x")[0]["epochs"] == epochs


def test_what_is_given_stays_and_the_rest_goes_with_it() -> None:
    plan, why = decide(DetectPlan(side=640, epochs=3, width=16), boxes(0.06), CARD, where="x")
    assert (plan["side"], plan["finest"], plan["epochs"], plan["width"], plan["kernel"]) == (640, 8, 3, 16, 5)
    told = [key for key, reason in why.items() if reason == "given in the scenario"]
    assert told == ["side", "width", "epochs"]
    assert decide(None, boxes(0.06), CARD, 256, where="x")[1]["side"] == "the scenario's trunk names it"


WRONG: dict[str, tuple[dict[str, Any], int | None, str]] = {
    "two sides": ({"side": 320}, 256, "x: plan.side: expected one side, got 320 here and 256 in `trunk`"),
    "no level": ({"finest": 12}, None, r"x: plan.finest: expected one of \[8, 16, 32\], got 12"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_go_together_is_refused(case: str) -> None:
    given, side, message = WRONG[case]
    with pytest.raises(ConfigError, match=message):
        decide(DetectPlan(**given), boxes(0.2), CARD, side, where="x")
