"""JSON lines and consoles take any name; the audit log gets a name whoever runs the command."""

from __future__ import annotations

import getpass
import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from trunkline.cli.common import emit, name_or_path, stderr, stdout, who
from trunkline.core.errors import ConfigError

BACK = "\\"


@pytest.mark.parametrize(
    ("value", "encoding", "line"),
    [
        ("é 😀", "utf-8", '{"a": "é 😀"}'),
        ("é 😀", "ascii", f'{{"a": "{BACK}u00e9 {BACK}ud83d{BACK}ude00"}}'),
        ("d\udce9faut", "utf-8", f'{{"a": "d{BACK}udce9faut"}}'),
        ("line\nend \x1b[2J", "utf-8", f'{{"a": "line{BACK}nend {BACK}u001b[2J"}}'),
        ("one byte \x9b2J", "utf-8", f'{{"a": "one byte {BACK}u009b2J"}}'),
        ([math.nan, {"b": math.inf}, 0.5], "utf-8", '{"a": [null, {"b": null}, 0.5]}'),
    ],
)
def test_emit_writes_one_line_of_json(monkeypatch: pytest.MonkeyPatch, value: Any, encoding: str, line: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    emit({"a": value})
    written = stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]
    assert written == f"{line}\n"
    assert json.loads(written).keys() == {"a"}


@pytest.mark.parametrize(
    ("text", "markup", "shown"),
    [
        (":car: x" * 30, False, ":car: x" * 30),
        ("[bold]x[/bold]", False, "[bold]x[/bold]"),
        ("[bold]x[/bold]", True, "x"),
        ("a\x1b[2Jb", False, "a\\x1b[2Jb"),
        ("a\ntrunkline: b", False, "a\\x0atrunkline: b"),
    ],
)
def test_consoles_print_text_as_it_is(capsys: pytest.CaptureFixture[str], text: str, markup: bool, shown: str) -> None:
    stdout().print(text, markup=markup)
    stderr().print(text, markup=markup)
    assert tuple(capsys.readouterr()) == (f"{shown}\n", f"{shown}\n")


def test_cells_of_tables_are_made_printable_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table("name", box=None)
    table.add_row(":car: a\x1b[2Jb")
    stdout().print(table)
    assert ":car: a\\x1b[2Jb" in capsys.readouterr().out


def test_what_is_not_utf8_can_only_be_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d\udce9faut").touch()
    assert [name_or_path(given) for given in ("steel@1", "划痕", "d\udce9faut")] == ["steel@1", "划痕", "d\udce9faut"]
    with pytest.raises(ConfigError, match="expected a name in UTF-8"):
        name_or_path("stee\udce9")


@pytest.mark.parametrize(("given", "name"), [("ana", "ana"), ("", "the user"), (None, "the user")])
def test_who(monkeypatch: pytest.MonkeyPatch, given: str | None, name: str) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "the user")
    assert who(given) == name


@pytest.mark.parametrize("error", [KeyError("uid"), OSError("no user")])
def test_a_container_without_users_has_a_name_too(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", fail)
    assert who(None) == "unknown"
