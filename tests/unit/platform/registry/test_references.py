"""References: which version a text means."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunkline.platform.registry.references import Reference, file_of, match, missing, pick
from trunkline.platform.registry.versions import ModelVersion


def version(number: int, *aliases: str) -> ModelVersion:
    return ModelVersion("steel", number, "d" * 64, Path("d.tlb"), aliases=aliases)


VERSIONS = [version(1), version(2, "champion"), version(3, "challenger", "night")]


@pytest.mark.parametrize(
    ("text", "name", "which", "many"),
    [
        ("steel", "steel", "", False),
        ("steel@", "steel", "", False),
        ("steel@3", "steel", "3", False),
        ("铜 copper@champion", "铜 copper", "champion", False),
        ("steel*@champion", "steel*", "champion", True),
        ("stee?", "stee?", "", True),
        ("@3", "", "3", False),
        ("a@b@c", "a", "b@c", False),
    ],
)
def test_parse(text: str, name: str, which: str, many: bool) -> None:
    reference = Reference.parse(text)
    assert (reference, reference.many) == (Reference(name, which), many)
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("steel.tlb", Path("steel.tlb")),
        ("./steel", Path("steel")),
        ("/a b/铜.tlb", Path("/a b/铜.tlb")),
        ("steel", None),
        ("steel@1", None),
    ],
)
def test_file_of(text: str, path: Path | None) -> None:
    assert file_of(text) == path


@pytest.mark.parametrize(
    ("which", "number"),
    [
        ("", 2),
        ("1", 1),
        ("03", 3),
        ("champion", 2),
        ("challenger", 3),
        ("night", 3),
        ("4", None),
        ("0", None),
        ("-1", None),
        ("1.0", None),
        ("latest", None),
        ("9" * 40, None),
    ],
)
def test_pick(which: str, number: int | None) -> None:
    found = pick(Reference("steel", which), VERSIONS)
    assert (found.version if found else None) == number


def test_a_bare_name_is_the_newest_where_there_is_no_champion() -> None:
    assert pick(Reference("steel", ""), [version(1), version(4)]) == version(4)
    assert pick(Reference("steel", ""), []) is None


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", ["a[1]", "a1", "b", "铜"]),
        ("a*", ["a[1]", "a1"]),
        ("?", ["b", "铜"]),
        ("a[1]", ["a[1]"]),
        ("a[1]*", ["a[1]"]),
        ("A*", []),
    ],
)
def test_match(pattern: str, names: list[str]) -> None:
    assert match(Reference(pattern, ""), ["a[1]", "a1", "b", "铜"]) == names


def test_a_name_that_is_written_like_a_pattern_is_itself() -> None:
    assert match(Reference("what?", ""), ["what?", "whats"]) == ["what?"]


@pytest.mark.parametrize(
    ("reference", "versions", "message", "fix"),
    [
        (Reference("stel", ""), [], "no model named 'stel'", "did you mean 'steel'?"),
        (Reference("xyz", ""), [], "no model named 'xyz'", "known model names: copper, steel"),
        (
            Reference("steel", "champio"),
            VERSIONS,
            "no model version named 'steel@champio'",
            "did you mean 'steel@champion' or 'steel@challenger' or 'steel@3'?",
        ),
    ],
)
def test_missing(reference: Reference, versions: list[ModelVersion], message: str, fix: str) -> None:
    error = missing(reference, versions, lambda: ["steel", "copper"])
    assert (error.message, error.fix) == (message, fix)
