"""How networks on maps are fitted: AdamW on a one-cycle schedule, an average of the weights, and no step on NaN.

One-cycle: L. Smith and N. Topin, "Super-convergence", 2018. The average (EMA) is what is kept: B. Polyak and A.
Juditsky, 1992. Everything that is drawn comes from one seed. Imported by a fit alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trunkline.core.errors import DataError

Progress = Callable[[int, int], None]
_WARM, _DIVISOR, _LAST = 0.15, 20.0, 50.0
_LARGEST_GRADIENT = 10.0
_MOST_SETBACKS = 8


@dataclass(frozen=True)
class Recipe:
    """How long and how fast.

    Attributes:
        epochs: Times that each picture is seen.
        batch: Pictures a step.
        rate: Highest learning rate.
        decay: Weight decay.
        average: Share of the average that stays at each step.
        seed: Of the order and of the weights that it begins with.
        threads: CPU threads; sums are the same for the same number.
    """

    epochs: int
    batch: int = 16
    rate: float = 2e-3
    decay: float = 0.05
    average: float = 0.998
    seed: int = 0
    threads: int = 1


def fit(
    network: nn.Module,
    step: Callable[[np.ndarray, np.random.Generator], Tensor],
    count: int,
    recipe: Recipe,
    *,
    name: str = "",
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> nn.Module:
    """Fit a network.

    Args:
        network: It; changed.
        step: The loss of the pictures of these rows; draws what it needs from the generator.
        count: Pictures.
        recipe: How.
        name: Of what is fitted, for messages.
        progress: Told of steps done and steps in all.
        say: Told when a step had to be taken back.

    Returns:
        The average of the weights along the way, in evaluation mode.

    Raises:
        DataError: When the loss is not finite again and again.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    try:
        return _fit(network, step, count, recipe, name, progress, say)
    finally:
        torch.set_num_threads(before)


def _fit(
    network: nn.Module, step: Callable[[np.ndarray, np.random.Generator], Tensor], count: int, recipe: Recipe,
    name: str, progress: Progress | None, say: Callable[[str], None] | None,
) -> nn.Module:  # fmt: skip
    total = recipe.epochs * math.ceil(count / recipe.batch)
    optimizer = torch.optim.AdamW(_groups(network, recipe.decay), lr=recipe.rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=total, pct_start=_WARM, div_factor=_DIVISOR, final_div_factor=_LAST
    )
    average = copy.deepcopy(network).eval()
    good, slower, setbacks = _state(network, optimizer), 1.0, 0
    network.train()
    for number, rows in enumerate(_order(count, recipe)):
        rng = np.random.default_rng((recipe.seed, number))
        loss = step(rows, rng)
        optimizer.zero_grad()
        finite = bool(torch.isfinite(loss))
        if finite:
            loss.backward()
            norm = nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
            finite = bool(torch.isfinite(norm))
        if not finite:
            setbacks, slower = setbacks + 1, slower / 2
            told = f"the loss is not finite at step {number + 1} of {total}"
            if setbacks > _MOST_SETBACKS:
                raise DataError(
                    f"{told}, {setbacks} times in all",
                    where=name,
                    fix="lower `rate` in the plan, or look at the boxes of the data",
                )
            if say:
                say(f"{name}: {told}: back to the last good step, at half the rate")
            network.load_state_dict(good[0])
            optimizer.load_state_dict(good[1])
        else:
            for group in optimizer.param_groups:
                group["lr"] *= slower
            optimizer.step()
            _averaged(average, network, min(recipe.average, (1 + number) / (10 + number)))
            if number % 50 == 0:
                good = _state(network, optimizer)
        schedule.step()
        if progress:
            progress(number + 1, total)
    return average


def _groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases and normalisations do not."""
    parameters = list(network.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _order(count: int, recipe: Recipe) -> Iterator[np.ndarray]:
    """Rows of each step."""
    for epoch in range(recipe.epochs):
        order = np.random.default_rng((recipe.seed, epoch, 1)).permutation(count)
        yield from np.array_split(order, math.ceil(count / recipe.batch))


def _state(network: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[dict[str, Any], dict[str, Any]]:
    return copy.deepcopy(network.state_dict()), copy.deepcopy(optimizer.state_dict())


@torch.no_grad()  # type: ignore[untyped-decorator]
def _averaged(average: nn.Module, network: nn.Module, stays: float) -> None:
    for mine, other in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mine.dtype.is_floating_point:
            mine.lerp_(other, 1 - stays)
        else:
            mine.copy_(other)
