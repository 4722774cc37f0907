"""Which way models take on this machine: what `trunkline bench chip` chose for them, or what a setting asks for.

A reduced precision is one for all models that are asked on a trunk, or for none: two passes of the trunk would cost
more than the faster one saves. Models without evidence run in float32, and so does all that is kept or gated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from trunkline.compute.chips.base import Way
from trunkline.compute.chips.cards import Card, Trial, TrunkRow, load
from trunkline.core.errors import InputError

if TYPE_CHECKING:
    from trunkline.algorithms.heads.base import Scores
    from trunkline.algorithms.trunks import Trunk
    from trunkline.core.settings import Settings
    from trunkline.core.types.dataset import Truth
    from trunkline.core.types.head import TrainedHead

CLEARLY = 1.2
"""Times faster from which on a reduced precision is worth its other numbers."""
RUNNING = ("cpu", "cuda")
"""Chips whose cards can choose; `npu-int8` is simulated."""
_EPSILON = 1e-9  # recalls are shares of whole images; their difference is rounded


def way_for(
    trunk: Trunk, bundles: Collection[str], settings: Settings, *, say: Callable[[str], None] = lambda text: None
) -> Way | None:
    """The way that some models take together; None: float32, as everything without a card.

    Args:
        trunk: Their trunk.
        bundles: Digests of the models' bundles.
        settings: `precision`, `runtime`, and the home, whose cards are read.
        say: Told when what was asked for or chosen cannot be had, or costs answers.

    Raises:
        InputError: When the setting asks for a precision that this runtime or home does not have.
    """
    if settings.precision == "fp32" or settings.runtime == "fake":
        return None
    cards = [card for chip in RUNNING if (card := load(settings.home, chip)) is not None]
    if settings.precision == "auto":
        return _chosen(trunk, bundles, cards, settings, say)
    return _asked(trunk, bundles, cards, settings, say)


def _chosen(
    trunk: Trunk, bundles: Collection[str], cards: Sequence[Card], settings: Settings, say: Callable[[str], None]
) -> Way | None:
    """The fastest way that every one of the models takes by itself."""
    best: tuple[float, Way] | None = None
    for card in cards:
        ways = {card.models[bundle].way if bundle in card.models else None for bundle in bundles}
        way, row = next(iter(ways), None), card.trunks.get(trunk.card.digest)
        if len(ways) != 1 or way is None or row is None or way == row.plain:
            continue
        if settings.runtime in ("auto", way.runtime):
            times = next((one.times for one in row.ways if one.way == way), 0.0)
            best = max(best or (0.0, way), (times, way), key=lambda pair: pair[0])
    if best is None:
        return None
    reason = _missing(trunk, best[1])
    if reason:
        say(f"{trunk.card.name} runs in fp32: {reason}")
        return None
    return best[1]


def _missing(trunk: Trunk, way: Way) -> str:
    """Why a way that was chosen cannot be taken any more; empty when it can."""
    from trunkline.algorithms.trunks.int8 import int8_graph
    from trunkline.compute.chips import CHIPS

    try:
        if way.precision == "int8":
            int8_graph(trunk, way.calibration)
        return str(CHIPS.load(way.chip)().available())
    except InputError as error:
        return str(error)


def _asked(
    trunk: Trunk, bundles: Collection[str], cards: Sequence[Card], settings: Settings, say: Callable[[str], None]
) -> Way:
    """The way that a setting names, with a word on what it costs where that is known."""
    precision = settings.precision
    if precision == "int8":
        way = _int8(trunk, cards, settings)
    elif settings.runtime in ("auto", "openvino"):
        way = Way("openvino", precision)
    else:
        raise InputError(
            f"expected fp32 or int8 with the runtime {settings.runtime}, got {precision}",
            where="setting precision",
            fix="set runtime = openvino, or another precision",
        )
    rows = [card.models[bundle] for card in cards for bundle in bundles if bundle in card.models]
    for row in rows:
        for trial in row.trials:
            if trial.way == way and not trial.holds:
                say(f"{row.name}: {way}, as the setting `precision` asks for: {trial.reason}")
    return way


def _int8(trunk: Trunk, cards: Sequence[Card], settings: Settings) -> Way:
    rows = [
        row
        for card in cards
        for row in (card.trunks[trunk.card.digest].ways if trunk.card.digest in card.trunks else ())
        if row.way.precision == "int8" and not row.reason and settings.runtime in ("auto", row.way.runtime)
    ]
    if not rows:
        raise InputError(
            f"there is no INT8 graph of {trunk.card.name} in this home for the runtime {settings.runtime}",
            where="setting precision",
            fix="`trunkline bench chip MODEL` makes one on the model's own images",
        )
    return max(rows, key=lambda row: row.times).way


def trial(
    head: TrainedHead,
    targets: Sequence[Truth],
    before: Scores,
    after: Scores,
    *,
    way: Way,
    max_loss: float,
) -> Trial:
    """A model's answers in one way beside those in float32.

    Args:
        head: The model's head.
        targets: What is true of each of n test images.
        before: Its answers on them in float32.
        after: Its answers in that way.
        way: The way.
        max_loss: Recall that a class may lose, and false alarms (its share of the images without it) that it may
            gain, 0..1.
    """
    from trunkline.algorithms.metrics import evaluate

    old, new = (
        evaluate(head.task, head.labels, scores, tuple(targets), intervals=False).per_class
        for scores in (before, after)
    )
    pairs = {a.label: (a.n, a.recall, b.recall) for a, b in zip(old, new, strict=True)}
    untested = [label for label, (n, _, _) in pairs.items() if not n]
    losses = {(label, "loses", "of recall"): was - now for label, (n, was, now) in pairs.items() if n}
    losses |= {
        (a.label, "gains", "of false alarms"): (b.false - a.false) / max(1, len(targets) - a.n)
        for a, b in zip(old, new, strict=True)
    }
    worst = max(losses, key=lambda what: round(losses[what], 9))  # the first of equals: recall is easier to read
    lost = losses[worst]
    reason = ""
    if untested:
        reason = f"no test image of {', '.join(untested)}: there is no evidence for it"
    elif lost > max_loss + _EPSILON:
        label, does, what = worst
        reason = f"{label} {does} {100 * lost:.2f} points {what}, {100 * max_loss:g} are allowed"
    return Trial(
        way=way,
        classes={label: (n, _known(was), _known(now)) for label, (n, was, now) in pairs.items()},
        worst=lost,
        unsure=float(after.unsure.mean() - before.unsure.mean()),
        holds=not reason,
        reason=reason,
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def prefer(row: TrunkRow, trials: Sequence[Trial]) -> tuple[Way, str]:
    """The way a model takes, and why.

    Args:
        row: What was measured of its trunk.
        trials: The model's answers, one for each way that was tried.
    """
    faster = sorted(
        (one for one in row.ways if one.way != row.plain and not one.reason), key=lambda one: one.times, reverse=True
    )
    if not faster:
        said = "; ".join(f"{one.way}: {one.reason}" for one in row.ways if one.reason)
        return row.plain, f"nothing else runs here ({said})" if said else "nothing else runs here"
    by_way = {one.way: one for one in trials}
    refused = []
    for one in faster:
        if one.times < CLEARLY:
            refused.append(f"{one.way} is {one.times:.2f} times as fast, {CLEARLY:g} is asked for")
            break  # so are those that follow
        tried = by_way.get(one.way)
        if tried is None:
            refused.append(f"{one.way} was not tried on test images")
        elif not tried.holds:
            refused.append(f"{one.way} is {one.times:.2f} times as fast, but {tried.reason}")
        else:
            held = f"no class loses more than {100 * max(tried.worst, 0.0):.2f} points"
            return one.way, f"{one.times:.2f} times as fast as {row.plain}, and {held}"
    return row.plain, "; ".join(refused)
