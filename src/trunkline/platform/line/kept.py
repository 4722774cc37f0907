"""What stations keep, read back with care: what was torn or is of another shape is dropped and made again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from trunkline.core.digest import canonical_json
from trunkline.core.types.head import TrainedHead

if TYPE_CHECKING:
    from trunkline.algorithms.heads.base import Fitted, Head
    from trunkline.platform.line.stations import StationStore

_SCORES = "cv_scores"
_CPU = "cpu_seconds"
_MOST_IMAGES = 1 << 53  # whole numbers that a float can hold


def pack_fitted(fitted: Fitted, cpu_seconds: float = 0.0) -> dict[str, bytes]:
    """A fitted head, with its held-out scores and what it cost, as files."""
    import numpy as np
    from safetensors.numpy import save

    weights = {f"weight.{name}": np.ascontiguousarray(array) for name, array in fitted.head.weights.items()}
    meta = {"head": fitted.head.meta(), "detail": fitted.detail, _CPU: cpu_seconds}
    return {
        "fitted.safetensors": save({**weights, _SCORES: np.ascontiguousarray(fitted.cv_scores)}),
        "fitted.json": canonical_json(meta),
    }


def unpack_fitted(files: Mapping[str, bytes]) -> tuple[Fitted, float]:
    """What `pack_fitted` packed, and the CPU seconds that it cost.

    Raises:
        ValueError: When the files are torn, or not those of `pack_fitted`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    from trunkline.algorithms.heads.base import Fitted

    try:
        arrays, meta = load(files["fitted.safetensors"]), json.loads(files["fitted.json"])
        row = meta["head"]
        head = TrainedHead(
            task=row["task"],
            labels=tuple(row["labels"]),
            trunk=row["trunk"],
            weights={name.removeprefix("weight."): array for name, array in arrays.items() if name != _SCORES},
            config=row["config"],
            thresholds=row["thresholds"],
            unsure={label: (band[0], band[1]) for label, band in row["unsure"].items()},
            calibration=row["calibration"],
        )
        return Fitted(head, arrays[_SCORES], dict(meta["detail"])), _seconds(meta.get(_CPU, 0.0))
    except (AttributeError, LookupError, TypeError, OverflowError, RecursionError, SafetensorError) as error:
        raise ValueError(f"expected a fitted head, got files that are not whole: {error!r}") from error


def fitted_of(
    stations: StationStore,
    key: str,
    *,
    kind: Head,
    labels: Sequence[str],
    taps: Mapping[str, tuple[int, int]],
    rows: int,
) -> tuple[Fitted, float] | None:
    """The head that an earlier run fitted on the same inputs, and its CPU seconds; None where there is none.

    Args:
        stations: Where it is kept.
        key: Digest of the inputs.
        kind: The task.
        labels: The labels that it must have.
        taps: Channels of the trunk's taps and the side of their maps, by name.
        rows: Training images.
    """
    from trunkline.algorithms.heads.base import check

    files = stations.get("fit", key)
    if files is None:
        return None
    try:
        fitted, cpu = unpack_fitted(files)
        if fitted.head.labels != tuple(labels) or fitted.cv_scores.shape != (rows, len(labels)):
            raise ValueError(f"expected held-out scores of {rows} images and labels {labels}")
        check(kind, fitted.head, taps)
    except ValueError:
        stations.drop("fit", key)
        return None
    return fitted, cpu


def inspected_of(stations: StationStore, key: str, *, images: int) -> dict[str, Any] | None:
    """What an earlier run found in the same images: splits, groups, findings, cpu_seconds; None where there is none.

    Args:
        stations: Where it is kept.
        key: Digest of the inputs.
        images: Images that it must be about.
    """
    from trunkline.core.types.dataset import SPLITS, Finding

    known = stations.get_json("inspect", key)
    if known is None:
        return None
    try:
        splits, groups = known["splits"], known["groups"]
        fits = len(splits) == len(groups) == images and set(splits) <= set(SPLITS)
        if not fits or not all(type(group) is int and 0 <= group < images for group in groups):
            raise ValueError(f"expected splits and groups of {images} images")
        for row in known["findings"]:
            Finding.from_json(row)
        return {**known, _CPU: _seconds(known.get(_CPU, 0.0))}
    except (AttributeError, LookupError, TypeError, ValueError, OverflowError):
        stations.drop("inspect", key)
        return None


def image_seconds(stations: StationStore, station: Literal["intake", "embed"], key: str) -> float:
    """CPU seconds that a station took an image so far; 0 where nothing is known.

    Args:
        stations: Where it is kept.
        station: The station.
        key: Digest of what the cost of an image depends on: the folders, or the trunk and its outputs.
    """
    cpu, images = _spent(stations, station, key)
    return cpu / images if images else 0.0


def add_images(
    stations: StationStore, station: Literal["intake", "embed"], key: str, cpu_seconds: float, images: int
) -> None:
    """Remember what some images more have cost."""
    cpu, before = _spent(stations, station, key)
    stations.drop(station, key)
    stations.put_json(station, key, {_CPU: cpu + cpu_seconds, "images": before + images})


def _spent(stations: StationStore, station: str, key: str) -> tuple[float, int]:
    known = stations.get_json(station, key)
    try:
        cpu, images = _seconds(known[_CPU]), known["images"]
        return (cpu, images) if type(images) is int and 0 < images <= _MOST_IMAGES else (0.0, 0)
    except (LookupError, TypeError, ValueError, OverflowError):
        return 0.0, 0


def _seconds(value: Any) -> float:
    """Seconds that something cost.

    Raises:
        ValueError: When they are not finite or below 0: a budget would be kept with them that was not.
    """
    seconds = float(value)
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"expected seconds of at least 0, got {seconds}")
    return seconds
