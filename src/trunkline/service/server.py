"""A server's life: it takes a port, loads the models, answers, and ends once what is under way is answered."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import ConfigError, InputError, MissingExtraError
from trunkline.service.limits import Limits

if TYPE_CHECKING:
    from trunkline.core.settings import Settings
    from trunkline.service.catalogue import Catalogue
    from trunkline.service.running import Started

PACKAGES = ("fastapi", "uvicorn", "httptools", "uvloop", "prometheus_client")
_SPARE = 256
"""Files beside connections: models, pipes, libraries."""
_FOLLOW = 2.0  # seconds between two looks at the registry
_ASK = 15
"""Times as long between two looks at a tracking server, which must be asked: a file says when it was written."""


def serve(
    settings: Settings,
    refs: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    follow: bool = True,
    limits: Limits | None = None,
    say: Callable[[str], None],
    started: Callable[[Started], None],
) -> None:
    """Serve models until a signal comes.

    Args:
        settings: The home, threads, largest image.
        refs: As `Catalogue` takes them.
        host, port: Where; port 0 is any free one.
        follow: Whether to look at the registry for champions that moved.
        limits: What clients may ask for.
        say: Told what the operator should know, one sentence each.
        started: Told once requests are taken.

    Raises:
        MissingExtraError: When the packages of the extra `serve` are not there.
        ConfigError: When the address cannot be had.
        InputError: When no model could be loaded.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "serve", "`trunkline serve`")
    from trunkline.platform.engine.engine import Engine
    from trunkline.service.app import Service
    from trunkline.service.catalogue import Catalogue
    from trunkline.service.metrics import Metrics
    from trunkline.service.running import run

    limits = _fitted(limits or Limits())
    metrics = Metrics()
    with contextlib.ExitStack() as held:
        listener = held.enter_context(bound(host, port))
        catalogue = Catalogue(settings, refs, Engine(settings, queue=limits.waiting, watch=metrics.ran), say=say)
        held.callback(catalogue.close)
        catalogue.refresh()
        if not catalogue.table:
            raise InputError(
                "expected a model that can be served, got "
                + (
                    f"none: {len(catalogue.failed)} failed, see above"
                    if catalogue.failed
                    else "none: no champion is here"
                ),
                fix="`trunkline models ls` shows what there is; name models, or promote one",
            )
        service = Service(catalogue, settings, limits, metrics=metrics, say=say)
        held.callback(service.close)
        if follow:
            held.enter_context(following(catalogue, say))
        run(service, listener, host, started)


def bound(host: str, port: int) -> socket.socket:
    """A socket at an address.

    Raises:
        ConfigError: When it cannot be had, saying why.
    """
    where = f"{host}:{port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"expected an address of this machine: {error}", where=where, fix="name another --host"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)  # two servers that start at once both bind; who comes second is told here
    except OSError as error:
        listener.close()
        raise _refused(where, error) from error
    return listener


def _refused(where: str, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return ConfigError(
            "expected a free port, another program has it", where=where, fix="name another --port; 0 takes any free one"
        )
    if error.errno == errno.EACCES:
        return ConfigError("expected a port that this user may take", where=where, fix="name a --port from 1024")
    return ConfigError(f"expected an address of this machine: {error.strerror}", where=where, fix="name another --host")


@contextlib.contextmanager
def following(catalogue: Catalogue, say: Callable[[str], None], *, seconds: float = _FOLLOW) -> Iterator[None]:
    """Look at the registry every few seconds, and serve the champions that it has now."""
    end = threading.Event()
    place = catalogue.registry.tracking.database

    def stamp() -> Any:
        """Differs once something was written; always, where that cannot be seen."""
        if place is None:
            return time.monotonic()
        return tuple(_written(path) for path in (place, place.with_name(f"{place.name}-wal")))

    def run() -> None:
        seen: Any = None  # the first look counts: something may have been written since the models were loaded
        told = ""
        while not end.wait(seconds if place else seconds * _ASK):
            now = stamp()
            if now == seen:
                continue
            try:
                catalogue.refresh()
            except Exception as error:  # what is served stays; the next look may do better  # noqa: BLE001
                if str(error) != told:
                    say(f"the registry cannot be followed: {error}")
                told = str(error)
            else:
                seen, told = now, ""

    thread = threading.Thread(target=run, name="follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def _written(path: Any) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _fitted(limits: Limits) -> Limits:
    """Limits that this process can keep: as many open files as it may have, fewer connections where those are few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return limits
    return replace(limits, connections=max(16, min(limits.connections, files - _SPARE)))
