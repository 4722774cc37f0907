"""How long a trunk takes on one image on this machine: measured once, remembered in `HOME/latency.json`.

It is the same for every model on the trunk, so a thousand models do not each time it. It is measured again after a
day, for a machine that was busy when it was measured must not be called slow for ever.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.compute.chips.machine import machine
from trunkline.core.digest import canonical_json, digest_json
from trunkline.core.files import locked, write_atomic

if TYPE_CHECKING:
    from trunkline.algorithms.trunks import Trunk, TrunkSession
    from trunkline.core.settings import Settings

_IMAGES = 12  # single images timed
_DAY = 86_400.0  # seconds that a measurement holds


def single_ms(
    trunk: Trunk, settings: Settings, session: Callable[[], TrunkSession], *, dense: bool = False
) -> list[float]:
    """Milliseconds that a trunk takes on single images, one entry an image.

    Args:
        trunk: The trunk.
        settings: Home, threads, runtime.
        session: Opens the trunk; called only when there is no fresh measurement.
        dense: With its maps.

    Raises:
        StorageError: When the home cannot be written.
    """
    facts = {
        "machine": machine(), "trunk": trunk.card.digest, "dense": dense,
        "threads": settings.threads, "runtime": settings.runtime,
    }  # fmt: skip
    entry, memory = digest_json(facts), settings.home / "latency.json"
    row = _read(memory).get(entry)
    if row is not None:
        return list(row["ms"])
    times = _measured(session(), trunk.card.size)
    with locked(settings.home / "locks" / "latency.lock"):
        known = {**_read(memory), entry: {"ms": times, "at": time.time(), "facts": facts}}
        write_atomic(memory, canonical_json(known), durable=False)
    return times


def _measured(session: TrunkSession, side: int) -> list[float]:
    import numpy as np

    image: Any = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    session.embed([image])  # the first run allocates
    times = []
    for _ in range(_IMAGES):
        start = time.perf_counter()
        session.embed([image])
        times.append(round(1e3 * (time.perf_counter() - start), 3))
    return times


def _read(memory: Path) -> dict[str, dict[str, Any]]:
    """Fresh measurements; what is old or not one is measured again."""
    try:
        known = json.loads(memory.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    rows = known.items() if isinstance(known, dict) else ()
    return {key: row for key, row in rows if isinstance(row, dict) and _numbers(row.get("ms")) and _fresh(row)}


def _numbers(values: object) -> bool:
    return isinstance(values, Sequence) and len(values) > 0 and all(isinstance(v, int | float) for v in values)


def _fresh(row: dict[str, Any]) -> bool:
    at = row.get("at")
    return isinstance(at, int | float) and 0 <= time.time() - at < _DAY
