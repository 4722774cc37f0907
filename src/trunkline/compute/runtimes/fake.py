"""A runtime without a library: repeatable numbers for tests of everything above it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.compute.runtimes.base import check_batch, check_open
from trunkline.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

WIDTH = 12
"""Features that it gives: those of a trunk with one tap of 4 channels."""


class FakeRuntime:
    """Gives each picture's grey histogram instead of running the graph."""

    def available(self) -> str:
        return ""

    def open(self, model: Path, *, outputs: tuple[str, ...], threads: int) -> FakeSession:
        if not model.is_file():
            raise InputError("expected a graph; there is nothing here", where=str(model))
        return FakeSession(outputs)


class FakeSession:
    """`pooled` is the grey histogram in 12 bins; any other output is the picture's grey, 4 x 4, in one channel."""

    def __init__(self, outputs: tuple[str, ...]) -> None:
        self.outputs = outputs
        self.streams = 1
        self._graph: str | None = "open"

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        import numpy as np

        check_open(self._graph)
        check_batch(images, images.shape[1] if images.ndim == 4 else 0)
        grey = images.mean(axis=3)
        pooled = np.stack([np.histogram(g, bins=WIDTH, range=(0, 256))[0] / g.size for g in grey])
        side = grey.shape[1] // 4
        maps = grey[:, : 4 * side, : 4 * side].reshape(len(grey), 1, 4, side, 4, side).mean(axis=(3, 5))
        known = {"pooled": pooled.astype(np.float32)}
        return {name: known.get(name, (maps / 255).astype(np.float32)) for name in self.outputs}

    def stream(self, batches: Iterable[np.ndarray]) -> Generator[Mapping[str, np.ndarray], None, None]:
        for batch in batches:
            yield self.run(batch)

    def close(self) -> None:
        self._graph = None
