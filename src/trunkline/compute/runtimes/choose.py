"""Which runtime to use here, OpenVINO or one over twice as fast: measured once, remembered in `HOME/runtimes.json`.

Each runtime gives the same bits for an image whatever its batch and the number of threads; two runtimes differ in the
last bits. So that homes on one machine agree on a model's digest, the first runtime of `MEASURED` is kept unless the
other is clearly faster, beyond what a disturbed measurement would show.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.compute.chips.machine import machine
from trunkline.compute.runtimes import MEASURED, RUNTIMES
from trunkline.compute.runtimes.base import Session
from trunkline.core.digest import canonical_json, digest_json
from trunkline.core.errors import InputError, StorageError
from trunkline.core.files import locked, write_atomic

if TYPE_CHECKING:
    import numpy as np

_ROUNDS = 5  # at least so many timed rounds a runtime, in turn, so that a slow moment hits both
_SECONDS = 0.5  # and at least so long: the rounds of a small graph are short, and scatter
_IMAGES = 4  # images a thread and round; more would cost seconds and rank no runtime otherwise
_CLEARLY = 2.0  # times faster, to be chosen before the first; measurements on a busy machine scatter by 1.7


def choose(model: Path, *, key: str, side: int, home: Path, threads: int, batch: int, wanted: str = "auto") -> str:
    """The runtime to use for a graph.

    Args:
        model: The graph.
        key: Digest that names the graph.
        side: Height and width of its input, pixels.
        home: Where the choice is remembered.
        threads: CPU threads.
        batch: Images a run.
        wanted: A runtime's name, or "auto": the first of `MEASURED`, or one that is over twice as fast.

    Raises:
        NotFoundError: On an unknown name.
        InputError: When no runtime works on this machine.
    """
    if wanted != "auto":
        reason = RUNTIMES.load(wanted, where="setting runtime")().available()
        if reason:
            raise InputError(f"runtime {wanted!r} cannot be used here: {reason}", fix="`trunkline doctor` shows more")
        return wanted
    memory: Path | None = home / "runtimes.json"
    facts = {"machine": machine(), "graph": key, "threads": threads, "batch": batch}
    entry = digest_json(facts)
    known = _read(home / "runtimes.json")
    if entry in known:
        return str(known[entry]["runtime"])
    with ExitStack() as held:
        try:
            held.enter_context(locked(home / "locks" / "runtimes.lock"))
        except StorageError:  # a home that can only be read: measured each time
            memory = None
        known = _read(memory) if memory else {}
        if entry not in known:
            speeds, reasons = measure(model, side=side, threads=threads, batch=batch)
            if not speeds:
                raise InputError(
                    f"no runtime works on this machine: {_said(reasons)}", fix="`trunkline doctor` shows more"
                )
            best = prefer(speeds)
            known[entry] = {"runtime": best, "images_per_second": speeds, "not_available": reasons, "facts": facts}
            if memory:
                write_atomic(memory, canonical_json(known))
    return str(known[entry]["runtime"])


def prefer(speeds: Mapping[str, float]) -> str:
    """The first runtime, or the fastest one where that is clearly faster.

    Args:
        speeds: Images a second by name, in the order of `MEASURED`.
    """
    first = next(iter(speeds))
    fastest = max(speeds, key=lambda name: speeds[name])
    return fastest if speeds[fastest] > _CLEARLY * speeds[first] else first


def _said(reasons: dict[str, str]) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in reasons.items())


def _read(memory: Path) -> dict[str, Any]:
    """Entries that name a runtime which `auto` may choose; what is not so is measured again."""
    try:
        known = json.loads(memory.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    rows = known.items() if isinstance(known, dict) else ()
    return {key: row for key, row in rows if isinstance(row, dict) and row.get("runtime") in MEASURED}


def measure(model: Path, *, side: int, threads: int, batch: int) -> tuple[dict[str, float], dict[str, str]]:
    """Images a second of each runtime on a graph, best of some short rounds taken in turn.

    Returns:
        Speeds by name in the order of `MEASURED`, and the reasons of those that cannot be used.
    """
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (min(batch, _IMAGES), side, side, 3), dtype=np.uint8)
    sessions: dict[str, Session] = {}
    reasons: dict[str, str] = {}
    try:
        for name in MEASURED:
            reason = _opened(name, model, images, threads, sessions)
            if reason:
                reasons[name] = reason
        return _speeds(sessions, images, threads), reasons
    finally:
        for session in sessions.values():
            session.close()


def _opened(name: str, model: Path, images: np.ndarray, threads: int, sessions: dict[str, Session]) -> str:
    """Open a graph in a runtime and run it once; the reason when that cannot be done."""
    runtime = RUNTIMES.load(name)()
    reason = str(runtime.available())
    if reason:
        return reason
    try:
        session: Session = runtime.open(model, outputs=("pooled",), threads=threads)
    except InputError as error:
        return error.message
    try:
        session.run(images)  # the first run allocates
    except Exception as error:  # what a runtime raises on an operator that it lacks is its own  # noqa: BLE001
        session.close()
        return f"{type(error).__name__}: {error}"
    sessions[name] = session
    return ""


def _speeds(sessions: Mapping[str, Session], images: np.ndarray, threads: int) -> dict[str, float]:
    """Images a second of the best round. Against the first runtime none is faster than its CPU time says as well: other
    programs can take the cores from one of them in every round, and then the clock alone misleads."""
    by_clock, by_cpu = dict.fromkeys(sessions, 0.0), dict.fromkeys(sessions, 0.0)
    start = time.perf_counter()
    rounds = 0
    while sessions and (rounds < _ROUNDS or time.perf_counter() - start < _SECONDS):
        rounds += 1
        for name, session in sessions.items():
            clock, cpu = time.perf_counter(), time.process_time()
            count = sum(len(out["pooled"]) for out in session.stream([images] * threads))
            by_clock[name] = max(by_clock[name], count / (time.perf_counter() - clock))
            by_cpu[name] = max(by_cpu[name], count / max(time.process_time() - cpu, 1e-9))
    first = next(iter(sessions), "")
    return {
        name: round(min(speed, by_clock[first] * by_cpu[name] / by_cpu[first]), 1) for name, speed in by_clock.items()
    }
