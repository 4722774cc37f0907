"""A home with models on the tiny trunk, a server in this process, and raw requests to it."""

from __future__ import annotations

import http.client
import io
import json
import shutil
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trunkline.algorithms.trunks import resolve
from trunkline.core.digest import digest_bytes
from trunkline.core.settings import Settings
from trunkline.core.types.gate import GateCheck, GateReport
from trunkline.core.types.head import TrainedHead
from trunkline.platform.engine.engine import Engine
from trunkline.platform.registry import bundle as bundles
from trunkline.platform.registry.keys import signing_key
from trunkline.platform.registry.registry import Registry
from trunkline.service.app import Service
from trunkline.service.catalogue import Catalogue
from trunkline.service.limits import Limits
from trunkline.service.metrics import Metrics
from trunkline.service.running import Started, run
from trunkline.service.server import bound

PLAIN = "铜 plain"
LABELS = ("crack", "good", "划痕")
NOTHING = digest_bytes(b"")


def sealed(home: Path, name: str, seed: int, *, verdict: str = "passed") -> bytes:
    """A bundle on the tiny trunk; its weights follow from the seed."""
    card = resolve("test-trunk", home).card
    rng = np.random.default_rng(seed)
    weights = {
        "weight": rng.normal(0, 2, (card.width, 3)).astype(np.float32),
        "bias": rng.normal(0, 1, 3).astype(np.float32),
    }
    head = TrainedHead(
        "classify", LABELS, card.digest, weights, {"channels": [tap.channels for tap in card.taps]},
        dict.fromkeys(LABELS, 0.5), dict.fromkeys(LABELS, (0.0, 0.5)), {"temperature": 1.0},
    )  # fmt: skip
    packed = bundles.candidate(head, name=name, trunk=card, scenario=NOTHING, dataset=NOTHING)
    check = GateCheck("accuracy", 0.9, 0.8, 1.0, ">= 0.9", verdict, "ok", "", False)  # type: ignore[arg-type]
    report = GateReport(bundles.open_candidate(packed).digest(), NOTHING, (check,), {"accuracy": 0.9}, {})
    preview = io.BytesIO()
    Image.new("RGB", (1, 1)).save(preview, "PNG")
    return bundles.seal(
        packed, key=signing_key(home), report=report, test_images=4, preview=preview.getvalue(), report_json={}
    )


@pytest.fixture(scope="session")
def _stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "home"
    registry = Registry(Settings(home=folder))
    for name, seed, alias in (("steel", 1, "champion"), ("steel", 2, "challenger"), ("wood", 3, "champion")):
        registry.register(sealed(folder, name, seed), metrics={}, params={}, promote=alias)
    registry.register(sealed(folder, PLAIN, 4), metrics={}, params={})
    with closing(sqlite3.connect(folder / "mlflow.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return folder


@pytest.fixture
def stocked(_stock: Path, home: Path) -> Path:
    """A home of this test alone: steel@1 (champion) and @2 (challenger), wood@1 (champion), 铜 plain@1."""
    shutil.copytree(_stock, home)
    return home


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, runtime="onnxruntime", threads=1)


@pytest.fixture
def digest_of(settings: Settings) -> Callable[[str], str]:
    """The bundle that a reference stands for."""
    return lambda ref: Registry(settings).find(ref).digest


@dataclass(frozen=True)
class Answered:
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


@dataclass
class Up:
    """A server that runs in a thread."""

    service: Service
    catalogue: Catalogue
    port: int = 0
    said: list[str] = field(default_factory=list)
    thread: threading.Thread | None = None

    def ask(self, method: str, path: str, body: bytes | Mapping[str, Any] | None = None, **headers: str) -> Answered:
        """One request on a connection of its own; `_` in a header's name stands for `-`."""
        data = json.dumps(body).encode() if isinstance(body, Mapping) else body
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request(method, path, data, {name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return Answered(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def get(self, path: str) -> Answered:
        return self.ask("GET", path)

    def infer(self, *images: bytes, model: str = "steel", **more: Any) -> Answered:
        """Ask about encoded images, as binary data."""
        body, length = binary(images, **more)
        return self.ask("POST", f"/v2/models/{model}/infer", body, Inference_Header_Content_Length=str(length))

    def metric(self, line: str) -> float:
        """The value of a line of the metrics, which begins so; 0 where there is none."""
        rows = self.get("/metrics").body.decode().splitlines()
        return sum(float(row.rpartition(" ")[2]) for row in rows if row.startswith(f"trunkline_{line}"))


def binary(images: Sequence[bytes], **more: Any) -> tuple[bytes, int]:
    """A request's body, and the length of its JSON part."""
    data = b"".join(struct.pack("<I", len(image)) + image for image in images)
    tensor = {"name": "image", "shape": [len(images)], "datatype": "BYTES"}
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}], **more}).encode()
    return head + data, len(head)


@contextmanager
def running(settings: Settings, refs: Sequence[str], limits: Limits) -> Iterator[Up]:
    """A server of some models, until the end of the context."""
    said: list[str] = []
    metrics = Metrics()
    engine = Engine(settings, queue=limits.waiting, watch=metrics.ran)
    catalogue = Catalogue(settings, refs, engine, say=said.append)
    catalogue.refresh()
    service = Service(catalogue, settings, limits, metrics=metrics, say=said.append)
    up = Up(service, catalogue, said=said)
    ready = threading.Event()

    def started(row: Started) -> None:
        up.port = int(row.address.rpartition(":")[2])
        ready.set()

    up.thread = threading.Thread(target=run, args=(service, bound("127.0.0.1", 0), "127.0.0.1", started))
    up.thread.start()
    try:
        assert ready.wait(20)
        yield up
    finally:
        service.draining = True
        up.thread.join(30)
        service.close()
        catalogue.close()


@pytest.fixture
def serve(stocked: Path, settings: Settings) -> Iterator[Callable[..., Up]]:
    """Starts servers of this test's home, with limits given by name."""
    with ExitStack() as held:

        def start(*refs: str, **limits: Any) -> Up:
            return held.enter_context(running(settings, refs, Limits(**limits)))

        yield start


@pytest.fixture
def up(serve: Callable[..., Up]) -> Up:
    """A server of every champion, with the limits that users have, of this test alone."""
    return serve()


@pytest.fixture(scope="session")
def common(_stock: Path) -> Iterator[Up]:
    """As `up`, of all tests that leave it as it is."""
    with running(Settings(home=_stock, runtime="onnxruntime", threads=1), (), Limits()) as up:
        yield up
