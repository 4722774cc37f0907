"""Small heads and sealed bundles, made without a trunk; homes copied from one that MLflow has set up."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import struct
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trunkline.algorithms.trunks.card import Tap, TrunkCard
from trunkline.core.digest import digest_bytes
from trunkline.core.settings import Settings
from trunkline.core.types.gate import GateCheck, GateReport
from trunkline.core.types.head import TrainedHead
from trunkline.platform.registry import bundle, keys
from trunkline.platform.registry.archive import read_archive, write_archive
from trunkline.platform.registry.registry import Registry
from trunkline.platform.registry.seals import signed

CARD = TrunkCard(
    name="test-trunk",
    size=32,
    mean=(127.0, 127.0, 127.0),
    scale=(128.0, 128.0, 128.0),
    taps=(Tap("tap0", 4, 8),),
    weights="0" * 64,
    licence="Apache-2.0",
    source="made here",
)
Reseal = Callable[[Mapping[str, bytes]], bytes]
SCENARIO = digest_bytes(b"scenario")
DATASET = digest_bytes(b"dataset")


def png() -> bytes:
    """One grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b"")
    )


def make_head(seed: int = 0) -> TrainedHead:
    rng = np.random.default_rng(seed)
    return TrainedHead(
        task="classify",
        labels=("crack", "划痕"),
        trunk=CARD.digest,
        weights={"weight": rng.normal(size=(12, 2)).astype(np.float32), "bias": np.zeros(2, np.float16)},
        config={"rung": "linear", "channels": (4,)},
        thresholds={"crack": 0.5, "划痕": 0.5},
        unsure={"crack": (0.0, 0.5), "划痕": (0.0, 0.5)},
        calibration={"temperature": 1},
    )


def make_check(verdict: str = "passed", *, machine: bool = False, value: float = 0.95) -> GateCheck:
    name = "latency_ms_p95" if machine else "accuracy"
    return GateCheck(name, value, value - 0.01, value + 0.01, ">= 0.9", verdict, "ok", "note", machine)  # type: ignore[arg-type]


def make_report(head: str, *checks: GateCheck, accuracy: float = 0.95) -> GateReport:
    metrics = {"accuracy": accuracy, "recall_min": float("nan"), "latency_ms_p50": 3.0}
    return GateReport(head, DATASET, checks or (make_check(),), metrics, {"accuracy": (0.9, 1.0)})


def make_bundle(home: Path, *checks: GateCheck, name: str = "steel", seed: int = 0, accuracy: float = 0.95) -> bytes:
    packed = bundle.candidate(
        make_head(seed), name=name, trunk=CARD, scenario=SCENARIO, dataset=DATASET, data_licence="CC0-1.0"
    )
    report = make_report(bundle.open_candidate(packed).digest(), *checks, accuracy=accuracy)
    return bundle.seal(
        packed,
        key=keys.signing_key(home),
        report=report,
        test_images=40,
        preview=png(),
        report_json={"findings": []},
    )


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions above, for tests."""
    return SimpleNamespace(
        card=CARD,
        scenario=SCENARIO,
        dataset=DATASET,
        png=png,
        head=make_head,
        check=make_check,
        report=make_report,
        bundle=make_bundle,
    )


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a key."""
    return tmp_path_factory.mktemp("signer")


@pytest.fixture(scope="session")
def key(signer: Path) -> keys.SigningKey:
    return keys.signing_key(signer)


@pytest.fixture(scope="session")
def sealed(make: SimpleNamespace, signer: Path) -> bytes:
    """A bundle that passed its gate."""
    return make.bundle(signer, make.check(), make.check(machine=True, value=7.0))


@pytest.fixture(scope="session")
def failed(make: SimpleNamespace, signer: Path) -> bytes:
    """A bundle whose gate failed."""
    return make.bundle(signer, make.check("failed", value=0.8), accuracy=0.8)


@pytest.fixture(scope="session")
def reseal(sealed: bytes, key: keys.SigningKey) -> Reseal:
    """Puts other members into the bundle and signs it anew, as whoever has a key can."""

    def change(members: Mapping[str, bytes]) -> bytes:
        content = {**read_archive(sealed), **members}
        del content["signature"]
        return write_archive(signed(content, key, kind="bundle"))

    return change


@pytest.fixture(scope="session")
def manifest(sealed: bytes) -> dict[str, Any]:
    return dict(json.loads(read_archive(sealed)["bundle.json"]))


@pytest.fixture
def write_bundle(home: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a sealed bundle into a file of its own."""

    def write(*checks: GateCheck, name: str = "steel", seed: int = 0, accuracy: float = 0.95) -> Path:
        path = tmp_path / f"{name}-{seed}-{len(checks)}.tlb"
        path.write_bytes(make_bundle(home, *checks, name=name, seed=seed, accuracy=accuracy))
        return path

    return write


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home without models, where MLflow's tables and the key are."""
    folder = tmp_path_factory.mktemp("template") / "home"
    keys.signing_key(folder)
    Registry(Settings(home=folder)).tracking.client()
    return _at_rest(folder)


@pytest.fixture
def ready(template: Path, home: Path) -> Path:
    """A home of this test alone, where MLflow's tables and the key are."""
    shutil.copytree(template, home)
    return home


@pytest.fixture(scope="session")
def stock(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with steel@1 and @2 (champion), @3 (challenger), @4 (failed), and 铜 copper@1."""
    folder = tmp_path_factory.mktemp("stock") / "home"
    shutil.copytree(template, folder)
    registry, path = Registry(Settings(home=folder)), folder / "given.tlb"
    page = folder / "reports" / "page.html"
    page.parent.mkdir()
    page.write_text("<p>steel</p>")
    failed = make_check("failed", value=0.8)
    given = [
        ("steel", 1, 0.91, (), "champion", "first"),
        ("steel", 2, 0.95, (), "champion", "better"),
        ("steel", 3, 0.97, (), "challenger", "to compare"),
        ("steel", 4, 0.8, (failed,), None, ""),
        ("铜 copper", 5, 0.9, (), None, ""),
    ]
    for name, seed, accuracy, checks, alias, why in given:
        path.write_bytes(make_bundle(folder, *checks, name=name, seed=seed, accuracy=accuracy))
        metrics = {"accuracy": accuracy, "latency_ms_p95": 3.5, "recall_min": None}
        registry.register(path, page, metrics=metrics, params={"images": 40}, promote=alias, who="ann", why=why)
    path.unlink()
    return _at_rest(folder)


@pytest.fixture
def stocked(stock: Path, home: Path) -> Path:
    """A copy of the home with models, of this test alone."""
    shutil.copytree(stock, home)
    return home


def _at_rest(folder: Path) -> Path:
    """Everything that MLflow wrote brought into the main file, so that the folder can be copied."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


@pytest.fixture
def in_children() -> Iterator[Callable[..., list[int]]]:
    """Runs functions at once, each in a process of its own; gives their exit statuses, or minus the signals' numbers.

    They are forked, since importing MLflow anew takes seconds. What the caller has locked stays locked in them.
    """
    children: list[int] = []

    def run(*works: Callable[[], object]) -> list[int]:
        reader, writer = os.pipe()
        mine = [_fork(work, reader, writer) for work in works]
        children.extend(mine)
        os.close(writer)  # they all start now
        os.close(reader)
        statuses = [_wait(child) for child in mine]
        children.clear()
        return statuses

    yield run
    for child in children:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _fork(work: Callable[[], object], reader: int, writer: int) -> int:
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(writer)
            os.read(reader, 1)  # until everybody has closed the other end
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return child


def _wait(child: int) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    raise TimeoutError("a child process did not end within a minute")
