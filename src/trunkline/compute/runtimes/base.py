"""What every runtime is: opens a graph, runs batches of pictures through it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

INPUT = "images"
"""Name of a trunk graph's input: uint8 RGB of shape (n, height, width, 3)."""


class Session(Protocol):
    """A graph that is ready to run. It belongs to one thread; its own work runs in others.

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

        Raises:
            ValueError: When the pictures are not what the graph takes.
        """

    def stream(self, batches: Iterable[np.ndarray]) -> Generator[Mapping[str, np.ndarray], None, None]:
        """Run batches, several under way at once; results come in the order of the batches.

        No more batches are taken from `batches` than are under way. The caller may stop early and close the generator;
        the session can be used again afterwards, also when `batches` or a batch failed.

        Raises:
            ValueError: When the pictures are not what the graph takes.
        """

    def close(self) -> None:
        """Free the graph and the threads; a second call does nothing. Runs are a `ValueError` from then on."""


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


def check_open(graph: object) -> None:
    """Refuse to run a graph that was freed.

    Raises:
        ValueError: When it is None.
    """
    if graph is None:
        raise ValueError("expected an open session, this one was closed")


def check_batch(images: np.ndarray, side: int) -> None:
    """Refuse what is not a batch of pictures for a graph.

    Raises:
        ValueError: When it is not uint8 of shape (n, side, side, 3) with at least one picture.
    """
    if str(images.dtype) != "uint8" or images.shape[1:] != (side, side, 3) or not len(images):
        raise ValueError(f"expected uint8 pictures of shape (n, {side}, {side}, 3), got {images.dtype} {images.shape}")
