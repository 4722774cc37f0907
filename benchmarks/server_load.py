"""Clients of a server, all in one process of their own: raw connections, so that they cost little beside the server."""

from __future__ import annotations

import asyncio
import json
import random
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

MODEL = "steel"
_NEAR = 1e-4  # scores of the same picture in batches of different sizes differ in their last bits


@dataclass
class Seen:
    """What clients got: seconds of each answer, and how many were no answers, or of no one bundle."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    mixed: int = 0
    digests: set[str] = field(default_factory=set)
    first: str = ""
    """What was wrong first."""

    def wrong(self, what: str) -> None:
        self.first = self.first or what


class Client:
    """One connection.

    Args:
        address: As "http://127.0.0.1:8080".
    """

    def __init__(self, address: str) -> None:
        self._host, self._port = urlsplit(address).hostname, urlsplit(address).port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, int, bytes]:
        """Status, length of the JSON part (0: all), and body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(request)
        lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        fields = dict(line.split(b": ", 1) for line in lines[1:] if b": " in line)
        body = await reader.readexactly(int(fields[b"content-length"]))
        return int(lines[0].split()[1]), int(fields.get(b"inference-header-content-length", 0)), body

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def inferring(picture: bytes) -> bytes:
    """A request about one picture, its answer as binary data."""
    data = struct.pack("<I", len(picture)) + picture
    tensor = {
        "name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)},
    }  # fmt: skip
    head = json.dumps({"inputs": [tensor], "outputs": [{"name": "scores", "parameters": {"binary_data": True}}]})
    return posted(
        f"/v2/models/{MODEL}/infer", head.encode() + data, f"Inference-Header-Content-Length: {len(head)}\r\n"
    )


def posted(path: str, body: bytes, headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Clients:
    """So many clients that ask about pictures.

    Args:
        address: Of the server.
        count: How many.
        requests: One a picture.
        expected: Digest -> scores of each picture; empty: answers are not looked into.
    """

    def __init__(
        self, address: str, count: int, requests: Sequence[bytes], expected: dict[str, list[list[float]]] | None = None
    ) -> None:
        self._clients = [Client(address) for _ in range(count)]
        self._requests = requests
        self._expected = expected or {}

    async def one(self, client: Client, number: int, seen: Seen, since: float | None = None) -> None:
        """Ask about one picture; the time runs from `since`, when it should have been asked."""
        start = time.perf_counter() if since is None else since
        picture = number % len(self._requests)
        try:
            status, length, body = await client.ask(self._requests[picture])
        except (OSError, EOFError, ValueError, KeyError) as error:
            client.close()
            seen.failed += 1
            seen.wrong(repr(error))
            return
        seen.seconds.append(time.perf_counter() - start)
        if status != 200:
            seen.failed += 1
            seen.wrong(body.decode(errors="replace")[:300])
        elif self._expected:
            self._check(picture, body[:length], body[length:], seen)

    def _check(self, picture: int, head: bytes, data: bytes, seen: Seen) -> None:
        """The scores must be those of the bundle that the answer names."""
        digest = json.loads(head)["parameters"]["digest"]
        seen.digests.add(digest)
        scores = struct.unpack(f"<{len(data) // 4}f", data)
        wanted = self._expected[digest][picture]
        if len(scores) != len(wanted) or max(abs(a - b) for a, b in zip(scores, wanted, strict=True)) > _NEAR:
            seen.mixed += 1
            seen.wrong(f"{digest} says {scores}, expected {wanted}")

    async def closed_loop(self, seconds: float, most: int = 10**9) -> Seen:
        """Every client asks again as soon as it has its answer."""
        seen, end, asked = Seen(), time.perf_counter() + seconds, 0

        async def run(client: Client) -> None:
            nonlocal asked
            while time.perf_counter() < end and asked < most:
                asked += 1
                await self.one(client, asked, seen)

        await asyncio.gather(*map(run, self._clients))
        return seen

    async def paced(self, rate: float, seconds: float, seed: int) -> Seen:
        """Requests come at a rate, whether the ones before are answered or not; each client at its own times."""
        seen, start, draw = Seen(), time.perf_counter() + 0.05, random.Random(seed)
        period = len(self._clients) / rate

        async def run(at: int, client: Client) -> None:
            due = start + draw.uniform(0, period)
            number = at
            while due < start + seconds:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                await self.one(client, number, seen, due)
                number += len(self._clients)
                due += period

        await asyncio.gather(*(run(at, client) for at, client in enumerate(self._clients)))
        return seen

    def close(self) -> None:
        for client in self._clients:
            client.close()


def quantile(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def rates(plan: str) -> dict[str, Any]:
    """Rounds of: one client alone, all at full rate, all at 80 % of it, all at 60 %."""
    given = json.loads(Path(plan).read_text())
    requests = [inferring(Path(path).read_bytes()) for path in given["pictures"]]

    async def work() -> dict[str, Any]:
        rows = []
        single, many = Clients(given["address"], 1, requests), Clients(given["address"], given["clients"], requests)
        await many.closed_loop(given["warm"])
        for number in range(given["rounds"]):
            alone = await single.closed_loop(given["seconds"])
            full = await many.closed_loop(given["seconds"])
            rate = len(full.seconds) / given["seconds"]
            at = await many.paced(0.8 * rate, 2 * given["seconds"], number)
            calm = await many.paced(0.6 * rate, given["seconds"], number)
            rows.append({
                "single_ms": 1e3 * median(alone.seconds), "rate": rate, "asked": len(at.seconds) + at.failed,
                "p50_ms": 1e3 * median(at.seconds), "p99_ms": 1e3 * quantile(at.seconds, 0.99),
                "p99_at_60_ms": 1e3 * quantile(calm.seconds, 0.99),
                "failed": alone.failed + full.failed + at.failed + calm.failed,
                "first": alone.first or full.first or at.first or calm.first,
            })  # fmt: skip
        many.close()
        single.close()
        return {"rounds": rows}

    return _run(work)


def swaps(plan: str) -> dict[str, Any]:
    """All clients at full rate while the model is swapped between its versions, until enough answers are checked."""
    given = json.loads(Path(plan).read_text())
    requests = [inferring(Path(path).read_bytes()) for path in given["pictures"]]

    async def work() -> dict[str, Any]:
        clients = Clients(given["address"], given["clients"], requests, given["expected"])
        start = time.perf_counter()
        load = asyncio.create_task(clients.closed_loop(given["seconds"], given["answers"]))
        done = await _swapping(given["address"], given["every"], load.done)
        seen = await load
        clients.close()
        return {
            "answers": len(seen.seconds), "failed": seen.failed, "mixed": seen.mixed, "swaps": done,
            "bundles": len(seen.digests), "seconds": round(time.perf_counter() - start, 1), "first": seen.first,
        }  # fmt: skip

    return _run(work)


async def _swapping(address: str, every: float, over: Callable[[], bool]) -> int:
    """Load the model's versions in turn; how often that was done."""
    client, done = Client(address), 0
    while not over():
        version = json.dumps({"parameters": {"version": str(1 + done % 2)}}).encode()
        status, _, body = await client.ask(posted(f"/v2/repository/models/{MODEL}/load", version))
        if status != 200:
            raise SystemExit(f"benchmarks: a swap was refused: {body.decode()}")
        done += 1
        await asyncio.sleep(every)
    client.close()
    return done


def _run(work: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    import uvloop

    async def main() -> dict[str, Any]:
        return await work()

    return uvloop.run(main())
