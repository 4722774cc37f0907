"""Cards in general; what each kind of card holds is tested beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from trunkline.core.cards import Mean, Name, Scale, Strict, card_beside, read_as, read_bytes
from trunkline.core.errors import ConfigError, InputError

EXAMPLE = "name: net"


class Inner(Strict):
    kind: str
    size: int = Field(default=1, ge=1)


class Card(Strict):
    name: Name
    inner: Inner | None = None
    mean: Mean | None = None
    scale: Scale | None = None


def read(path: Path, text: str) -> Card:
    path.write_text(text)
    return read_as(path, Card, EXAMPLE, blocks={"inner": Inner})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("net.yaml", "name: net\ninner: {kind: a, size: 3}\nmean: [1, 2.5, 1e-3]\n"),
        ("net.json", '{"name": "net", "inner": {"kind": "a", "size": 3}, "mean": [1, 2.5, 0.001]}'),
    ],
)
def test_a_card_is_read(name: str, text: str, tmp_path: Path) -> None:
    assert read(tmp_path / name, text) == Card(name="net", inner=Inner(kind="a", size=3), mean=[1, 2.5, 0.001])


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("{}", ": name", "this key is missing\n  fix: for example:\n\nname: net"),
        ("nam: net\nname: net", ": nam", "unknown key\n  fix: did you mean 'name'?"),
        ("name: net\ninner: {kind: a, siez: 3}", ": inner.siez", "unknown key\n  fix: did you mean 'size'?"),
        ("name: net\ninner: {kind: a, zzz: 3}", ": inner.zzz", "unknown key\n  fix: known keys: kind, size"),
        ("name: net\ninner: {size: 3}", ": inner.kind", "this key is missing"),
        ("name: net\ninner: 3", ": inner", "expected a block of keys, got 3"),
        ("name: -net", ": name", "the first no mark, got '-net'"),
        ("name: net\nmean: [1, 2]", ": mean", "expected at least 3 entries, got [1, 2]"),
        ("name: net\nscale: [1, 2, 0]", ": scale", "expected numbers other than 0, got [1, 2, 0]"),
        ("- net", "", "expected a block of keys\n  fix: for example:"),
        ("name: [", "", "not YAML: "),
    ],
)
def test_a_wrong_card_is_refused(text: str, where: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    with pytest.raises(ConfigError) as caught:
        read(path, text)
    assert caught.value.where == f"{path}{where}"
    assert said in str(caught.value)


def test_the_card_beside_a_graph(tmp_path: Path) -> None:
    graph = tmp_path / "net.onnx"
    with pytest.raises(InputError) as caught:
        card_beside(graph, EXAMPLE)
    assert caught.value.fix == f"write {tmp_path / 'net.yaml'}, for example:\n\n{EXAMPLE}\n"
    (tmp_path / "net.yml").touch()
    assert card_beside(graph, EXAMPLE) == tmp_path / "net.yml"
    (tmp_path / "net.json").touch()
    with pytest.raises(InputError, match=r"expected one card, got net\.yml and net\.json"):
        card_beside(graph, EXAMPLE)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b" " * 9300), "expected a card of at most 8 KB, got 9 KB"),
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: None, "cannot be read: No such file or directory"),
    ],
    ids=["large", "folder", "gone"],
)
def test_what_cannot_be_read_is_said(make: Any, said: str, tmp_path: Path) -> None:
    make(tmp_path / "net.yaml")
    with pytest.raises(ConfigError, match=said) as caught:
        read_bytes(tmp_path / "net.yaml", most=8192, what="a card")
    assert caught.value.where == str(tmp_path / "net.yaml")
