"""Every error says what came, where, and what to do, and has the exit status that the contract names."""

from __future__ import annotations

import inspect

import pytest

from trunkline.core import errors
from trunkline.core.errors import MissingExtraError, NotFoundError, TrunklineError

STATUS = {
    "TrunklineError": 1,
    "InputError": 2,
    "ConfigError": 2,
    "DataError": 2,
    "BundleError": 2,
    "StorageError": 2,
    "MissingExtraError": 2,
    "NotFoundError": 2,
    "BusyError": 2,
    "GateFailedError": 3,
}


def test_exit_status_of_every_class() -> None:
    classes = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, TrunklineError)]
    assert {one.__name__: one.exit_status for one in classes} == STATUS


@pytest.mark.parametrize(
    ("where", "fix", "text"),
    [
        (None, None, "expected 1, got 2"),
        ("a.yaml:3", None, "a.yaml:3: expected 1, got 2"),
        (None, "take 1", "expected 1, got 2\n  fix: take 1"),
        ("a.yaml:3", "take 1", "a.yaml:3: expected 1, got 2\n  fix: take 1"),
    ],
)
def test_text_has_place_message_and_fix(where: str | None, fix: str | None, text: str) -> None:
    error = TrunklineError("expected 1, got 2", where=where, fix=fix)
    assert (str(error), error.args, error.message) == (text, (text,), "expected 1, got 2")


@pytest.mark.parametrize(
    ("name", "known", "fix"),
    [
        ("stel", ["steel", "brass"], "did you mean 'steel'?"),
        ("part-1", ["part-2", "part-3"], "did you mean 'part-3' or 'part-2'?"),
        ("x", ["steel", "brass"], "known model names: brass, steel"),
        ("x", [*"abcdefghijklm"], "known model names: a, b, c, d, e, f, g, h, i, j, k, l, ..."),
        ("x", [], "there is no model yet"),
    ],
)  # fmt: skip
def test_a_name_that_is_not_there_brings_near_names(name: str, known: list[str], fix: str) -> None:
    error = NotFoundError("model", name, iter(known), where="--model")
    assert str(error) == f"--model: no model named {name!r}\n  fix: {fix}"


def test_a_missing_extra_says_the_pip_line() -> None:
    assert str(MissingExtraError("torch", "build", "the trunk x")) == (
        "the trunk x needs the package 'torch', which is not installed\n  fix: pip install 'trunkline[build]'"
    )
