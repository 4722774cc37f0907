"""Resizing inside a graph against Pillow, bit by bit, in each runtime."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from trunkline.platform.export.check import Run, onnxruntime_run, openvino_run
from trunkline.platform.export.graph import Graph
from trunkline.platform.export.resize import resized

SIZES = [
    (1, 1), (1, 300), (300, 1), (2, 5), (31, 33), (32, 32), (32, 500), (37, 91), (64, 48), (200, 200), (223, 225),
    (224, 224), (416, 416), (640, 480), (1280, 719), (5000, 2), (7168, 3), (33, 2000), (3, 200),
]  # fmt: skip
"""Width and height."""
RUNS: dict[str, Callable[..., AbstractContextManager[Run]]] = {
    "onnxruntime": onnxruntime_run, "openvino": openvino_run,
}  # fmt: skip


@cache
def model(side: int, opset: int) -> bytes:
    graph = Graph(onnx, opset)
    resized(graph, "image", side, output="square")
    describe, uint8 = onnx.helper.make_tensor_value_info, onnx.TensorProto.UINT8
    body = onnx.helper.make_graph(
        graph.nodes, "resize",
        [describe("image", uint8, ["n", "height", "width", 3])], [describe("square", uint8, ["n", side, side, 3])],
        graph.constants,
    )  # fmt: skip
    made = onnx.helper.make_model(body, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString())


def picture(width: int, height: int) -> np.ndarray:
    """Waves with noise: smooth where sums come close to halves, rough elsewhere."""
    rng = np.random.default_rng([width, height])
    waves = np.sin(np.arange(width) / 9)[None, :, None] * 90 + 128
    return np.asarray(np.clip(waves + rng.normal(0, 30, (height, width, 3)), 0, 255), np.uint8)


def stretched(pixels: np.ndarray, side: int) -> Any:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("runtime", RUNS)
@pytest.mark.parametrize(("side", "opset"), [(224, 18), (32, 13)])
def test_every_pixel_is_pillows(tmp_path: Path, runtime: str, side: int, opset: int) -> None:
    path = tmp_path / "resize.onnx"
    path.write_bytes(model(side, opset))
    with RUNS[runtime](path, threads=1) as run:
        pictures = {size: picture(*size) for size in SIZES}
        differ = {
            size: int((run(pixels[None])["square"][0] != stretched(pixels, side)).sum())
            for size, pixels in pictures.items()
        }
    assert differ == dict.fromkeys(SIZES, 0)


def test_pictures_of_a_batch_do_not_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "resize.onnx"
    path.write_bytes(model(32, 18))
    pictures = [picture(50, 40), picture(50, 40)[::-1], picture(50, 40)[:, ::-1]]
    with onnxruntime_run(path, threads=1) as run:
        got = run(np.stack(pictures))["square"]
    assert (got == np.stack([stretched(pixels, 32) for pixels in pictures])).all()


def test_of_a_picture_a_hundred_times_as_tall_as_wide_a_pixel_is_off_by_one_at_most(tmp_path: Path) -> None:
    """Pillow takes its columns first."""
    path = tmp_path / "resize.onnx"
    path.write_bytes(model(32, 18))
    pixels = picture(3, 700)
    with onnxruntime_run(path, threads=1) as run:
        got = run(pixels[None])["square"][0]
    assert np.abs(got.astype(int) - stretched(pixels, 32)).max() == 1
