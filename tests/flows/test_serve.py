"""A server as users run it: a process of its own, asked by a foreign client, followed, crowded and told to end."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Pictures
from tests.flows.conftest import Trunkline

tritonclient = pytest.importorskip("tritonclient.http", reason="the extra dev is not installed")
INFER = "/v2/models/steel/infer"


@dataclass
class Server:
    """A process that serves."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(self.address + path, timeout=20) as answer:  # noqa: S310 (http, see above)
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def megabytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) >> 10

    def ended(self, number: int) -> int:
        """The exit status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def serving(*words: str) -> Iterator[Server]:
    """`trunkline serve` on this test's home."""
    command = [sys.executable, "-m", "trunkline.cli", "serve", *words, "--port", "0", "--threads", "1", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield Server(process, json.loads(process.stdout.readline())["address"])
        finally:
            process.kill()


@pytest.fixture
def steel(trunkline: Trunkline, write: Callable[..., Path], pictures: Pictures, tmp_path: Path) -> dict[str, str]:
    """steel@1 (champion) and @2 in this test's home: version -> digest."""
    digests = {}
    for count, version in ((6, "1"), (9, "2")):
        data = pictures.folder(tmp_path / f"data{version}", ("crack", "good"), count=count)
        row = trunkline("build", write("steel", data), "--json").row
        assert row["version"] == int(version)
        digests[version] = row["digest"]
    assert trunkline("models", "promote", "steel@1").status == 0
    return digests


def test_another_maker_s_client_is_served(
    steel: dict[str, str], trunkline: Trunkline, pictures: Pictures, tmp_path: Path
) -> None:
    names = [f"{number}.png" for number in range(3)]
    encoded = [pictures.encode(number, kind=number % 2) for number in range(3)]
    for name, data in zip(names, encoded, strict=True):
        (tmp_path / name).write_bytes(data)
    seen = trunkline("predict", "steel", *(tmp_path / name for name in names), "--json").rows
    with serving() as server:
        client = tritonclient.InferenceServerClient(server.address.removeprefix("http://"))
        assert (client.is_server_live(), client.is_server_ready(), client.is_model_ready("steel", "1")) == (True,) * 3
        known = client.get_model_metadata("steel")
        labels = known["parameters"]["labels"]
        assert (known["versions"], labels, known["parameters"]["digest"]) == (["1"], ["crack", "good"], steel["1"])
        scores = [
            [next(p["score"] for p in row["predictions"] if p["label"] == name) for name in labels] for row in seen
        ]
        given = tritonclient.InferInput("image", [3], "BYTES")
        given.set_data_from_numpy(np.array(encoded, dtype=object))
        pixels = np.stack([pictures.array(number, kind=number % 2) for number in range(3)])
        raw = tritonclient.InferInput("pixels", list(pixels.shape), "UINT8")
        raw.set_data_from_numpy(pixels)
        plain = tritonclient.InferInput("pixels", list(pixels.shape), "UINT8")
        plain.set_data_from_numpy(pixels, binary_data=False)
        asked = [tritonclient.InferRequestedOutput(name, binary_data=binary) for name, binary in (
            ("scores", False), ("label", True), ("unsure", True), ("accepted", False),
        )]  # fmt: skip
        for tensor in (given, raw, plain):
            for outputs in (None, asked):
                answer = client.infer("steel", [tensor], outputs=outputs, request_id="7")
                assert answer.get_response()["id"] == "7"
                assert answer.as_numpy("scores") == pytest.approx(np.array(scores), abs=1e-5)
                tops = [row["predictions"][0]["label"] for row in seen]
                assert [label.decode() for label in answer.as_numpy("label")] == tops
                assert answer.as_numpy("unsure").tolist() == [row["unsure"] for row in seen]
        client.load_model("steel")
        assert client.get_model_repository_index() == [
            {"name": "steel", "version": "1", "state": "READY", "reason": ""}
        ]
        with pytest.raises(tritonclient.InferenceServerException, match="did you mean 'steel'"):
            client.infer("stel", [given])
        client.unload_model("steel")
        assert client.is_model_ready("steel") is False
        client.close()
        assert server.ended(signal.SIGTERM) == 0


def asking(server: Server, picture: bytes, over: threading.Event, seen: list[Any]) -> None:
    """Ask again and again; statuses and digests are kept."""
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES"}
    data = len(picture).to_bytes(4, "little") + picture
    head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    request = urllib.request.Request(server.address + INFER, head + data, headers)  # noqa: S310
    while not over.is_set():
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            seen.append(json.loads(answer.read())["parameters"]["digest"])


def test_champion_that_moves_is_served_without_a_failed_request(
    steel: dict[str, str], trunkline: Trunkline, pictures: Pictures
) -> None:
    over, seen = threading.Event(), list[Any]()
    with serving() as server:
        clients = [
            threading.Thread(target=asking, args=(server, pictures.encode(), over, seen), daemon=True) for _ in range(4)
        ]
        for client in clients:
            client.start()
        assert trunkline("models", "promote", "steel@2").status == 0
        end = time.monotonic() + 30
        while steel["2"] not in seen and time.monotonic() < end:
            time.sleep(0.05)
        over.set()
        for client in clients:
            client.join(30)
        assert (set(seen), seen[0], seen[-1]) == (set(steel.values()), steel["1"], steel["2"])
        assert (server.ended(signal.SIGINT), server.process.stderr and "Traceback" in server.process.stderr.read()) == (
            0, False,
        )  # fmt: skip


def test_crowd_of_silent_connections_takes_nothing_from_others(steel: dict[str, str]) -> None:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= files[1] < 4_096:
        pytest.skip("this user may not open 4,096 files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[1], files[1]))
    try:
        with serving() as server, ExitStack() as held:
            before = server.megabytes()
            for _ in range(2_400):  # above the most that are kept
                held.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            assert server.status("/v2/health/ready") == 200
            assert len(os.listdir(f"/proc/{server.process.pid}/fd")) < 2_200  # noqa: PTH208
            assert server.megabytes() - before < 64
            assert server.ended(signal.SIGTERM) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)


def test_second_signal_ends_at_once(steel: dict[str, str]) -> None:
    with serving() as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n".encode())
        assert server.status("/v2/health/ready") == 200  # and the one above is under way by now
        server.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 10
        while server.status("/v2/health/ready") != 503 and time.monotonic() < end:
            time.sleep(0.02)
        assert server.process.poll() is None
        assert server.ended(signal.SIGTERM) == 128 + signal.SIGTERM


def test_what_cannot_be_loaded_is_said_and_the_rest_is_served(steel: dict[str, str]) -> None:
    with serving("steel", "stel") as server:
        assert server.status("/v2/models/steel/ready") == 200
        assert server.ended(signal.SIGTERM) == 0
        assert server.process.stderr
        said = server.process.stderr.read()
    assert ("not served" in said, "did you mean 'steel'?" in said, "1 model on 1 trunk" in said) == (True, True, True)
