"""What every runtime is: opens a graph, runs batches of pictures through it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

INPUT = "images"
"""Name of a trunk graph's input: uint8 RGB of shape (n, height, width, 3)."""


class Session(Protocol):
    """A graph that is ready to run.

    Attributes:
        outputs: Names of the outputs that it computes.
    """

    outputs: tuple[str, ...]

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        """Run one batch.

        Args:
            images: uint8 array of shape (n, height, width, 3).

        Returns:
            For each output a float32 array of shape (n, ...) that belongs to the caller.
        """

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Mapping[str, np.ndarray]]:
        """Run batches, several under way at once; results come in the order of the batches."""

    def close(self) -> None:
        """Free the graph; the session cannot be used afterwards."""


class Runtime(Protocol):
    """A library that runs ONNX graphs."""

    def available(self) -> str:
        """Why it cannot be used on this machine; empty when it can."""

    def open(self, model: Path, *, outputs: tuple[str, ...], threads: int) -> Session:
        """Load a graph.

        Args:
            model: An ONNX file whose input is `images`.
            outputs: The outputs that are wanted; others are not computed.
            threads: CPU threads to use.

        Raises:
            InputError: When the file is no graph that the runtime takes.
        """
