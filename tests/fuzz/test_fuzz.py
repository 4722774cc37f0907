"""Bounded fuzzing: every target on its seeds, on edits of them, on noise, and for a few seconds by coverage.

`make fuzz` goes on for longer.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from tests.conftest import ROOT
from tests.fuzz import __main__ as command
from tests.fuzz.targets import TARGETS

EDITS = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 40), st.binary(max_size=40)), max_size=4)
SECONDS = 3

each = pytest.mark.parametrize("name", TARGETS)


def test_the_command_knows_every_target() -> None:
    assert tuple(TARGETS) == command._NAMES


@each
def test_seeds_are_taken(name: str) -> None:
    seeds = TARGETS[name].seeds()
    for seed in seeds:
        TARGETS[name].run(seed)
    assert seeds


@each
@limits(max_examples=100, deadline=None, derandomize=True, database=None)
@given(pick=st.integers(0, 99), edits=EDITS, cut=st.integers(0, 60_000))
def test_edited_seeds(name: str, pick: int, edits: list[tuple[int, int, bytes]], cut: int) -> None:
    seeds = TARGETS[name].seeds()
    data = seeds[pick % len(seeds)]
    for place, length, new in edits:
        start = place % (len(data) + 1)
        data = data[:start] + new + data[start + length :]
    TARGETS[name].run(data[: len(data) - cut] if 0 < cut < len(data) else data)


@each
@limits(max_examples=100, deadline=None, derandomize=True, database=None)
@given(data=st.binary(max_size=300))
def test_noise(name: str, data: bytes) -> None:
    TARGETS[name].run(data)


@each
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed (it has no build for this Python)")
def test_by_coverage(name: str) -> None:
    words = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(SECONDS)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, "fuzz: nothing found" in done.stderr) == (0, True), done.stderr[-3000:]
