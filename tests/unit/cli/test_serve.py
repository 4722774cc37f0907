"""`trunkline serve`: what it is told, what it says, and how it ends when it cannot start."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Trunkline
from trunkline.core.errors import MissingExtraError
from trunkline.service import server
from trunkline.service.running import Started

UP = Started("http://127.0.0.1:8080", 2, 1, {"wod": "no model named 'wod'"})


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the server was told; it starts and ends at once."""
    told: dict[str, Any] = {}

    def serve(settings: Any, refs: Any, **options: Any) -> None:
        told.update(home=settings.home, threads=settings.threads, refs=tuple(refs))
        told.update({key: options[key] for key in ("host", "port", "follow")})
        options["say"]("not served: \x1b[31mred")
        options["started"](UP)

    monkeypatch.setattr(server, "serve", serve)
    return told


def test_what_the_server_is_told(trunkline: Trunkline, given: dict[str, Any], home: Path) -> None:
    assert trunkline("serve").status == 0
    assert (given["refs"], given["host"], given["port"], given["follow"]) == ((), "127.0.0.1", 8080, True)
    done = trunkline("serve", "a*", "b@2", "--port", "0", "--no-follow", "--threads", "1", "--home", home / "x")
    wanted = {"refs": ("a*", "b@2"), "host": "127.0.0.1", "port": 0, "follow": False, "threads": 1, "home": home / "x"}
    assert (done.status, given) == (0, wanted)


def test_address_is_said(trunkline: Trunkline, given: dict[str, Any]) -> None:
    done = trunkline("serve", "--json")
    assert json.loads(done.stdout) == {
        "address": UP.address, "models": 2, "trunks": 1, "failed": {"wod": "no model named 'wod'"},
    }  # fmt: skip
    assert done.stderr.splitlines() == [
        "trunkline: not served: \\x1b[31mred",
        "trunkline: serving 2 models on 1 trunk at http://127.0.0.1:8080, 1 not loaded (Ctrl-C ends)",
    ]
    assert trunkline("serve").stdout == ""


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])  # noqa: S104
def test_address_that_others_reach_is_warned_of(
    trunkline: Trunkline, given: dict[str, Any], host: str, warned: bool
) -> None:
    assert ("there is no sign-in yet" in trunkline("serve", "--host", host).stderr) is warned


def test_port_that_is_taken(trunkline: Trunkline) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = trunkline("serve", "--port", other.getsockname()[1])
    assert (done.status, "another program has it" in done.stderr, "--port" in done.stderr) == (2, True, True)


def test_home_without_models(trunkline: Trunkline) -> None:
    done = trunkline("serve", "--port", 0)
    assert (done.status, "expected a model that can be served" in done.stderr, done.stdout) == (2, True, "")


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_port_that_is_none(trunkline: Trunkline, port: str) -> None:
    assert trunkline("serve", "--port", port).status == 2


def test_packages_that_are_missing(trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise MissingExtraError("uvicorn", "serve", "`trunkline serve`")

    monkeypatch.setattr(server, "serve", missing)
    done = trunkline("serve")
    assert (done.status, "pip install 'trunkline[serve]'" in done.stderr) == (2, True)
