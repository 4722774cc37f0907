"""Connections that send nothing, too slowly or too much are closed, and nobody else notices."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import Pictures
from tests.unit.service.conftest import Up

GET = b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /v2/models/steel/infer HTTP/1.1\r\nHost: localhost\r\n"
Connect = Callable[[Up], socket.socket]


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as held:
        yield lambda up: held.enter_context(socket.create_connection(("127.0.0.1", up.port), timeout=10))


def closed(client: socket.socket) -> bool:
    """Whether the server closes the connection within some seconds."""
    try:
        while client.recv(4096):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


SILENT = {
    "nothing": b"",
    "half a head": b"GET /v2 HTTP/1.1\r\nHost: loc",
    "half a second head": GET + b"GET /v2 HT",
}


@pytest.mark.parametrize("sent", SILENT.values(), ids=SILENT)
def test_silent_connection_is_closed(serve: Callable[..., Up], connect: Connect, sent: bytes) -> None:
    up = serve(header_seconds=0.3)
    client = connect(up)
    client.sendall(sent)
    began = time.monotonic()
    assert closed(client)
    assert time.monotonic() - began > 0.1
    assert up.get("/v2").status == 200


def test_head_that_comes_drop_by_drop_is_given_up(serve: Callable[..., Up], connect: Connect) -> None:
    up = serve(header_seconds=0.4)
    client = connect(up)
    began = time.monotonic()
    with pytest.raises(OSError):  # reset, or a broken pipe
        while time.monotonic() - began < 10:
            client.sendall(b"G")
            time.sleep(0.05)
    assert time.monotonic() - began < 9


def test_idle_connection_is_kept_a_while_and_then_closed(serve: Callable[..., Up], connect: Connect) -> None:
    up = serve(idle_seconds=1, header_seconds=0.2)
    client = connect(up)
    for _ in range(2):
        client.sendall(GET)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
        time.sleep(0.5)  # longer than a head may take
    assert closed(client)
    assert up.metric('connections_closed_total{reason="idle"}') == 1


def test_longest_silent_connection_goes_first(serve: Callable[..., Up], connect: Connect) -> None:
    up = serve(connections=3)
    first, second, third = (connect(up) for _ in range(3))
    for client in (first, second, third):
        client.sendall(GET)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")
    first.sendall(GET)  # now the second is silent for longest
    assert first.recv(4096).startswith(b"HTTP/1.1 200")
    fourth = connect(up)
    fourth.sendall(GET)
    assert fourth.recv(4096).startswith(b"HTTP/1.1 200")
    assert closed(second)
    for client in (first, third, fourth):
        client.sendall(GET)
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_connection_at_work_is_not_closed_for_a_new_one(
    serve: Callable[..., Up], connect: Connect, pictures: Pictures
) -> None:
    up = serve(connections=2)
    busy = connect(up)
    busy.sendall(POST + b"Content-Length: 2\r\n\r\n{")
    assert up.get("/v2").status == 200
    for _ in range(4):
        connect(up)
    assert up.get("/v2").status == 200
    busy.sendall(b"}")
    assert busy.recv(4096).startswith(b"HTTP/1.1 400")


TOO_MUCH = {
    "one long field": (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 400_000, 431),
    "many fields": (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 60_000, 431),
    "long address": (b"GET /" + b"a" * 400_000, 431),
    "long trailers": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 400_000, 431),
    "no request": (b"HELO there\r\n\r\n", 400),
    "no length": (POST + b"Content-Length: x\r\n\r\n", 400),
    "no such length": (POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
    "no host": (b"GET /v2 HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    "address of another server": (b"CONNECT x:1 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
}


@pytest.mark.parametrize(("sent", "status"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_is_no_request_is_refused(common: Up, connect: Connect, sent: bytes, status: int) -> None:
    client = connect(common)
    client.sendall(sent)
    assert client.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())
    assert common.get("/v2").status == 200


def test_small_parts_of_a_large_body_are_no_attack(common: Up, connect: Connect) -> None:
    client = connect(common)
    client.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(40):
        client.sendall(b"".join(b"%x\r\n%s\r\n" % (500, b" " * 500) for _ in range(1000)))
    client.sendall(b"0\r\n\r\n")
    assert client.recv(4096).startswith(b"HTTP/1.1 400")  # 20 MB of spaces are no JSON


def test_who_is_refused_early_may_send_the_rest_for_a_while(serve: Callable[..., Up], connect: Connect) -> None:
    up = serve(body_bytes=10, header_seconds=0.5)
    client = connect(up)
    client.sendall(POST + b"Connection: close\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000)
    assert client.recv(4096).startswith(b"HTTP/1.1 413")
    began = time.monotonic()
    assert closed(client)  # it never sends the rest
    assert time.monotonic() - began < 8


def test_two_requests_at_once_are_answered_in_turn(common: Up, connect: Connect) -> None:
    client = connect(common)
    client.sendall(GET + GET + b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    got = b""
    while part := client.recv(4096):
        got += part
    assert (got.count(b"HTTP/1.1 200"), got.endswith(b'{"live":true}')) == (3, True)


def test_thousands_of_requests_at_once_are_not_kept(common: Up, connect: Connect) -> None:
    before = common.metric('connections_closed_total{reason="crowded"}')
    client = connect(common)
    client.sendall(GET * 2_000)
    assert closed(client)
    assert common.metric('connections_closed_total{reason="crowded"}') == before + 1
    assert common.get("/v2").status == 200
