"""Fitting a network: repeatable, on a schedule, and no step on a loss that is not a number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from trunkline.algorithms.heads.learning import Recipe, fit
from trunkline.core.errors import DataError

X = torch.linspace(-1, 1, 40)[:, None]
Y = 3 * X - 1


def line() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(1, 1)


def loss_of(network: nn.Module, bad: frozenset[int] = frozenset(), seen: list[int] | None = None):  # type: ignore[no-untyped-def]
    calls = [] if seen is None else seen

    def step(rows: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        calls.append(len(rows))
        value = ((network(X[rows]) - Y[rows]) ** 2).mean()
        return value * float("nan") if len(calls) in bad else value

    return step


RECIPE = Recipe(epochs=120, batch=16, rate=0.1, decay=0.0, average=0.9)


def test_learns_and_repeats_bit_by_bit() -> None:
    found = []
    for _ in range(2):
        network = line()
        found.append(fit(network, loss_of(network), len(X), RECIPE))
    assert [p.tolist() for p in found[0].parameters()] == [p.tolist() for p in found[1].parameters()]
    assert found[0].weight.item() == pytest.approx(3, abs=0.05)
    assert not found[0].training


def test_every_picture_is_seen_once_an_epoch_and_progress_is_told() -> None:
    network, seen, told = line(), [], []
    fit(network, loss_of(network, seen=seen), 37, Recipe(epochs=2, batch=16), progress=lambda *at: told.append(at))
    assert seen == [13, 12, 12] * 2
    assert told == [(step, 6) for step in range(1, 7)]


def test_a_step_that_is_no_number_is_taken_back() -> None:
    network = line()
    said: list[str] = []
    fitted = fit(network, loss_of(network, frozenset({3, 40})), len(X), RECIPE, name="steel", say=said.append)
    assert all(torch.isfinite(p).all() for p in fitted.parameters())
    assert fitted.weight.item() == pytest.approx(3, abs=0.5)
    assert said == [
        "steel: the loss is not finite at step 3 of 360: back to the last good step, at half the rate",
        "steel: the loss is not finite at step 40 of 360: back to the last good step, at half the rate",
    ]


def test_steps_that_never_are_numbers_end_with_a_word() -> None:
    network = line()
    with pytest.raises(DataError, match=r"steel: the loss is not finite at step 9 of 360, 9 times"):
        fit(network, loss_of(network, frozenset(range(1000))), len(X), RECIPE, name="steel")


def test_threads_are_put_back() -> None:
    before, network = torch.get_num_threads(), line()
    fit(network, loss_of(network), 4, Recipe(epochs=1, threads=before + 1))
    assert torch.get_num_threads() == before
