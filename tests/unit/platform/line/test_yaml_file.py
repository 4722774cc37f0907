"""The reader of YAML gives the same with libyaml and without it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from trunkline.core import yaml_text
from trunkline.core.errors import ConfigError
from trunkline.platform.line.yaml_file import documents, line_of, no_repeats

PARSERS = [yaml.CSafeLoader, yaml.SafeLoader]


@pytest.fixture(params=PARSERS, ids=["libyaml", "Python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_text, "_PARSER", request.param)


def test_libyaml_is_used_where_it_is() -> None:
    assert yaml_text._PARSER is yaml.CSafeLoader


@pytest.mark.usefixtures("parser")
def test_documents_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("# first\na: {b: [1, 2.5, yes, ~, 2024-01-02]}\n---\n- x\n---\n---\n'text'\n")
    found = [(line_of(node), value) for node, value in documents(path)]
    assert [(line, str(value)) for line, value in found] == [
        (2, "{'a': {'b': [1, 2.5, True, None, datetime.date(2024, 1, 2)]}}"),
        (4, "['x']"),
        (7, "text"),
    ]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "where", "fix"),
    [
        ("a: &x 1\nb: *x\n", ":2:4", "write the value out"),
        ("a:\n\tb: 1\n", ":2:1", "indent with spaces, not with tabs"),
        ("a: >= 0.9\n", ":1:4", 'put the limit into quotes: ">= 0.99"'),
        ("a: b: c\n", ":1:5", "put the text into quotes"),
        ("a: !!int b\n", ":1:4", "put the text into quotes"),
        ("a: 0x" + "f" * 6000, ":1:4", "put the text into quotes"),
        ("a: !!python/name:os.system b\n", ":1:4", "mend the YAML at this place"),
        ("a: 'b\n", ":2:1", "mend the YAML at this place"),
    ],
)
def test_a_mistake_is_placed_alike_by_both_parsers(tmp_path: Path, text: str, where: str, fix: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        documents(path)
    assert (caught.value.fix, str(caught.value.where).removeprefix(str(path))[:3]) == (fix, where[:3])


@pytest.mark.usefixtures("parser")
def test_nesting_without_end_does_not_break_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("[" * 5_000)
    with pytest.raises(ConfigError, match="nest"):
        documents(path)


@pytest.mark.usefixtures("parser")
def test_repeats(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\nb: [{c: 1, d: 1}, {c: 2}]\n'a': 2\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:3: a: expected each key once"):
        no_repeats(path, documents(path)[0][0])
