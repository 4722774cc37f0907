"""The downloader against a small server of its own, which can be slow, broken, greedy or false."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import DataError, InputError
from trunkline.platform.samples.download import download

DATA = bytes(range(256)) * 2000
DIGEST = digest_bytes(DATA)


@dataclass
class Behaviour:
    """What the server does, and what it was asked for."""

    break_after: int = 0  # bytes of each answer before the connection is cut
    status: int = 0
    stall: bool = False
    length: int | None = None
    ranges: list[str] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def do_GET(self) -> None:
        how = self.behaviour
        wanted = self.headers.get("Range", "")
        how.ranges.append(wanted)
        if how.status:
            self.send_error(how.status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-") or 0)
        if start >= len(DATA):
            self.send_error(416)
            return
        body = DATA[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body) if how.length is None else how.length))
        self.end_headers()
        if how.stall:
            how.release.wait(5)
            return
        self.wfile.write(body[: how.break_after] if how.break_after else body)

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[tuple[str, Behaviour]]:
    behaviour = Behaviour()
    handler = type("H", (Handler,), {"behaviour": behaviour})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}/file", behaviour
        behaviour.release.set()
        http.shutdown()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_fetches_once_and_finds_it_again(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    for _ in range(2):
        assert download(url, tmp_path / "f", sha256=DIGEST, max_bytes=len(DATA)).read_bytes() == DATA
    assert behaviour.ranges == [""]
    assert names(tmp_path) == ["f"]


def test_goes_on_where_a_broken_connection_stopped(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    behaviour.break_after = 200_000
    assert download(url, tmp_path / "f", sha256=DIGEST, max_bytes=len(DATA)).read_bytes() == DATA
    assert behaviour.ranges == ["", "bytes=200000-", "bytes=400000-"]


def test_goes_on_from_the_part_of_a_run_that_was_killed(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    (tmp_path / "f.part").write_bytes(DATA[:1000])
    assert download(url, tmp_path / "f", sha256=DIGEST, max_bytes=len(DATA)).read_bytes() == DATA
    assert behaviour.ranges == ["bytes=1000-"]


def test_throws_away_a_part_that_is_longer_than_the_file(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, behaviour = server
    (tmp_path / "f.part").write_bytes(DATA + b"more")
    assert download(url, tmp_path / "f", sha256=DIGEST, max_bytes=len(DATA)).read_bytes() == DATA
    assert behaviour.ranges[-1] == ""


@pytest.mark.parametrize(
    ("how", "sha256", "max_bytes", "words"),
    [
        ({}, digest_bytes(b"something else"), len(DATA), "expected a file with SHA-256"),
        ({}, DIGEST, 1000, "the server offers 512,000"),
        ({"status": 404}, DIGEST, len(DATA), "HTTP 404"),
        ({"status": 503}, DIGEST, len(DATA), "HTTP 503"),
        ({"stall": True}, DIGEST, len(DATA), "timed out"),
        ({"length": len(DATA) + 9}, DIGEST, len(DATA) + 9, "could not be fetched"),
    ],
    ids=["checksum", "too large", "gone", "ill", "stalled", "shorter than it says"],
)
def test_refuses(server: tuple[str, Behaviour], how: dict[str, int], sha256: str, max_bytes: int, words: str) -> None:
    url, behaviour = server
    for name, value in how.items():
        setattr(behaviour, name, value)
    started = time.monotonic()
    with TemporaryDirectory() as folder, pytest.raises(DataError, match=words):
        download(url, Path(folder) / "f", sha256=sha256, max_bytes=max_bytes, timeout=0.3)
    assert time.monotonic() - started < 5


def test_what_has_the_wrong_digest_is_not_kept(server: tuple[str, Behaviour], tmp_path: Path) -> None:
    url, _ = server
    with pytest.raises(DataError, match="thrown away"):
        download(url, tmp_path / "f", sha256="0" * 64, max_bytes=len(DATA))
    assert names(tmp_path) == []


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="could not be fetched"):
        download("http://127.0.0.1:9/f", tmp_path / "f", sha256=DIGEST, max_bytes=9, attempts=1)


@pytest.mark.parametrize("url", ["http://example.org/f", "file:///etc/passwd", "ftp://example.org/f", "f"])
def test_only_https(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected an https address"):
        download(url, tmp_path / "f", sha256=DIGEST, max_bytes=9)
