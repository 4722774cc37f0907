"""A trunk's card: preprocessing, taps, licence and digests travel with the weights as one record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from trunkline.core.digest import digest_json
from trunkline.core.errors import ConfigError

POOLING = "mean,std,max"
RECIPE = 1
"""Raise it when the exported graph computes something else from the same weights."""


@dataclass(frozen=True, slots=True)
class Tap:
    """A place where features are taken: `stride` input pixels a position."""

    name: str
    channels: int
    stride: int


@dataclass(frozen=True)
class TrunkCard:
    """Everything that features depend on.

    Attributes:
        name: The trunk's name, as "efficientnet-lite0".
        size: Height and width of the input, pixels.
        mean, scale: The graph computes (pixel - mean) / scale itself; kept here to be read.
        taps: Where features are taken, finest first.
        weights: SHA-256 over the weights' names, shapes and values (of a file: over its bytes).
        licence: Licence of the weights.
        source: Where the weights are from.
    """

    name: str
    size: int
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    taps: tuple[Tap, ...]
    weights: str
    licence: str
    source: str

    def __post_init__(self) -> None:
        where = f"trunk {self.name}"
        if not 8 <= self.size <= 4096:
            raise ConfigError(f"expected an input side of 8 to 4096 pixels, got {self.size}", where=where)
        if not self.taps or any(tap.channels < 1 or tap.stride < 1 for tap in self.taps):
            raise ConfigError(f"expected taps, each of some channels and a stride, got {self.taps}", where=where)
        if len({tap.name for tap in self.taps}) < len(self.taps):
            raise ConfigError(f"expected taps of different names, got {self.taps}", where=where)
        if [tap.stride for tap in self.taps] != sorted(tap.stride for tap in self.taps):
            raise ConfigError(f"expected the finest tap first, got {self.taps}", where=where)
        for field, values in (("mean", self.mean), ("scale", self.scale)):
            if len(values) != 3 or not all(isfinite(value) for value in values):
                raise ConfigError(f"expected three finite numbers, got {values}", where=f"{where}: {field}")
        if 0 in self.scale:
            raise ConfigError(f"expected numbers other than 0, got {self.scale}", where=f"{where}: scale")

    @property
    def digest(self) -> str:
        """Names the features that the trunk gives, not the bytes of an export."""
        return digest_json(
            {
                "recipe": RECIPE, "pooling": POOLING, "size": self.size, "mean": list(self.mean),
                "scale": list(self.scale), "taps": [list(asdict(tap).values()) for tap in self.taps],
                "weights": self.weights, "resize": "bilinear",
            }
        )  # fmt: skip

    @property
    def width(self) -> int:
        """Pooled features of one image."""
        return 3 * sum(tap.channels for tap in self.taps)

    def maps(self) -> dict[str, tuple[int, int]]:
        """Channels and side of each tap's map."""
        return {tap.name: (tap.channels, -(-self.size // tap.stride)) for tap in self.taps}

    def slices(self) -> dict[str, dict[str, slice]]:
        """Where each tap's mean, std and max stand in the pooled features."""
        result, start = {}, 0
        for tap in self.taps:
            result[tap.name] = {
                kind: slice(start + i * tap.channels, start + (i + 1) * tap.channels)
                for i, kind in enumerate(POOLING.split(","))
            }
            start += 3 * tap.channels
        return result

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "digest": self.digest, "pooling": POOLING}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> TrunkCard:
        taps = tuple(Tap(**tap) for tap in row["taps"])
        names = ("name", "size", "weights", "licence", "source")
        return cls(**{name: row[name] for name in names}, mean=tuple(row["mean"]), scale=tuple(row["scale"]), taps=taps)
