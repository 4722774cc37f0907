"""Which images a model is measured on: those that taught it are told, and left out unless they were asked for."""

from __future__ import annotations

import pytest

from trunkline.core.errors import DataError
from trunkline.core.types.dataset import Dataset, Sample
from trunkline.platform.line.evaluation import Chosen, choose


def dataset(*splits: str) -> Dataset:
    """One image for each split, numbered from 0."""
    return Dataset("parts", 1, tuple(Sample(f"{n:064x}", str(n), ("a",), (), side) for n, side in enumerate(splits)))


def taught(*numbers: int) -> frozenset[str]:
    return frozenset(f"{n:064x}" for n in numbers)


WHOLE, PARTED = dataset("", "", ""), dataset("train", "train", "test")
LEFT_OUT = "left out 1 image that taught the model; `--split all` measures on them too"
FLATTERS = "1 of the {} images taught the model: the figures flatter it"
NOBODY_KNOWS = "the data set that the model learned from is not in this home: some of these images may be of it"


@pytest.mark.parametrize(
    ("data", "split", "learned", "images", "part", "count", "left_out", "warning"),
    [
        (WHOLE, None, taught(), "012", "all", 0, False, ""),
        (WHOLE, None, taught(1), "02", "all", 1, True, LEFT_OUT),
        (WHOLE, "test", taught(1), "012", "all", 1, False, FLATTERS.format(3)),
        (WHOLE, "all", taught(1), "012", "all", 1, False, FLATTERS.format(3)),
        (WHOLE, None, None, "012", "all", None, False, NOBODY_KNOWS),
        (PARTED, None, taught(0, 1), "2", "test", 0, False, ""),
        (PARTED, "all", taught(1), "012", "all", 1, False, FLATTERS.format(3)),
        (PARTED, "train", taught(1), "01", "train", 1, False, FLATTERS.format(2)),
    ],
)
def test_what_is_measured_on(
    data: Dataset, split: str | None, learned: frozenset[str] | None, images: str, part: str, count: int | None,
    left_out: bool, warning: str,
) -> None:  # fmt: skip
    chosen = choose(data, split, learned)
    assert chosen == Chosen(tuple(data.samples[int(n)] for n in images), part, count, left_out)
    assert chosen.warning == warning


@pytest.mark.parametrize(
    ("data", "split", "learned", "message"),
    [
        (WHOLE, None, taught(0, 1, 2), "all 3 have taught it.*`--split all`"),
        (WHOLE, "train", taught(), "in the split 'train', found none"),
        (dataset("train"), None, taught(), "in the split 'test', found none"),
    ],
)
def test_nothing_to_measure_on(data: Dataset, split: str | None, learned: frozenset[str], message: str) -> None:
    with pytest.raises(DataError, match=f"(?s){message}"):
        choose(data, split, learned)
