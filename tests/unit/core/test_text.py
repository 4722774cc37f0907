"""What stands in a text is shown on one line, and moves nothing on the terminal."""

from __future__ import annotations

import json

import pytest

from trunkline.core.text import cut, json_printable, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 😀 👷\u200d♀️ [x]\ttab 划痕", "plain é 😀 👷\u200d♀️ [x]\ttab 划痕"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("over\rwritten\x7f\x9b2J", r"over\x0dwritten\x7f\x9b2J"),
        ("one\ntwo\u2028three", r"one\x0atwo\u2028three"),
        ("\u202egpj.exe\u2066", r"\u202egpj.exe\u2066"),
        ("d\udce9faut", r"d\udce9faut"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_cut() -> None:
    assert [cut("x" * 60), cut("x" * 61), cut("é" * 9, 8)] == ["x" * 60, "x" * 57 + "...", "é" * 5 + "..."]


@pytest.mark.parametrize("text", ["é 😀", "a\x7f\x9b2J", "a\nb\u202e", "d\udce9faut"])
def test_json_holds_the_same_text(text: str) -> None:
    written = json_printable(json.dumps(text, ensure_ascii=False))
    assert (json.loads(written), printable(written)) == (text, written)
