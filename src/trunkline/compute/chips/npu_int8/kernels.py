"""Convolutions and matrix products on NHWC arrays, for floats and for whole numbers alike.

NumPy multiplies integer matrices without BLAS, a hundred times slower. Whole numbers in a float are exact as long as no
sum passes 2^24 (float32) or 2^53 (float64), and then any order of additions, any number of threads and fused
multiply-adds give the same. `exact_type` picks the smaller that holds the worst case.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trunkline.compute.chips.npu_int8.layers import Geometry

_FLOAT32, _FLOAT64 = 2**24, 2**53
_MOST = 1 << 28  # numbers in a batch of maps, 1 GB in float32: a graph from outside must not fill the memory


def exact_type(largest: int) -> Any:
    """The fastest dtype in which sums of whole numbers up to `largest` are exact.

    Raises:
        ValueError: When there is none.
    """
    if largest > _FLOAT64:
        raise ValueError(f"expected sums of at most 2^53, got {largest}")
    return np.float32 if largest <= _FLOAT32 else np.float64


def convolve(maps: np.ndarray, kernel: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A convolution without bias.

    Args:
        maps: (n, h, w, c).
        kernel: (out, c / groups, kh, kw), of the dtype in which it is computed.
        geometry: Strides, zeros around, groups.

    Returns:
        (n, oh, ow, out), of the kernel's dtype.

    Raises:
        ValueError: When it does not fit the maps, or would take more memory than any network needs.
    """
    out, per_group, kh, kw = kernel.shape
    _check(maps, kernel, geometry)
    if (kh, kw) == (1, 1) and geometry.pointwise:
        return product(maps, kernel[:, :, 0, 0])
    top, left, bottom, right = geometry.pads
    padded = np.pad(maps, ((0, 0), (top, bottom), (left, right), (0, 0))) if any(geometry.pads) else maps
    if per_group == 1 and out == geometry.groups:
        return _depthwise(padded, kernel, geometry)
    windows = _windows(padded, (kh, kw), geometry)
    parts = []
    for group in range(geometry.groups):
        ours = slice(group * out // geometry.groups, (group + 1) * out // geometry.groups)
        seen = windows[..., group * per_group : (group + 1) * per_group]
        flat = np.ascontiguousarray(seen).reshape(*seen.shape[:3], kh * kw * per_group)
        parts.append(product(flat, kernel[ours].transpose(0, 2, 3, 1).reshape(-1, kh * kw * per_group)))
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=3)


def product(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """rows (..., d) times matrix (out, d) transposed: (..., out), of the matrix' dtype."""
    flat = rows.reshape(-1, rows.shape[-1]).astype(matrix.dtype, copy=False)
    return np.asarray((flat @ matrix.T).reshape(*rows.shape[:-1], matrix.shape[0]))


def output_size(height: int, width: int, kernel: tuple[int, int], geometry: Geometry) -> tuple[int, int]:
    """Rows and columns of a convolution's output; under 1 where the kernel does not fit."""
    top, left, bottom, right = geometry.pads
    sizes = []
    for size, extent, stride, dilation in zip(
        (height + top + bottom, width + left + right), kernel, geometry.strides, geometry.dilations, strict=True
    ):
        sizes.append((size - dilation * (extent - 1) - 1) // stride + 1)
    return sizes[0], sizes[1]


def _check(maps: np.ndarray, kernel: np.ndarray, geometry: Geometry) -> None:
    out, per_group, kh, kw = kernel.shape
    n, h, w, channels = maps.shape
    if channels != per_group * geometry.groups:
        raise ValueError(f"expected {per_group * geometry.groups} channels, got {channels}")
    height, width = output_size(h, w, (kh, kw), geometry)
    top, left, bottom, right = geometry.pads
    numbers = max(height * width * max(out, per_group * kh * kw), (h + top + bottom) * (w + left + right) * channels)
    if height < 1 or width < 1 or n * numbers > _MOST:
        raise ValueError(f"expected an output of a sane size, got {n} x {height} x {width} of {out} channels")


def _windows(padded: np.ndarray, kernel: tuple[int, int], geometry: Geometry) -> np.ndarray:
    """A view of (n, oh, ow, kh, kw, c)."""
    (sy, sx), (dy, dx) = geometry.strides, geometry.dilations
    extents = tuple(d * (k - 1) + 1 for d, k in zip((dy, dx), kernel, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(padded, extents, axis=(1, 2))
    return view[:, ::sy, ::sx, :, ::dy, ::dx].transpose(0, 1, 2, 4, 5, 3)


def _depthwise(padded: np.ndarray, kernel: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Shifted copies of the maps, each times its own weight a channel, added up."""
    kh, kw = kernel.shape[2:]
    (sy, sx), (dy, dx) = geometry.strides, geometry.dilations
    bare = Geometry(strides=geometry.strides, dilations=geometry.dilations)
    oh, ow = output_size(padded.shape[1], padded.shape[2], (kh, kw), bare)
    source = padded.astype(kernel.dtype, copy=False)
    total = np.zeros((padded.shape[0], oh, ow, padded.shape[3]), kernel.dtype)
    part = np.empty_like(total)
    for y in range(kh):
        for x in range(kw):
            rows = slice(y * dy, y * dy + sy * (oh - 1) + 1, sy)
            columns = slice(x * dx, x * dx + sx * (ow - 1) + 1, sx)
            np.multiply(source[:, rows, columns], kernel[:, 0, y, x], out=part)
            total += part
    return total
