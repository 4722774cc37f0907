"""What the server answers: the protocol's addresses, what a bad request is told, and what is never told."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from tests.conftest import Pictures
from tests.unit.service.conftest import LABELS, PLAIN, Up, binary
from trunkline.core.settings import Settings
from trunkline.core.types.observation import Reading
from trunkline.platform.registry.use import observe, predictors

INFER = "/v2/models/steel/infer"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int) -> bytes:
    """A file whose header says so many pixels, and that has none."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_server_says_what_it_is(common: Up) -> None:
    assert common.get("/v2").json["extensions"] == ["binary_tensor_data", "model_repository"]
    home = common.get("/").json
    assert (home["models"], home["trunks"], home["names"]) == (2, 1, ["steel", "wood"])
    assert [common.get(f"/v2/health/{what}").json for what in ("live", "ready")] == [{"live": True}, {"ready": True}]


def test_metadata_of_a_model(up: Up, digest_of: Callable[[str], str]) -> None:
    row = up.get("/v2/models/steel").json
    assert (row["name"], row["versions"]) == ("steel", ["1"])
    assert [(one["name"], one["datatype"], one["shape"]) for one in row["inputs"] + row["outputs"]] == [
        ("image", "BYTES", [-1]), ("pixels", "UINT8", [-1, -1, -1, 3]), ("scores", "FP32", [-1, 3]),
        ("label", "BYTES", [-1]), ("accepted", "BOOL", [-1, 3]), ("unsure", "BOOL", [-1]),
    ]  # fmt: skip
    said = {key: row["parameters"][key] for key in ("labels", "digest", "thresholds", "version", "trunk")}
    assert said == {
        "labels": list(LABELS), "digest": digest_of("steel@1"), "thresholds": dict.fromkeys(LABELS, 0.5),
        "version": "1", "trunk": "test-trunk",
    }  # fmt: skip
    assert up.get("/v2/models/steel/versions/1").json == row
    assert up.get("/v2/models/steel/versions/1/ready").json["ready"] is True


def test_answers_are_those_of_predict(up: Up, settings: Settings, pictures: Pictures) -> None:
    arrays = [pictures.array(seed, size=(60, 40)) for seed in range(5)]
    (opened,) = predictors("steel@1", settings, warn=str)
    seen = [said for _, said in observe([opened], [Reading("x", 0, 0.0, pixels) for pixels in arrays])]
    opened.close()
    encoded = [pictures.encode(seed, size=(60, 40)) for seed in range(5)]
    text = {"name": "image", "shape": [5], "datatype": "BYTES", "data": [base64.b64encode(e).decode() for e in encoded]}
    flat = np.stack(arrays)
    pixels = {"name": "pixels", "shape": list(flat.shape), "datatype": "UINT8", "data": flat.ravel().tolist()}
    for answer in (
        up.infer(*encoded, id="7"), up.ask("POST", INFER, {"id": "7", "inputs": [text]}),
        up.ask("POST", INFER, {"id": "7", "inputs": [pixels]}),
        up.ask("POST", INFER, {"id": "7", "inputs": [{**pixels, "data": flat.tolist()}]}),
    ):  # fmt: skip
        row = answer.json
        outputs = {one["name"]: one for one in row["outputs"]}
        assert (row["id"], row["model_name"], row["model_version"]) == ("7", "steel", "1")
        assert row["parameters"] == {"digest": seen[0].bundle}
        scores = np.array(outputs["scores"]["data"]).reshape(outputs["scores"]["shape"])
        said = [{one.label: one.score for one in each.predictions} for each in seen]
        assert scores == pytest.approx(np.array([[row[label] for label in LABELS] for row in said]), abs=1e-5)
        assert outputs["label"]["data"] == [each.predictions[0].label for each in seen]
        assert outputs["unsure"]["data"] == [each.unsure for each in seen]
        accepted = [label in each.accepted for each in seen for label in LABELS]
        assert outputs["accepted"]["data"] == accepted


def test_outputs_asked_for_come_as_asked(common: Up, pictures: Pictures) -> None:
    wanted = [{"name": "label"}, {"name": "scores", "parameters": {"binary_data": True}}]
    answer = common.infer(pictures.encode(), outputs=wanted)
    head = int(answer.headers["inference-header-content-length"])
    rows = json.loads(answer.body[:head])["outputs"]
    assert [(row["name"], "data" in row, row.get("parameters")) for row in rows] == [
        ("label", True, None), ("scores", False, {"binary_data_size": 12}),
    ]  # fmt: skip
    scores = np.frombuffer(answer.body[head:], "<f4")
    assert rows[0]["data"] == [LABELS[int(scores.argmax())]]
    every = common.infer(pictures.encode(), parameters={"binary_data_output": True})
    assert len(every.body) - int(every.headers["inference-header-content-length"]) > 12


def image(*data: bytes, **more: Any) -> tuple[bytes, dict[str, str]]:
    body, length = binary(data, **more)
    return body, {"Inference_Header_Content_Length": str(length)}


BAD_PICTURES = {
    "nothing": (b"", "image 2 of 2: expected an image, got 0 bytes"),
    "text": (b"hello", "image 2 of 2: expected an image"),
    "torn": (b"\xff\xd8\xff\xe0aaaa", "image 2 of 2: the image's header is truncated"),
    "50,000 pixels a side": (png(50_000, 50_000), "image 2 of 2: expected at most 100,000,000 pixels"),
}


@pytest.mark.parametrize(("data", "said"), BAD_PICTURES.values(), ids=BAD_PICTURES)
def test_image_that_cannot_be_read_is_named(common: Up, pictures: Pictures, data: bytes, said: str) -> None:
    answer = common.infer(pictures.encode(), data)
    assert (answer.status, answer.error.startswith(said)) == (400, True), answer.error
    assert common.infer(pictures.encode()).status == 200


REFUSED = {
    "unknown model": ("GET", "/v2/models/stel", None, {}, 404, "did you mean 'steel'?"),
    "unknown model asked": ("POST", "/v2/models/stel/infer", b"{}", {}, 404, "did you mean 'steel'?"),
    "unknown version": ("GET", "/v2/models/steel/versions/7", None, {}, 404, "known version names: 1"),
    "unknown address": ("GET", "/v3", None, {}, 404, "no such address"),
    "wrong method": ("GET", INFER, None, {}, 405, "does not take GET"),
    "compressed": ("POST", INFER, b"x", {"Content_Encoding": "gzip"}, 415, "not compressed"),
    "no JSON": ("POST", INFER, b"x", {}, 400, "expected JSON"),
    "unknown output": (
        "POST", INFER, image(b"x", outputs=[{"name": "score"}])[0], image(b"x", outputs=[{"name": "score"}])[1], 400,
        "outputs[0].name: expected one of scores, label, accepted, unsure, got 'score'",
    ),
    "foreign host": ("GET", "/v2", None, {"Host": "evil.example"}, 421, "answers to localhost"),
    "foreign page": ("GET", "/v2", None, {"Origin": "https://evil.example"}, 403, "may not ask"),
    "page of no address": ("GET", "/v2", None, {"Origin": "http://["}, 403, "may not ask"),
    "much about models": ("POST", "/v2/repository/index", b" " * 70_000, {}, 413, "at most 65,536 bytes"),
    "load of nothing": ("POST", "/v2/repository/models/stel/load", b"", {}, 404, "did you mean 'steel'?"),
    "load of a file": ("POST", "/v2/repository/models/x%2Fy.tlb/load", b"", {}, 404, ""),
    "load of a pattern": ("POST", "/v2/repository/models/*/load", b"", {}, 404, "no model named '*'"),
    "unload of nothing": ("POST", "/v2/repository/models/none/unload", b"", {}, 404, "no model named"),
}  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "headers", "status", "said"), REFUSED.values(), ids=REFUSED)
def test_bad_request_is_told_what_is_wrong(
    common: Up, method: str, path: str, body: bytes | None, headers: dict[str, str], status: int, said: str
) -> None:
    answer = common.ask(method, path, body, **headers)
    assert (answer.status, said in answer.error) == (status, True), answer.body


def test_too_large_a_body_is_refused_by_its_length_and_while_it_comes(serve: Callable[..., Up]) -> None:
    up = serve(body_bytes=1000)
    whole = b"x" * 3_000_000  # more than buffers between here and there hold
    assert up.ask("POST", INFER, whole).status == 413
    assert up.ask("POST", INFER, whole, Connection="close").status == 413
    head = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", up.port), timeout=20) as client:
        client.sendall(head + b"".join(b"%x\r\n%s\r\n" % (500, b"x" * 500) for _ in range(3)))
        assert b" 413 " in client.recv(4096)
    assert up.metric('rejected_total{reason="too large"}') == 3


def test_all_bodies_together_are_bounded(serve: Callable[..., Up], pictures: Pictures) -> None:
    up = serve(held_bytes=500)
    assert (up.infer(b"x" * 600).status, up.service.room.held, up.service.room.requests) == (429, 0, 0)


@pytest.mark.parametrize("limits", [{"requests": 0}, {"waiting": 1}], ids=str)
def test_full_server_says_come_again(serve: Callable[..., Up], pictures: Pictures, limits: dict[str, int]) -> None:
    up = serve(**limits)
    answer = up.infer(pictures.encode(), pictures.encode())
    assert (answer.status, answer.headers["retry-after"], "ask again" in answer.error) == (429, "1", True)
    assert up.service.asker.waiting == 0


def test_slow_body_is_given_up(serve: Callable[..., Up]) -> None:
    up = serve(body_seconds=0.2)
    head = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n12"
    with socket.create_connection(("127.0.0.1", up.port), timeout=20) as client:
        client.sendall(head)
        assert b" 408 " in client.recv(4096)
    assert up.service.room.requests == 0


class Slow:
    """Stands in for `decode_image`: waits until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from trunkline.service import asking

        real = asking.decode_image
        self.began, self.go = threading.Event(), threading.Event()

        def wait(*args: Any, **options: Any) -> Any:
            self.began.set()
            assert self.go.wait(20)
            return real(*args, **options)

        monkeypatch.setattr(asking, "decode_image", wait)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch)


def until(what: Callable[[], bool]) -> bool:
    """Whether something comes true within a few seconds."""
    end = time.monotonic() + 10
    while not what() and time.monotonic() < end:
        time.sleep(0.005)
    return what()


def test_late_answer_is_given_up_and_its_place_freed(serve: Callable[..., Up], pictures: Pictures, slow: Slow) -> None:
    up = serve(answer_seconds=0.2)
    assert up.infer(pictures.encode()).status == 504
    assert up.service.room.requests == 1  # its bytes are still held by the thread
    slow.go.set()
    assert until(lambda: up.service.room.requests == 0)
    assert (up.service.asker.waiting, up.service.room.held) == (0, 0)


def test_change_that_takes_long_is_told_and_goes_on(serve: Callable[..., Up], monkeypatch: pytest.MonkeyPatch) -> None:
    up = serve(change_seconds=0.2, loads=1)
    go = threading.Event()
    load = up.service.catalogue.load
    monkeypatch.setattr(up.service.catalogue, "load", lambda *args: load(*args) if go.wait(20) else None)
    late = up.ask("POST", "/v2/repository/models/steel/load")
    assert (late.status, "still under way" in late.error) == (504, True)
    assert up.ask("POST", "/v2/repository/index").status == 429  # it keeps its turn
    go.set()
    assert until(lambda: up.ask("POST", "/v2/repository/index").status == 200)


def test_work_for_a_client_that_has_gone_is_dropped(up: Up, pictures: Pictures, slow: Slow) -> None:
    body, length = binary([pictures.encode()] * 8)
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", up.port), timeout=20) as client:
        client.sendall(f"{head}Inference-Header-Content-Length: {length}\r\n\r\n".encode() + body)
        assert slow.began.wait(10)
    assert until(lambda: up.metric('rejected_total{reason="gone"}') == 1)
    slow.go.set()
    assert until(lambda: up.service.room.requests == 0)
    assert up.service.asker.waiting == 0
    assert up.metric("batch_images_sum") <= 1 + 1  # the one that warmed the trunk up, and the one under way


def test_fault_of_ours_has_a_number_and_no_trace(up: Up, pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("secret place")

    monkeypatch.setattr("trunkline.service.asking.encode", broken)
    answer = up.infer(pictures.encode())
    number = answer.error.rpartition(" ")[2]
    assert (answer.status, "secret" in answer.error) == (500, False)
    assert [(number in line, "RuntimeError: secret place" in line) for line in up.said[-1:]] == [(True, True)]


def test_requests_under_way_are_answered_while_the_server_drains(up: Up, pictures: Pictures, slow: Slow) -> None:
    answers: list[int] = []
    under_way = threading.Thread(target=lambda: answers.append(up.infer(pictures.encode()).status))
    under_way.start()
    assert slow.began.wait(10)
    up.service.draining = True
    refused = up.infer(pictures.encode())
    assert (refused.status, refused.headers["connection"], up.get("/v2/health/ready").status) == (503, "close", 503)
    assert up.get("/v2/health/live").status == 200
    slow.go.set()
    under_way.join(20)
    assert up.thread
    up.thread.join(20)
    assert (answers, up.thread.is_alive()) == ([200], False)


def test_models_come_go_and_swap_by_request(up: Up, pictures: Pictures, digest_of: Callable[[str], str]) -> None:
    def states(**body: Any) -> dict[str, tuple[str, str]]:
        rows = up.ask("POST", "/v2/repository/index", body).json
        return {row["name"]: (row["version"], row["state"]) for row in rows}

    ready = {"steel": ("1", "READY"), "wood": ("1", "READY")}
    assert states() == {**ready, PLAIN: ("1", "UNAVAILABLE")}
    assert states(ready=True) == ready
    load = "/v2/repository/models/steel/load"
    assert up.ask("POST", load, {"parameters": {"version": 2}}).json["digest"] == digest_of("steel@2")
    assert up.infer(pictures.encode()).json["model_version"] == "2"
    assert up.get("/v2/models/steel").json["versions"] == ["2"]
    up.ask("POST", load)
    assert up.infer(pictures.encode()).json["parameters"] == {"digest": digest_of("steel@1")}
    assert up.ask("POST", "/v2/repository/models/steel/unload", {}).status == 200
    assert up.infer(pictures.encode()).status == 404
    assert up.service.catalogue.engine.models.keys() == {digest_of("wood")}


def test_metrics_count_what_happened(up: Up, pictures: Pictures) -> None:
    up.infer(pictures.encode(), pictures.encode(1))
    up.infer(b"")
    route = 'route="/v2/models/{name}/infer"'
    counted = {
        f'request_seconds_count{{{route},status="2xx"}}': 1, f'request_seconds_count{{{route},status="4xx"}}': 1,
        "images_total": 2, 'model_images_total{model="steel"}': 2, 'rejected_total{reason="invalid"}': 1,
        "models": 2, "trunks": 1, "queue_images": 0, "requests_under_way": 0, "batch_images_sum": 3,
    }  # fmt: skip
    assert {line: up.metric(f"{line} ") for line in counted} == counted
    assert up.metric("engine_busy_seconds_total") > 0


def test_pixels_over_the_limit_are_refused(serve: Callable[..., Up], pictures: Pictures) -> None:
    up = serve()
    up.service.asker.max_pixels = 100
    side = {"name": "pixels", "shape": [1, 11, 10, 3], "datatype": "UINT8", "data": [0] * 330}
    answer = up.ask("POST", INFER, {"inputs": [side]})
    assert (answer.status, "expected at most 100 pixels, got 10 x 11" in answer.error) == (400, True)


def test_many_images_in_one_request_come_back_in_order(common: Up, pictures: Pictures) -> None:
    encoded = [pictures.encode(seed, kind=seed % 3) for seed in range(40)]
    alone = [common.infer(one).json["outputs"][0]["data"] for one in encoded[:6]]
    rows = common.infer(*encoded).json["outputs"][0]
    assert rows["shape"] == [40, 3]
    together = np.array(rows["data"]).reshape(40, 3)[:6]
    assert together == pytest.approx(np.array(alone), abs=1e-5)


def test_name_in_any_script_is_served(serve: Callable[..., Up], pictures: Pictures) -> None:
    up = serve(PLAIN)
    name = quote(PLAIN)
    assert up.get(f"/v2/models/{name}").json["name"] == PLAIN
    assert up.infer(pictures.encode(), model=name).json["model_name"] == PLAIN
    assert up.ask("POST", f"/v2/repository/models/{name}/unload", b"").status == 200
    assert up.get(f"/v2/models/{name}/ready").status == 404
