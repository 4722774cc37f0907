"""A PyTorch backbone to the two ONNX graphs of a trunk."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.core.digest import digest_bytes, digest_json
from trunkline.core.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_OPSET = 18
_EPSILON = 1e-6  # under the root of the variance, so that a constant map has a finite slope


def import_torch(needed_for: str) -> Any:
    """PyTorch, or a `MissingExtraError` that says how to get it."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "build", needed_for) from error
    return torch


def weights_digest(state: Mapping[str, Any]) -> str:
    """SHA-256 over names, shapes and values of a state dict."""
    rows = {
        name: [list(tensor.shape), digest_bytes(tensor.detach().contiguous().cpu().numpy().tobytes())]
        for name, tensor in state.items()
    }
    return digest_json(rows)


def export_graphs(
    taps_of: Callable[[Any], Sequence[Any]],
    modules: Any,
    *,
    size: int,
    mean: Sequence[float],
    scale: Sequence[float],
    tap_names: Sequence[str],
    scratch: Path,
) -> tuple[bytes, bytes]:
    """Export `images -> pooled` and `images -> pooled, taps`.

    Args:
        taps_of: Maps a normalised float tensor (n, 3, size, size) to the taps' maps.
        modules: The backbone, so that its weights are part of the graph.
        size: Input side, pixels.
        mean, scale: Three numbers each; pixels are normalised as (x - mean) / scale in the graph.
        tap_names: Names of the dense outputs.
        scratch: Folder for files on the way.

    Returns:
        ONNX bytes of the pooled graph and of the dense one.
    """
    torch = import_torch("exporting a trunk")

    class Graph(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, dense: bool) -> None:
            super().__init__()
            self.backbone = modules
            self.dense = dense
            self.register_buffer("mean", torch.tensor(list(mean)).view(1, 3, 1, 1))
            self.register_buffer("scale", torch.tensor(list(scale)).view(1, 3, 1, 1))

        def forward(self, images: Any) -> Any:
            x = (images.permute(0, 3, 1, 2).float() - self.mean) / self.scale
            maps = list(taps_of(x))
            parts = []
            for y in maps:
                mu = y.mean((2, 3), keepdim=True)
                parts += [mu.flatten(1), ((y - mu) ** 2).mean((2, 3)).add(_EPSILON).sqrt(), y.amax((2, 3))]
            pooled = torch.cat(parts, 1)
            return (pooled, *maps) if self.dense else pooled

    result = []
    for dense in (False, True):
        names = ["pooled", *tap_names] if dense else ["pooled"]
        path = scratch / ("dense.onnx" if dense else "trunk.onnx")
        images = torch.zeros((2, size, size, 3), dtype=torch.uint8)
        graph = Graph(dense).eval()
        axes = {name: {0: "n"} for name in ["images", *names]}
        with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            # The TorchScript exporter takes 2 s where the newer one takes 13 s, for the same graph.
            torch.onnx.export(
                graph, (images,), str(path), dynamo=False, opset_version=_OPSET,
                input_names=["images"], output_names=names, dynamic_axes=axes,
            )  # fmt: skip
        result.append(path.read_bytes())
    return result[0], result[1]
