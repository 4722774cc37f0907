"""How many threads NumPy's linear algebra uses: one for small work, where threads that wait only burn CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

LARGE = 1000
"""Rows from which on more threads than one pay off: on matrices of 1,400 columns."""


class Blas:
    """Limits the threads of BLAS within blocks.

    Args:
        threads: The most that large work may use.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._controller: Any = None

    def limit(self, rows: int) -> AbstractContextManager[Any]:
        """Within the block, BLAS uses one thread, or all for work on so many rows."""
        if self._controller is None:
            import numpy  # noqa: F401 (its library has to be loaded to be found)
            from threadpoolctl import ThreadpoolController

            self._controller = ThreadpoolController()
        context: AbstractContextManager[Any] = self._controller.limit(
            limits=self.threads if rows >= LARGE else 1, user_api="blas"
        )
        return context
