"""What the engine's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.algorithms.trunks import Trunk, resolve


@pytest.fixture
def trunk(home: Path) -> Trunk:
    """The tiny trunk, ready in the test's home."""
    return resolve("test-trunk", home)
