"""A trunk at another input size: `NAME@SIDE`, the same weights on larger or smaller pictures.

A convolutional graph computes on any side; only the shapes that were written down when it was exported stand in the
way. What was derived is run before it is used, as a trunk from elsewhere is: a graph with a fixed size inside (a
transformer's positions, a flattened map) is refused.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.algorithms.trunks.graph import import_onnx
from trunkline.algorithms.trunks.loader import Exported
from trunkline.algorithms.trunks.proof import check_runs
from trunkline.core.errors import ConfigError, InputError

if TYPE_CHECKING:
    from trunkline.algorithms.trunks.card import TrunkCard

_SUFFIX = re.compile(r"(?P<name>.+)@(?P<side>[0-9]{1,5})")
MOST_SIDE = 2048
"""Pixels; a trunk on larger pictures takes seconds for each."""


def parse(spec: str) -> tuple[str, int | None]:
    """The name of a trunk and the side that it is asked at; None for its own."""
    match = _SUFFIX.fullmatch(spec)
    return (match["name"], int(match["side"])) if match else (spec, None)


def resized_card(card: TrunkCard, side: int, *, where: str | None = None) -> TrunkCard:
    """The card of a trunk at another input side.

    Args:
        card: At its own.
        side: Pixels; a multiple of the coarsest tap's stride, so that its maps lie on each other.
        where: What named it, for messages.

    Raises:
        ConfigError: On a side that it cannot have.
    """
    name, coarsest = f"{card.name}@{side}", card.taps[-1].stride
    if side % coarsest or not coarsest <= side <= MOST_SIDE:
        raise ConfigError(
            f"expected a side of {coarsest} to {MOST_SIDE} pixels that is a multiple of {coarsest}, got {side}",
            where=where or f"trunk {name}",
            fix=f"for example {card.name}@{max(coarsest, min(MOST_SIDE, coarsest * round(side / coarsest)))}",
        )
    return replace(card, name=name, size=side)


def at_side(exported: Exported, side: int, scratch: Path, *, where: str | None = None) -> Exported:
    """A trunk at another input side.

    Args:
        exported: The trunk at its own.
        side: As in `resized_card`.
        scratch: A folder for files on the way.
        where: What named it, for messages.

    Raises:
        ConfigError: On a side that it cannot have.
        InputError: When its graph computes on its own side alone.
    """
    card = resized_card(exported.card, side, where=where)
    made = Exported(card, _resized(exported.pooled, side), _resized(exported.dense, side))
    try:
        check_runs(made, scratch)
    except InputError as error:
        own = exported.card
        raise InputError(
            f"{own.name} computes on pictures of {own.size} pixels alone: {error.message}",
            where=where or f"trunk {card.name}",
            fix=f"name it without @{side}, or export its graph without a fixed size inside",
        ) from error
    return made


def _resized(graph: bytes, side: int) -> bytes:
    """The graph for pictures of another side; shapes that were written down for the old one are dropped."""
    onnx = import_onnx("a trunk at another input size")
    model = onnx.load_model_from_string(graph)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for axis in (1, 2):
        dims[axis].dim_value = side
    del model.graph.value_info[:]
    for output in model.graph.output:
        for axis, dim in enumerate(output.type.tensor_type.shape.dim):
            if axis > 1:
                dim.ClearField("value")
    return bytes(model.SerializeToString(deterministic=True))
