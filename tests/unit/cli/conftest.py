"""The command line, called as a shell would, in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


Trunkline = Callable[..., Ended]


@pytest.fixture
def trunkline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: object) -> Trunkline:
    """Runs `trunkline ARGUMENTS...` on a home of its own."""

    def call(*arguments: object) -> Ended:
        from trunkline.cli import main

        monkeypatch.setattr(sys, "argv", ["trunkline", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0 if code is None else 1, *capsys.readouterr())

    return call
