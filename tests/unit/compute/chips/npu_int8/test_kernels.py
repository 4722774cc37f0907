"""Convolutions and products against plain loops over whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trunkline.compute.chips.npu_int8.kernels import convolve, exact_type, output_size, product
from trunkline.compute.chips.npu_int8.layers import Geometry


def _plain(maps: np.ndarray, kernel: np.ndarray, geometry: Geometry) -> np.ndarray:
    """The definition, in int64, one multiplication after the other."""
    n, h, w, _ = maps.shape
    out, per_group, kh, kw = kernel.shape
    top, left, *_ = geometry.pads
    oh, ow = output_size(h, w, (kh, kw), geometry)
    total = np.zeros((n, oh, ow, out), np.int64)
    for i, y, x, o, c, ky, kx in np.ndindex(n, oh, ow, out, per_group, kh, kw):
        row = y * geometry.strides[0] + ky * geometry.dilations[0] - top
        column = x * geometry.strides[1] + kx * geometry.dilations[1] - left
        channel = o // (out // geometry.groups) * per_group + c
        inside = 0 <= row < h and 0 <= column < w
        total[i, y, x, o] += int(maps[i, row, column, channel]) * int(kernel[o, c, ky, kx]) if inside else 0
    return total


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("channels", "kernel", "geometry"),
    [
        (3, (4, 3, 1, 1), Geometry()),
        (3, (4, 3, 3, 3), Geometry(strides=(2, 2), pads=(0, 0, 1, 1))),
        (2, (3, 2, 3, 2), Geometry(strides=(1, 2), dilations=(2, 1), pads=(1, 2, 0, 1))),
        (4, (4, 1, 3, 3), Geometry(pads=(1, 1, 1, 1), groups=4)),
        (4, (4, 1, 5, 3), Geometry(strides=(2, 2), dilations=(1, 2), pads=(2, 2, 2, 2), groups=4)),
        (4, (6, 2, 3, 3), Geometry(pads=(1, 1, 1, 1), groups=2)),
        (3, (6, 1, 1, 1), Geometry(strides=(2, 2), groups=3)),
        (1, (1, 1, 3, 3), Geometry()),
    ],
)
def test_convolutions_are_exact(channels: int, kernel: tuple[int, ...], geometry: Geometry, dtype: Any) -> None:
    rng = np.random.default_rng([channels, *kernel])
    maps = rng.integers(-127, 128, (2, 7, 6, channels), dtype=np.int8)
    weight = rng.integers(-127, 128, kernel, dtype=np.int8)
    made = convolve(maps.astype(dtype), weight.astype(dtype), geometry)
    assert made.dtype == dtype
    assert made.astype(np.int64).tolist() == _plain(maps, weight, geometry).tolist()


def test_products_are_exact_at_the_edge_of_float32() -> None:
    depth = 2**24 // (127 * 127)
    rows, matrix = np.full((2, depth), 127, np.int8), np.full((3, depth), 127, np.int8)
    matrix[1, ::2] = -127
    dtype = exact_type(127 * 127 * depth)
    assert dtype is np.float32
    expected = rows.astype(np.int64) @ matrix.astype(np.int64).T
    assert product(rows, matrix.astype(dtype)).astype(np.int64).tolist() == expected.tolist()


def test_the_type_follows_the_largest_sum() -> None:
    assert [exact_type(largest) for largest in (2**24, 2**24 + 1, 2**53)] == [np.float32, np.float64, np.float64]
    with pytest.raises(ValueError, match="at most 2"):
        exact_type(2**53 + 1)
