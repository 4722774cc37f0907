"""Linear heads on the chip."""

from __future__ import annotations

import numpy as np
import pytest

from trunkline.compute.chips.npu_int8.heads import compile_head, lengths
from trunkline.compute.chips.npu_int8.program import Program
from trunkline.compute.chips.npu_int8.quantising import balanced, to_int8
from trunkline.compute.chips.npu_int8.running import run
from trunkline.core.errors import InputError

CHANNELS = (8, 16)
WIDTH = 3 * sum(CHANNELS)


def _features(count: int, *, dim: float = 1.0, seed: int = 0) -> np.ndarray:
    """Integers as a trunk gives them; mean, std and max of different magnitude."""
    rng = np.random.default_rng(seed)
    parts = []
    for tap in CHANNELS:
        parts += [
            rng.normal(0, 2000, (count, tap)),
            rng.uniform(500, 4000, (count, tap)),
            rng.normal(9000, 3000, (count, tap)),
        ]
    return np.rint(dim * np.concatenate(parts, axis=1)).astype(np.int32)


def _head(count: int = 32, k: int = 5) -> tuple[Program, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(0, 3, (WIDTH, k)).astype(np.float32), rng.normal(0, 1, k).astype(np.float32)
    made = compile_head(weight, bias, channels=CHANNELS, features=_features(count), source="0" * 64, where="steel")
    return made, weight, bias


def test_logits_are_close_to_the_float_heads() -> None:
    program, weight, bias = _head()
    features = _features(64, seed=2)
    expected = (features / lengths(features, CHANNELS)) @ weight + bias
    logits = program.step("logits").values(run(program, features)["logits"])
    assert np.corrcoef(logits.ravel(), expected.ravel())[0, 1] > 0.999
    assert (logits.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.95


def test_a_darker_picture_gives_the_same_logits() -> None:
    """The quotient has no unit: half the contrast is half of all its numbers."""
    program, *_ = _head()
    bright = _features(4, seed=3)
    assert np.array_equal(run(program, bright)["logits"], run(program, 2 * bright)["logits"])


def test_a_blank_picture_has_an_answer() -> None:
    program, *_ = _head()
    with np.errstate(all="raise"):
        blank = run(program, np.zeros((1, WIDTH), np.int32))["logits"]
    assert blank.tolist() == [program.step("logits").arrays["bias"].tolist()]


def test_columns_of_different_magnitude_share_one_scale() -> None:
    """A column that is small, and read by large weights, is not lost among large ones."""
    magnitudes = np.array([1.0, 0.5, 0.01, 0.003])
    weight = np.array([[1.0, -2.0, 90.0, 300.0]])
    scale, factors, made = balanced(magnitudes, weight)
    assert np.allclose(made / factors, weight)
    columns = np.eye(4) * magnitudes
    integers = to_int8(columns / factors, scale)
    assert np.allclose(integers @ made.T * float(scale), columns @ weight.T, rtol=0.02)


@pytest.mark.parametrize(
    ("channels", "features"),
    [((8,), _features(4)), ((), _features(4)), (CHANNELS, _features(4)[:, :-1]), (CHANNELS, _features(0))],
)
def test_heads_that_do_not_fit_are_refused(channels: tuple[int, ...], features: np.ndarray) -> None:
    weight, bias = np.ones((WIDTH, 2)), np.zeros(2)
    with pytest.raises(InputError, match="steel: expected a linear head"):
        compile_head(weight, bias, channels=channels, features=features, source="0" * 64, where="steel")


def test_numbers_that_cannot_be_expressed_are_refused() -> None:
    with pytest.raises(InputError, match="npu-int8 cannot express the head"):
        compile_head(
            np.full((WIDTH, 2), 1e-9), np.full(2, 1e6), channels=CHANNELS, features=_features(4), source="0" * 64,
            where="steel",
        )  # fmt: skip
