"""From boxes to a plan: how large the trunk must see the pictures, where the finest level lies, how long to learn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trunkline.core.errors import ConfigError
from trunkline.core.types.plan import DetectPlan

if TYPE_CHECKING:
    from trunkline.algorithms.trunks import TrunkCard
    from trunkline.core.types.dataset import Box

SMALL = 0.1
"""Share of the things that are smaller than what is planned for."""
SPAN = 3.5
"""Points of the finest level along the side of a small thing, at the least."""
SIDES = (224, 256, 320, 384, 448, 512, 640, 768)
_FINE_FROM = 512  # side above which a finer level is cheaper than a larger picture
_STEPS = 1_000
_FEWEST, _MOST = 12, 100


def decide(
    given: DetectPlan | None, boxes: Sequence[Sequence[Box]], card: TrunkCard, side: int | None = None, *, where: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """A whole plan, and why each key is what it is.

    Args:
        given: What a person has decided.
        boxes: Things in each of n pictures, as shares of its sides.
        card: The trunk at its own side.
        side: The side that the scenario's trunk names; None: it is the plan's.
        where: The scenario, for messages.

    Raises:
        ConfigError: When what is given does not go with the trunk.
    """
    asked = given or DetectPlan()
    strides, coarsest = [tap.stride for tap in card.taps], card.taps[-1].stride
    if side is not None and asked.side not in (None, side):
        raise ConfigError(
            f"expected one side, got {asked.side} here and {side} in `trunk`", where=f"{where}: plan.side"
        )
    if asked.finest is not None and asked.finest not in strides:
        raise ConfigError(f"expected one of {strides}, got {asked.finest}", where=f"{where}: plan.finest")
    small = _small(boxes)
    sides = [one for one in SIDES if one % coarsest == 0] or [coarsest * round(one / coarsest) for one in SIDES]
    told = f"a tenth of the things are under {small:.1%} of the picture's side"
    seen, finest = _seen(small, strides, sides, asked.side or side, asked.finest)
    epochs = min(_MOST, max(_FEWEST, math.ceil(_STEPS * asked.batch / max(1, len(boxes)))))
    plan = asked.chosen(seen, finest, epochs)
    across = small * seen
    decided = {
        "side": f"{told}, {across:.0f} pixels of {seen}",
        "finest": f"{across / finest:.1f} points along such a thing, {SPAN:g} are wanted",
        "epochs": f"{len(boxes):,} pictures to learn from, about {_STEPS:,} steps",
    }
    named = {"side": side is not None and "the scenario's trunk names it"}
    why = {}
    for key in plan:
        if getattr(asked, key) is not None and key in asked.model_fields_set:
            why[key] = "given in the scenario"
        else:
            why[key] = named.get(key) or decided.get(key, "the usual")
    return plan, why


def _small(boxes: Sequence[Sequence[Box]]) -> float:
    """Side of a small thing, as a share of the picture's: that of a square of its area."""
    sides = [math.sqrt(box.area) for one in boxes for box in one]
    return float(np.quantile(sides, SMALL)) if sides else 1.0


def _seen(
    small: float, strides: Sequence[int], sides: Sequence[int], side: int | None, finest: int | None
) -> tuple[int, int]:
    """Side of the picture and stride of the finest level: the cheapest that shows small things."""
    levels = [finest] if finest is not None else list(strides[:-1][::-1]) or list(strides)
    best = (side or sides[-1], levels[-1])
    for level in levels:  # the coarsest first: a level costs four times as much as the next
        wide = [one for one in ([side] if side is not None else sides) if small * one >= SPAN * level]
        if wide and (wide[0] <= _FINE_FROM or level == levels[-1]):
            return wide[0], level
    return best
