"""Taking a port, following the registry, and what a server needs to start."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.service.conftest import Up
from trunkline.core.errors import ConfigError, InputError, MissingExtraError
from trunkline.core.settings import Settings
from trunkline.platform.registry.registry import Registry
from trunkline.service.guard import is_loopback
from trunkline.service.metrics import Metrics
from trunkline.service.server import bound, following, serve


def never(_: Any) -> None:
    raise AssertionError


def test_port_that_is_taken() -> None:
    with bound("127.0.0.1", 0) as first, pytest.raises(ConfigError, match=r"another program has it.*\n.*--port"):
        bound("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize("host", ["no.such.name.invalid", "203.0.113.7", "\udcff"])
def test_address_of_no_machine_here(host: str) -> None:
    with pytest.raises(ConfigError, match="expected an address of this machine"):
        bound(host, 0)


def test_package_that_is_missing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvloop" else real(name))
    with pytest.raises(MissingExtraError, match=r"uvloop.*\n.*trunkline\[serve\]"):
        serve(settings, (), say=never, started=never)


def test_home_without_models(settings: Settings) -> None:
    with pytest.raises(InputError, match="expected a model that can be served, got none"):
        serve(settings, (), port=0, say=lambda _: None, started=never)


def test_registry_is_followed(up: Up, settings: Settings) -> None:
    with following(up.catalogue, never, seconds=0.02):
        Registry(settings).promote("steel@2")
        end = time.monotonic() + 10
        while up.catalogue.table["steel"][0].version != "2" and time.monotonic() < end:
            time.sleep(0.01)
    assert up.get("/v2/models/steel").json["versions"] == ["2"]


def test_registry_that_stands_still_is_not_read(up: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(up.catalogue, "refresh", lambda: never(None))
    said: list[str] = []
    with following(up.catalogue, said.append, seconds=0.01):
        time.sleep(0.2)
    assert said == []


def test_fault_while_following_is_said_once_and_tried_again(
    up: Up, stocked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def broken() -> None:
        tries.append(1)
        raise OSError("the disk is away")

    monkeypatch.setattr(up.catalogue, "refresh", broken)
    said: list[str] = []
    with following(up.catalogue, said.append, seconds=0.01):
        (stocked / "mlflow.db").touch()
        end = time.monotonic() + 10
        while len(tries) < 3 and time.monotonic() < end:
            time.sleep(0.01)
    assert said == ["the registry cannot be followed: the disk is away"]


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("LOCALHOST.", True),
     ("0.0.0.0", False), ("192.0.2.1", False), ("localhost.evil.example", False), ("", False)],  # noqa: S104
)  # fmt: skip
def test_loopback(host: str, local: bool) -> None:
    assert is_loopback(host) is local


@pytest.mark.parametrize("host", ["localhost", "localhost:99", "127.0.0.1:1", "[::1]:8080", "[::1]"])
def test_hosts_that_are_this_machine(common: Up, host: str) -> None:
    assert common.ask("GET", "/v2", Host=host).status == 200


def test_page_of_this_server_may_ask(common: Up) -> None:
    host = f"127.0.0.1:{common.port}"
    assert common.ask("GET", "/v2", Host=host, Origin=f"http://{host}").status == 200
    assert common.ask("GET", "/v2", Host=host, Origin="null").status == 403


def test_models_with_counters_of_their_own_are_few() -> None:
    metrics = Metrics()
    for number in range(10_000):
        metrics.images(f"model{number}", 1)
    rows = [row for row in metrics.text().decode().splitlines() if row.startswith("trunkline_model_images_total{")]
    assert (len(rows), 'trunkline_model_images_total{model="other"} 9900.0' in rows) == (101, True)
