"""What a trunk's loader does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trunkline.algorithms.trunks.card import TrunkCard


@dataclass(frozen=True)
class Exported:
    """A trunk as ONNX bytes.

    Attributes:
        card: Its card.
        pooled: Graph with the one output `pooled`, float32 (n, card.width).
        dense: The same graph whose outputs are `pooled` and one map for each tap, by the tap's name.
    """

    card: TrunkCard
    pooled: bytes
    dense: bytes


class Loader(Protocol):
    """Makes a trunk's ONNX graphs from weights."""

    def stamp(self) -> str:
        """Changes when the weights may have changed; cheap, so that an export is not done again for nothing.

        Raises:
            MissingExtraError: When the package with the weights is not installed.
            InputError: When the weights are not there.
        """

    def export(self, scratch: Path) -> Exported:
        """Export the graphs; `scratch` is an empty folder for files on the way."""


def at(text: str) -> Path:
    """The path that a user wrote; `~` is the user's home where there is one."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
