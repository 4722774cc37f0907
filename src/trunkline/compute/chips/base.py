"""What every chip says of itself, and how a graph is opened on it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from trunkline.compute.runtimes.base import Session

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
"""Number formats of a trunk's products, widest first."""


@dataclass(frozen=True)
class Way:
    """A way to run a trunk.

    Attributes:
        runtime: The library.
        precision: One of `PRECISIONS`.
        chip: Where.
        calibration: Names the INT8 graph and the images that it was calibrated on; "" for other precisions.
    """

    runtime: str
    precision: str = "fp32"
    chip: str = "cpu"
    calibration: str = ""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"expected one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if any(not isinstance(value, str) for value in asdict(self).values()):
            raise ValueError(f"expected text, got {self}")

    def __str__(self) -> str:
        place = "" if self.chip == "cpu" else f" on {self.chip}"
        return f"{self.runtime} {self.precision}{place}"


class Chip(Protocol):
    """Something that runs graphs, or stands for it."""

    def available(self) -> str:
        """Why it cannot be used on this machine; empty when it can."""

    def describe(self) -> dict[str, Any]:
        """What it is, JSON only: name, instruction sets, `fast` (precisions that it has units for), `notes`."""

    def ways(self) -> tuple[Way, ...]:
        """The ways that are worth a measurement; none for a chip that is only simulated."""

    def open(self, way: Way, model: Path, *, outputs: tuple[str, ...], threads: int) -> Session:
        """Load a graph; for int8 one that was quantised before.

        Raises:
            InputError: When the way is none of `ways`, or the runtime does not take the graph.
        """

    def used(self, session: Session, way: Way) -> str:
        """The precision that a session, opened in a way, really computes in: another where there is no unit for it."""
