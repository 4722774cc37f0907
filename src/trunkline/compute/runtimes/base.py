"""What every runtime is: opens a graph, runs batches of pictures through it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Executor, Future
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
        streams: Batches that run side by side. Where there are several, so many threads may each run a stream of one
            batch at the same time.
    """

    outputs: tuple[str, ...]
    streams: int

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
    """A library that runs graphs: ONNX ones, or TFLite ones that somebody brings."""

    def available(self) -> str:
        """Why it cannot be used on this machine; empty when it can."""

    def open(self, model: Path, *, outputs: tuple[str, ...], threads: int) -> Session:
        """Load a graph.

        Args:
            model: An ONNX file whose input is `images`; for LiteRT a TFLite file with one input.
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


def check_batch(images: np.ndarray, height: int, width: int = 0) -> None:
    """Refuse what is not a batch of pictures for a graph.

    Args:
        images: What the caller brings.
        height, width: Of the graph's input, pixels; a width of 0 stands for a square.

    Raises:
        ValueError: When it is not uint8 of shape (n, height, width, 3) with at least one picture.
    """
    shape = (height, width or height, 3)
    if str(images.dtype) != "uint8" or images.shape[1:] != shape or not len(images):
        said = ", ".join(map(str, shape))
        raise ValueError(f"expected uint8 pictures of shape (n, {said}), got {images.dtype} {images.shape}")


def one_ahead(
    worker: Executor, run: Callable[[np.ndarray], Mapping[str, np.ndarray]], batches: Iterable[np.ndarray]
) -> Generator[Mapping[str, np.ndarray], None, None]:
    """Run batches in order in a thread, each while the caller makes the next one."""
    waiting: deque[Future[Mapping[str, np.ndarray]]] = deque()
    try:
        for batch in batches:
            waiting.append(worker.submit(run, batch))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:  # the caller stopped early, or a batch failed
            future.cancel()
