"""Small networks that somebody might bring along: ONNX graphs with their cards, and a stand-in for the package timm."""

from __future__ import annotations

import json
import sys
from importlib.machinery import ModuleSpec
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

CARD: dict[str, Any] = {
    "name": "brought", "size": 32, "mean": [120.0, 110, 100], "scale": [60, 61, 62.5],
    "taps": ["coarse", {"tensor": "fine", "channels": 6, "stride": 2}], "licence": "MIT", "source": "a friend",
}  # fmt: skip
"""The card of `graph()`."""


def weight(name: str, *shape: int) -> onnx.TensorProto:
    values = np.random.default_rng(len(name)).normal(0, 0.3, shape)
    return numpy_helper.from_array(values.astype(np.float32), name)


def nodes() -> list[onnx.NodeProto]:
    """Two convolutions of stride 2 with ReLU, then a classifier."""
    make = helper.make_node
    return [
        make("Conv", ["pixels", "k1"], ["c1"], strides=[2, 2], pads=[1] * 4),
        make("Relu", ["c1"], ["fine"]),
        make("Conv", ["fine", "k22"], ["c2"], strides=[2, 2], pads=[1] * 4),
        make("Relu", ["c2"], ["coarse"]),
        make("GlobalAveragePool", ["coarse"], ["mean"]),
        make("Flatten", ["mean"], ["flat"]),
        make("MatMul", ["flat", "classes"], ["logits"]),
    ]


def graph(
    made: list[onnx.NodeProto] | None = None,
    *,
    shape: tuple[Any, ...] = ("n", 3, 32, 32),
    kind: int = TensorProto.FLOAT,
    opset: int = 18,
    domains: dict[str, int] | None = None,
    more: list[onnx.TensorProto] | None = None,
) -> onnx.ModelProto:
    """A network of float pictures, as exporters write them: all intermediate shapes told, with the batch they saw."""
    constants = [weight("k1", 6, 3, 3, 3), weight("k22", 10, 6, 3, 3), weight("classes", 10, 4), *(more or [])]
    body = helper.make_graph(
        made or nodes(), "brought",
        [helper.make_tensor_value_info("pixels", kind, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [shape[0], 4])],
        constants,
        value_info=[helper.make_tensor_value_info("fine", TensorProto.FLOAT, [1, 6, 16, 16])],
    )  # fmt: skip
    imports = [helper.make_opsetid(domain, version) for domain, version in {"": opset, **(domains or {})}.items()]
    return helper.make_model(body, opset_imports=imports, ir_version=8)


def brought(folder: Path, model: onnx.ModelProto | bytes | None = None, **changes: Any) -> Path:
    """A graph's file with its card beside it; a key that is changed to None is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "net.onnx"
    made = graph() if model is None else model
    path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    card = {key: value for key, value in {**CARD, **changes}.items() if value is not None}
    path.with_suffix(".json").write_text(json.dumps(card))
    return path


def fake_timm(patch: pytest.MonkeyPatch) -> None:
    """Put a `timm` in place that knows `tiny_net`, and loads weights as carelessly as the real one may."""
    import torch
    from safetensors.torch import load_file

    class Features(torch.nn.Module):
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__()
            channels = (3, 4, 6, 8, 10)
            self.steps = torch.nn.ModuleList(torch.nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(channels))
            self.pretrained_cfg = config
            self.feature_info = SimpleNamespace(channels=lambda: list(channels[1:]))

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            maps = []
            for step in self.steps:
                x = torch.relu(step(x))
                maps.append(x)
            return maps

    def create_model(
        name: str, *, pretrained: bool, pretrained_cfg_overlay: dict[str, Any], features_only: bool
    ) -> Any:
        assert (name, pretrained, features_only) == ("tiny_net", True, True)
        assert not pretrained_cfg_overlay["custom_load"]  # a model's own loader reads files of other kinds
        net = Features({"input_size": (3, 32, 32), "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.25, 0.5)})
        net.load_state_dict(load_file(pretrained_cfg_overlay["file"]), strict=False)
        return net

    known = ["tiny_net", "tiny_net_v2"]
    parts = {"create_model": create_model, "is_model": lambda name: name in known, "list_models": lambda: known}
    for name, content in (("timm", parts), ("torchvision", {})):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        vars(module).update(content)
        patch.setitem(sys.modules, name, module)


def timm_weights(folder: Path, *, leave_out: str = "") -> Path:
    """A file with the weights of `tiny_net`."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    channels = (3, 4, 6, 8, 10)
    rng = torch.Generator().manual_seed(3)
    state = {}
    for number, (a, b) in enumerate(pairwise(channels)):
        state[f"steps.{number}.weight"] = torch.randn(b, a, 3, 3, generator=rng) * 0.2
        state[f"steps.{number}.bias"] = torch.randn(b, generator=rng) * 0.1
    state.pop(leave_out, None)
    path = folder / "tiny_net.safetensors"
    save_file(state, path)
    return path
