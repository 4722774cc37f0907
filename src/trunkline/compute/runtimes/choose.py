"""Which runtime is the faster one here: measured once, then remembered in `HOME/runtimes.json`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from trunkline.compute.chips.machine import machine
from trunkline.compute.runtimes import MEASURED, RUNTIMES
from trunkline.core.digest import canonical_json, digest_json
from trunkline.core.errors import InputError
from trunkline.core.files import locked, write_atomic

_ROUNDS = 2  # timed rounds a runtime, in turn, so that a slow moment hits both


def choose(model: Path, *, key: str, side: int, home: Path, threads: int, batch: int, wanted: str = "auto") -> str:
    """The runtime to use for a graph.

    Args:
        model: The graph.
        key: Digest that names the graph.
        side: Height and width of its input, pixels.
        home: Where the choice is remembered.
        threads: CPU threads.
        batch: Images a run.
        wanted: A runtime's name, or "auto" for the faster one.

    Raises:
        NotFoundError: On an unknown name.
        InputError: When no runtime works on this machine.
    """
    if wanted != "auto":
        reason = RUNTIMES.load(wanted, where="setting runtime")().available()
        if reason:
            raise InputError(f"runtime {wanted!r} cannot be used here: {reason}", fix="`trunkline doctor` shows more")
        return wanted
    memory = home / "runtimes.json"
    facts = {"machine": machine(), "graph": key, "threads": threads, "batch": batch}
    entry = digest_json(facts)
    known = _read(memory)
    if entry in known:
        return str(known[entry]["runtime"])
    with locked(home / "locks" / "runtimes.lock"):
        known = _read(memory)
        if entry not in known:
            speeds, reasons = measure(model, side=side, threads=threads, batch=batch)
            if not speeds:
                raise InputError(f"no runtime works on this machine: {reasons}", fix="`trunkline doctor` shows more")
            best = max(speeds, key=lambda name: speeds[name])
            known[entry] = {"runtime": best, "images_per_second": speeds, "not_available": reasons, "facts": facts}
            write_atomic(memory, canonical_json(known))
    return str(known[entry]["runtime"])


def _read(memory: Path) -> dict[str, Any]:
    try:
        known = json.loads(memory.read_bytes())
    except (FileNotFoundError, ValueError):  # never measured, or not ours any more: measured again
        return {}
    return known if isinstance(known, dict) else {}


def measure(model: Path, *, side: int, threads: int, batch: int) -> tuple[dict[str, float], dict[str, str]]:
    """Images a second of each runtime on a graph, best of two short rounds taken in turn.

    Returns:
        Speeds by name, and the reasons of those that cannot be used.
    """
    import numpy as np

    images = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
    sessions, reasons = {}, {}
    for name in MEASURED:
        runtime = RUNTIMES.load(name)()
        reason = runtime.available()
        if reason:
            reasons[name] = reason
            continue
        sessions[name] = runtime.open(model, outputs=("pooled",), threads=threads)
        sessions[name].run(images[:1])
    speeds = dict.fromkeys(sessions, 0.0)
    for _ in range(_ROUNDS):
        for name, session in sessions.items():
            start = time.perf_counter()
            count = sum(len(out["pooled"]) for out in session.stream([images] * threads))
            speeds[name] = max(speeds[name], round(count / (time.perf_counter() - start), 1))
    for session in sessions.values():
        session.close()
    return speeds, reasons
