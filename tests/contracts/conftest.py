"""Trunks that the contract suites share; each is exported once, however many workers run the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.algorithms.trunks.nets import brought, fake_timm, timm_weights
from trunkline.algorithms.trunks import Trunk, resolve


class Trunks:
    """Trunks by the names of the contract suite, made when they are first asked for."""

    def __init__(self, home: Path, files: Path) -> None:
        self.home = home
        self._files = files
        self._made: dict[str, Trunk] = {}

    def spec(self, name: str) -> str:
        """What a user would write."""
        if name == "onnx":
            return f"onnx:{brought(self._files / 'onnx')}"
        if name == "timm":
            return f"timm:tiny_net?weights={timm_weights(self._files / 'timm')}"
        return name

    def __getitem__(self, name: str) -> Trunk:
        if name not in self._made:
            with pytest.MonkeyPatch.context() as patch:
                if name == "timm":
                    fake_timm(patch)
                self._made[name] = resolve(self.spec(name), self.home)
        return self._made[name]


@pytest.fixture(scope="session")
def trunks(tmp_path_factory: pytest.TempPathFactory) -> Trunks:
    """Ready trunks, in a home that the workers of one run share."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    return Trunks(root / "home-of-trunks", tmp_path_factory.mktemp("brought"))
