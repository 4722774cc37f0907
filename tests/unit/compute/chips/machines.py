"""Machines that tests make up."""

from __future__ import annotations

from typing import Any


def facts(**changes: Any) -> dict[str, Any]:
    """What `machine` says, with some of it changed."""
    known = {
        "cpu": "A Chip", "cores": 2, "features": ["avx2"], "memory_gb": 4.0, "system": "Linux x86_64",
        "python": "3.11.7", "versions": {"openvino": "1"},
    }  # fmt: skip
    return {**known, **changes}
