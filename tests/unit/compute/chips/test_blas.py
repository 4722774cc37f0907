"""BLAS uses as many threads as the work is worth."""

from __future__ import annotations

import pytest
from threadpoolctl import threadpool_info

from trunkline.compute.chips.blas import LARGE, Blas


def threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.mark.parametrize(("rows", "expected"), [(0, 1), (LARGE - 1, 1), (LARGE, 2)])
def test_within_the_block_alone(rows: int, expected: int) -> None:
    before = threads()
    blas = Blas(2)
    with blas.limit(rows):
        assert threads() == {expected}
        with blas.limit(LARGE):
            assert threads() == {2}
        assert threads() == {expected}
    assert threads() == before
