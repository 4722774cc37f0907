"""Collecting all samples: what cannot be had is told with its reason, and the rest goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.core.errors import StorageError, TrunklineError
from trunkline.core.files import locked, storage_errors
from trunkline.platform.samples.base import Collected, Progress, SampleSet

if TYPE_CHECKING:
    from trunkline.core.types.scenario import Scenario


def collect_all(home: Path, names: Sequence[str], progress: Progress | None = None) -> Collected:
    """Collect the named samples below `HOME/samples`; two processes take turns.

    Args:
        home: The home folder.
        names: Names from the table of samples.
        progress: Told of images done and images in all, for one sample after the other.

    Raises:
        StorageError: When the disk is full or cannot be written.
    """
    from trunkline.platform.samples import SAMPLES

    into = home / "samples"
    sets: list[SampleSet] = []
    missing: list[tuple[str, str]] = []
    with locked(home / "locks" / "samples.lock"), storage_errors(into):
        into.mkdir(parents=True, exist_ok=True)
        for name in names:
            try:
                sets.extend(SAMPLES.load(name)().collect(into, progress))
            except StorageError:
                raise
            except TrunklineError as error:
                missing.append((name, str(error)))
    return Collected(tuple(sets), tuple(missing))


def scenarios(sets: Sequence[SampleSet]) -> list[Scenario]:
    """All scenarios that can be made of the sets; the lists of images that they use are written beside the images."""
    from trunkline.platform.samples import SAMPLES

    found: list[Scenario] = []
    for origin in dict.fromkeys(s.origin for s in sets):
        found.extend(SAMPLES.load(origin)().scenarios([s for s in sets if s.origin == origin]))
    return found
