"""The detect head as a PyTorch network: a light feature pyramid, then scores and boxes at each point.

Depthwise separable convolutions with residuals, lateral maps added top-down (T.-Y. Lin et al., "Feature pyramid
networks", CVPR 2017); what the whole picture is like is added everywhere. Boxes are four distances from a point, each
the mean of a learned distribution (X. Li et al., "Generalized focal loss", NeurIPS 2020). Imported by a fit alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from trunkline.algorithms.heads.detect.layout import Layout

BINS = 16
"""Places of a distance's distribution: it reaches 15 strides."""
_PRIOR = 0.01
"""Score that every point begins with, so that the many empty ones do not drown the first steps (focal loss, 2017)."""


class Separable(nn.Module):  # type: ignore[misc]
    """Depthwise, then pointwise convolution; a residual where the width stays."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width, bias=False)
        self.pointwise = nn.Conv2d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return x + functional.silu(self.norm(self.pointwise(self.depthwise(x))))


class Network(nn.Module):  # type: ignore[misc]
    """Maps of a trunk to scores and distances.

    Args:
        layout: Its levels.
        labels: How many labels.
        width: Channels inside.
        depth: Separable convolutions of each branch.
        kernel: Their side.
        mean, std: Of each tap's channels, by which maps are made comparable; arrays of shape (channels,).
    """

    def __init__(
        self, layout: Layout, labels: int, *, width: int, depth: int, kernel: int,
        mean: Mapping[str, np.ndarray], std: Mapping[str, np.ndarray],
    ) -> None:  # fmt: skip
        super().__init__()
        self.layout, self.labels, self.width = layout, labels, width
        self.taps = tuple(mean)
        for tap in self.taps:
            self.register_buffer(f"mean_{tap}", torch.tensor(mean[tap]).float().view(1, -1, 1, 1))
            self.register_buffer(f"std_{tap}", torch.tensor(std[tap]).float().view(1, -1, 1, 1))
        levels = range(len(layout.levels))
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(layout.inputs(level), width, 1, bias=False), nn.BatchNorm2d(width))
            for level in levels
        )
        self.down = nn.ModuleList(Separable(width, kernel) for _ in levels[1:])
        self.context = nn.Sequential(
            nn.Linear(2 * sum(layout.channels[-2:]), width), nn.SiLU(), nn.Linear(width, width)
        )
        self.branches = nn.ModuleDict(
            {
                name: nn.ModuleList(nn.Sequential(*(Separable(width, kernel) for _ in range(depth))) for _ in levels)
                for name in ("scores", "boxes")
            }
        )
        self.scores = nn.ModuleList(nn.Conv2d(width, labels, 1) for _ in levels)
        self.boxes = nn.ModuleList(nn.Conv2d(width, 4 * BINS, 1) for _ in levels)
        for last in self.scores:
            nn.init.constant_(last.bias, float(np.log(_PRIOR / (1 - _PRIOR))))
        self.register_buffer("places", torch.arange(BINS).float())

    def forward(self, maps: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of shape (n, p, k), and raw distributions of shape (n, p, 4, BINS).

        Args:
            maps: By tap, finest first, each (n, channels, height, width).
        """
        scaled = [(maps[tap] - getattr(self, f"mean_{tap}")) / getattr(self, f"std_{tap}") for tap in self.taps]
        level = self._levels(scaled)
        whole = self.context(torch.cat([_whole(x) for x in scaled[-2:]], 1))[:, :, None, None]
        pyramid = [lateral(x) + whole for lateral, x in zip(self.lateral, level, strict=True)]
        for place in range(len(pyramid) - 2, -1, -1):
            larger = functional.interpolate(pyramid[place + 1], size=pyramid[place].shape[2:])
            pyramid[place] = self.down[place](pyramid[place] + larger)
        logits, boxes = [], []
        for place, x in enumerate(pyramid):
            logits.append(_flat(self.scores[place](self.branches["scores"][place](x))))
            boxes.append(_flat(self.boxes[place](self.branches["boxes"][place](x))))
        raw = torch.cat(boxes, 1)
        return torch.cat(logits, 1), raw.view(*raw.shape[:2], 4, BINS)

    def _levels(self, scaled: list[Tensor]) -> list[Tensor]:
        """Maps of the levels; finer taps are folded into the finest."""
        layout = self.layout
        own = [scaled[layout.strides.index(stride)] for stride in layout.levels]
        fine = [functional.pixel_unshuffle(scaled[tap], layout.finest // layout.strides[tap]) for tap in layout.folded]
        own[0] = torch.cat([*fine, own[0]], 1)
        return own

    def distances(self, raw: Tensor) -> Tensor:
        """Means of the distributions, in strides, shape (n, p, 4)."""
        return raw.softmax(-1) @ self.places


def _whole(x: Tensor) -> Tensor:
    """What the whole picture is like: mean and standard deviation of each channel, shape (n, 2 c)."""
    mean = x.mean((2, 3))
    spread = ((x - mean[:, :, None, None]) ** 2).mean((2, 3)).add(1e-6).sqrt()
    return torch.cat([mean, spread], 1)


def _flat(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def folded(network: Network) -> dict[str, np.ndarray]:
    """The weights of a trained network as a head keeps them: normalisations are folded into their neighbours.

    Returns:
        Float32 arrays by name, as `graph.build` reads them.
    """
    out: dict[str, Any] = {}
    layout = network.layout
    scale = [getattr(network, f"std_{tap}").reshape(-1) for tap in network.taps]
    shift = [getattr(network, f"mean_{tap}").reshape(-1) for tap in network.taps]
    with torch.no_grad():
        for place, (conv, norm) in enumerate(network.lateral):
            weight, bias = _with_norm(conv.weight[:, :, 0, 0], norm)
            stds, means = _inputs(layout, place, scale), _inputs(layout, place, shift)
            weight = weight / stds
            out[f"lateral{place}.weight"], out[f"lateral{place}.bias"] = weight, bias - weight @ means
        for place, block in enumerate(network.down):
            out.update(_block(f"down{place}", block))
        for name, levels in network.branches.items():
            for place, blocks in enumerate(levels):
                for number, block in enumerate(blocks):
                    out.update(_block(f"{name}{place}.{number}", block))
        for name, levels in (("scores", network.scores), ("boxes", network.boxes)):
            for place, conv in enumerate(levels):
                out[f"{name}{place}.weight"], out[f"{name}{place}.bias"] = conv.weight[:, :, 0, 0], conv.bias
        first, _, second = network.context
        parts = torch.cat([torch.cat([std, std]) for std in scale[-2:]])
        means = torch.cat([torch.cat([mean, torch.zeros_like(mean)]) for mean in shift[-2:]])
        weight = first.weight / parts
        out["context0.weight"], out["context0.bias"] = weight, first.bias - weight @ means
        out["context1.weight"], out["context1.bias"] = second.weight, second.bias
    return {name: value.detach().cpu().contiguous().numpy().astype(np.float32) for name, value in out.items()}


def _with_norm(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A convolution's weights, outputs first, with the normalisation behind it in them; and the bias that it gives."""
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    shape = (-1,) + (1,) * (weight.dim() - 1)
    return weight * factor.view(shape), norm.bias - norm.running_mean * factor


def _block(name: str, block: Separable) -> dict[str, Tensor]:
    weight, bias = _with_norm(block.pointwise.weight[:, :, 0, 0], block.norm)
    return {f"{name}.depthwise": block.depthwise.weight[:, 0], f"{name}.weight": weight, f"{name}.bias": bias}


def _inputs(layout: Layout, level: int, per_tap: list[Tensor]) -> Tensor:
    """Numbers of the channels that come into a level, in their order."""
    own = per_tap[layout.strides.index(layout.levels[level])]
    if level:
        return own
    fine = [per_tap[tap].repeat_interleave((layout.finest // layout.strides[tap]) ** 2) for tap in layout.folded]
    return torch.cat([*fine, own])
