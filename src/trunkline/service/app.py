"""The server's routes: the Open Inference Protocol over HTTP, its model repository extension, and metrics."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from trunkline import __version__
from trunkline.core.errors import DataError, TrunklineError
from trunkline.core.text import cut, printable
from trunkline.service.answers import metadata
from trunkline.service.asking import Asker, Job, Reply
from trunkline.service.bodies import GoneError, read_body
from trunkline.service.guard import Guard
from trunkline.service.metrics import Metrics
from trunkline.service.protocol import read_object
from trunkline.service.refusals import Refusal, busy, draining, refusal_of
from trunkline.service.room import Room

if TYPE_CHECKING:
    from trunkline.core.settings import Settings
    from trunkline.service.catalogue import Catalogue
    from trunkline.service.limits import Limits
    from trunkline.service.served import Served

T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]
_SHOWN = 100  # names on the first page
_SMALL = 64 << 10  # bytes of a request about models
_GONE = 499
"""Status of a request whose client went away, as nginx counts it; nobody receives it."""
_VERSIONED = ("", "/versions/{version}")


class Service:
    """The state of one server, and what it answers.

    Args:
        catalogue: The models.
        settings: Threads and largest image.
        limits: What is allowed.
        say: Told of faults, one sentence each.

    Attributes:
        draining: Set when the server is about to end: requests under way are answered, new ones are refused.
        under_way: Requests that are being answered.
    """

    def __init__(
        self, catalogue: Catalogue, settings: Settings, limits: Limits, *, metrics: Metrics, say: Callable[[str], None]
    ) -> None:
        self.catalogue = catalogue
        self.limits = limits
        self.metrics = metrics
        self._settings = settings
        self.asker = Asker(catalogue.engine, settings, limits)
        self.room = Room(limits)
        self.draining = False
        self.under_way = 0
        self._say = say
        self._changes = ThreadPoolExecutor(1, "change")
        self._changing = 0
        metrics.gauge("models", "Models served.", lambda: len(catalogue.table))
        metrics.gauge("trunks", "Trunks held open.", lambda: len(catalogue.trunks))
        metrics.gauge("queue_images", "Images that wait for their answers.", lambda: self.asker.waiting)
        metrics.gauge("requests_under_way", "Requests under way.", lambda: self.room.requests)

    def app(self, host: str) -> Guard:
        """The ASGI application, for a server that is bound to an address."""
        app = FastAPI(
            title="Trunkline",
            version=__version__,
            openapi_url=None,
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        )
        self._route(app, "GET", "/", self._home)
        self._route(app, "GET", "/v2", self._server)
        self._route(app, "GET", "/v2/health/live", self._live)
        self._route(app, "GET", "/v2/health/ready", self._ready)
        for versions in _VERSIONED:
            model = "/v2/models/{name}" + versions
            self._route(app, "GET", model, self._metadata)
            self._route(app, "GET", f"{model}/ready", self._model_ready)
            self._route(app, "POST", f"{model}/infer", self._infer)
        self._route(app, "POST", "/v2/repository/index", self._index)
        self._route(app, "POST", "/v2/repository/models/{name}/load", self._load)
        self._route(app, "POST", "/v2/repository/models/{name}/unload", self._unload)
        self._route(app, "GET", "/metrics", self._metrics)
        app.add_exception_handler(HTTPException, self._no_such_route)
        return Guard(app, self, host)

    def refused(self, route: str, refusal: Refusal) -> Response:
        """The answer to a request that is refused."""
        self.metrics.rejected(refusal.reason)
        self.metrics.answered(route, refusal.status, 0.0)
        return _error(refusal)

    def close(self) -> None:
        """End the threads, once no request is under way."""
        self.asker.close()
        self._changes.shutdown(cancel_futures=True)

    def _route(self, app: FastAPI, method: str, path: str, handler: Handler) -> None:
        """A route whose answers are counted and whose errors are told as the protocol says."""

        async def answering(request: Request) -> Response:
            start = time.monotonic()
            response = await self._answered(handler, request)
            self.metrics.answered(path, response.status_code, time.monotonic() - start)
            return response

        app.add_route(path, answering, methods=[method])

    async def _answered(self, handler: Handler, request: Request) -> Response:
        try:
            return await handler(request)
        except GoneError:
            self.metrics.rejected("gone")
            return Response(status_code=_GONE)
        except Refusal as refusal:
            shown = refusal
        except TrunklineError as error:
            shown = refusal_of(error)
            if shown.status >= 500:
                self._say(printable(f"{request.url.path}: {error}"))
        except Exception as error:  # the last place that can make an answer of it  # noqa: BLE001
            shown = self._fault(request, error)
        self.metrics.rejected(shown.reason)
        shown.message = shown.message.replace(str(self._settings.home), "HOME")  # where that is, is not the client's
        return _error(shown)

    def _fault(self, request: Request, error: Exception) -> Refusal:
        """A fault of ours: the client gets a number, the operator the place."""
        number = secrets.token_hex(4)
        last = traceback.extract_tb(error.__traceback__)[-1:]
        place = f"{last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else "?"
        said = printable(f"{type(error).__name__}: {error}".rstrip(": "))
        self._say(f"a fault of ours, {number}: {request.method} {printable(request.url.path)}: {said} (in {place})")
        return Refusal(500, "fault", f"a fault of the server; its standard error tells more under {number}")

    async def _no_such_route(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        what = "no such address" if status == 404 else f"this address does not take {request.method}"
        return self.refused("other", Refusal(status, "no route", f"{what}: {cut(request.url.path, 200)}"))

    # The protocol.

    async def _home(self, _: Request) -> Response:
        names = list(self.catalogue.table)
        return _json(
            {
                "name": "trunkline",
                "version": __version__,
                "models": len(names),
                "trunks": len(self.catalogue.trunks),
                "names": names[:_SHOWN],
                "not_loaded": len(self.catalogue.failed),
            }
        )

    async def _server(self, _: Request) -> Response:
        return _json(
            {"name": "trunkline", "version": __version__, "extensions": ["binary_tensor_data", "model_repository"]}
        )

    async def _live(self, _: Request) -> Response:
        return _json({"live": True})

    async def _ready(self, _: Request) -> Response:
        if self.draining:
            raise draining()
        return _json({"ready": True})

    async def _metadata(self, request: Request) -> Response:
        served = await self._named(request)
        versions = [one.version for one in self.catalogue.table.get(served.name, ())]
        return _json(metadata(served, versions))

    async def _model_ready(self, request: Request) -> Response:
        served = await self._named(request)
        return _json({"name": served.name, "version": served.version, "ready": True})

    async def _named(self, request: Request) -> Served:
        """The model that a request names."""
        name, version = _model(request)
        served = self.catalogue.get(name, version)
        if served is None:
            raise await asyncio.to_thread(self.catalogue.missing, name, version)
        return served

    async def _infer(self, request: Request) -> Response:
        name, version = _model(request)
        with ExitStack() as held:
            lease = self.catalogue.lease(name, version)
            if lease is None:
                raise await asyncio.to_thread(self.catalogue.missing, name, version)
            served = held.enter_context(lease)
            seat = held.enter_context(self.room.seat())
            body = await read_body(request, self.limits, seat)
            job = self.asker.ask(served, body, request.headers.get("inference-header-content-length"))
            kept = held.pop_all()
        job.ended.add_done_callback(lambda _: kept.close())  # not before: threads may still be at it
        try:
            reply = await self._reply(job, request)
        finally:
            job.cancel()
        self.metrics.images(served.name, reply.images)
        return _tensors(reply)

    async def _reply(self, job: Job, request: Request) -> Reply:
        """The answer, unless the client goes away before, or it takes too long."""
        gone = asyncio.ensure_future(request.receive())
        try:
            both: set[asyncio.Future[Any]] = {job.reply, gone}
            done, _ = await asyncio.wait(both, timeout=self.limits.answer_seconds, return_when=asyncio.FIRST_COMPLETED)
            if job.reply in done:
                return job.reply.result()
            if gone in done:
                raise GoneError
            raise Refusal(504, "late", f"no answer within {self.limits.answer_seconds:g} seconds")
        finally:
            gone.cancel()
            job.reply.cancel()

    # The model repository extension.

    async def _index(self, request: Request) -> Response:
        asked = await self._parameters(request)
        rows = await self._in_turn(self._rows)
        return _json([row for row in rows if row["state"] == "READY" or not asked.get("ready")])

    def _rows(self) -> list[dict[str, str]]:
        """What is served, what could not be, and what else the home has."""
        table, failed = self.catalogue.table, self.catalogue.failed
        rows = [_row(one.name, one.version, "READY", "") for versions in table.values() for one in versions]
        rows += [_row(what, "", "UNAVAILABLE", reason) for what, reason in failed.items()]
        known = table.keys() | failed.keys()
        others = [row for row in self.catalogue.registry.ls() if row["name"] not in known]
        return rows + [_row(row["name"], str(row["latest"]), "UNAVAILABLE", "not loaded") for row in others]

    async def _load(self, request: Request) -> Response:
        parameters = (await self._parameters(request)).get("parameters", {})
        version = parameters.get("version") if isinstance(parameters, dict) else None
        if isinstance(version, int) and not isinstance(version, bool):
            version = str(version)
        if version is not None and not isinstance(version, str):
            raise DataError(f"expected a version's number, got {cut(repr(version))}", where="parameters.version")
        name, _ = _model(request)
        served = await self._in_turn(lambda: self.catalogue.load(name, version))
        return _json({"name": served.name, "version": served.version, "digest": served.digest})

    async def _unload(self, request: Request) -> Response:
        await self._parameters(request)
        name, _ = _model(request)
        await self._in_turn(lambda: self.catalogue.unload(name))
        return _json({})

    async def _parameters(self, request: Request) -> dict[str, Any]:
        """The JSON object in a request's body; none is an empty one. It is read on the event loop: a small one."""
        with self.room.seat() as seat:
            most = min(self.limits.body_bytes, _SMALL)
            body = await read_body(request, replace(self.limits, body_bytes=most), seat)
            return read_object(bytes(body), "the body") if body else {}

    async def _in_turn(self, work: Callable[[], T]) -> T:
        """Run what takes a while in a thread, one after the other; it goes on where nobody waits for it any longer."""
        if self._changing >= self.limits.loads:
            raise busy(f"{self._changing} changes wait already; ask again in a second")
        self._changing += 1
        change = asyncio.get_running_loop().run_in_executor(self._changes, work)
        change.add_done_callback(self._changed)
        done, _ = await asyncio.wait({change}, timeout=self.limits.change_seconds)
        if done:
            return change.result()
        after = f"not done after {self.limits.change_seconds:g} seconds, and still under way"
        raise Refusal(504, "late", f"{after}; POST /v2/repository/index tells what is served")

    def _changed(self, change: asyncio.Future[Any]) -> None:
        """One change fewer waits; its error was told to who waits, and is nobody's where nobody does."""
        self._changing -= 1
        if not change.cancelled():
            change.exception()

    async def _metrics(self, _: Request) -> Response:
        return Response(await asyncio.to_thread(self.metrics.text), media_type="text/plain; version=0.0.4")


def _model(request: Request) -> tuple[str, str | None]:
    """The name and the version that an address has."""
    return request.path_params["name"], request.path_params.get("version")


def _row(name: str, version: str, state: str, reason: str) -> dict[str, str]:
    return {"name": name, "version": version, "state": state, "reason": reason}


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), status, headers, "application/json")


def _error(refusal: Refusal) -> Response:
    return _json({"error": refusal.message}, refusal.status, refusal.headers)


def _tensors(reply: Reply) -> Response:
    if reply.body.header is None:
        return Response(reply.body.data, media_type="application/json")
    headers = {"Inference-Header-Content-Length": str(reply.body.header)}
    return Response(reply.body.data, headers=headers, media_type="application/octet-stream")
