"""Tables of plugins: listing imports nothing, what fails says why, and other packages add theirs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from trunkline.core.errors import InputError, NotFoundError
from trunkline.core.plugins import PluginStatus, Table

MODULES = {
    "tl_good": "class Head: name = 'good'\n",
    "tl_import": "import tl_no_such_module\n",
    "tl_syntax": "def broken(:\n",
    "tl_exit": "raise SystemExit('bye')\n",
    "tl_value": "raise ValueError('no licence')\n",
}
ENTRIES = {
    "good": "tl_good:Head",
    "inner": "tl_good:Head.name",
    "import": "tl_import:Head",
    "syntax": "tl_syntax:Head",
    "exit": "tl_exit:Head",
    "value": "tl_value:Head",
    "attribute": "tl_good:Other",
    "module": "tl_not_there:Head",
}
REASONS = {
    "attribute": "AttributeError: module 'tl_good' has no attribute 'Other'",
    "exit": "SystemExit: bye",
    "good": "",
    "import": "ModuleNotFoundError: No module named 'tl_no_such_module'",
    "inner": "",
    "module": "ModuleNotFoundError: No module named 'tl_not_there'",
    "syntax": "SyntaxError: invalid syntax (tl_syntax.py, line 1)",
    "value": "ValueError: no licence",
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of importable modules, good and bad."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def package(modules: Path) -> Path:
    """An installed package with entry points."""
    folder = modules / "tl_more-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: tl-more\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[trunkline.heads]\nmine = tl_good:Head [extra]\ngood = tl_value:Head\nbad = tl_value:Head\n"
        "[other.group]\nelse = tl_good:Head\n"
    )
    return modules


def test_listing_imports_nothing(modules: Path) -> None:
    assert Table("head", ENTRIES).names() == sorted(ENTRIES)
    assert [name for name in sys.modules if name.startswith("tl_")] == []


def test_load_gives_what_the_literal_names(modules: Path) -> None:
    table = Table("head", ENTRIES)
    assert (table.load("good").__name__, table.load("inner")) == ("Head", "good")


def test_status_has_the_reason_of_each_that_fails(modules: Path) -> None:
    expected = [PluginStatus(name, ENTRIES[name], reason) for name, reason in REASONS.items()]
    assert Table("head", ENTRIES).status() == expected
    assert [PluginStatus("a", "b:c", reason).text for reason in ("", "E: x")] == ["ok", "failed: E: x"]


def test_a_plugin_that_does_not_load_is_an_input_error_with_its_reason(modules: Path) -> None:
    with pytest.raises(InputError) as caught:
        Table("head", ENTRIES).load("value", where="a.yaml:2: task")
    assert str(caught.value) == (
        "a.yaml:2: task: head 'value' (tl_value:Head) failed: ValueError: no licence\n"
        "  fix: `trunkline doctor` shows what is missing on this machine"
    )


def test_an_unknown_name_brings_near_names() -> None:
    with pytest.raises(NotFoundError) as caught:
        Table("head", {"classify": "a:b"}).load("clasify", where="--task")
    assert str(caught.value) == "--task: no head named 'clasify'\n  fix: did you mean 'classify'?"


def test_other_packages_add_plugins_and_cannot_replace_ours(package: Path) -> None:
    table = Table("head", {"good": "tl_good:Head"})
    assert table.status() == [
        PluginStatus("bad", "tl_value:Head", "ValueError: no licence", built_in=False),
        PluginStatus("good", "tl_good:Head", ""),
        PluginStatus("mine", "tl_good:Head", "", built_in=False),
    ]


def test_the_group_can_be_named(package: Path) -> None:
    assert Table("head", {}, group="other.group").names() == ["else"]
