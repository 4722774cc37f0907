"""What stations keep, read back with care: what was torn or is of another shape is dropped and made again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trunkline.core.digest import canonical_json
from trunkline.core.types.head import TrainedHead

if TYPE_CHECKING:
    from trunkline.algorithms.heads.base import Fitted, Head
    from trunkline.platform.line.stations import StationStore

_SCORES = "cv_scores"
_CPU = "cpu_seconds"
_EMBED = "embed"


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
        return Fitted(head, arrays[_SCORES], dict(meta["detail"])), float(meta.get(_CPU, 0.0))
    except (AttributeError, LookupError, TypeError, RecursionError, SafetensorError) as error:
        raise ValueError(f"expected a fitted head, got files that are not whole: {error!r}") from error


def fitted_of(
    stations: StationStore, key: str, *, kind: Head, labels: Sequence[str], channels: Mapping[str, int], rows: int
) -> tuple[Fitted, float] | None:
    """The head that an earlier run fitted on the same inputs, and its CPU seconds; None where there is none.

    Args:
        stations: Where it is kept.
        key: Digest of the inputs.
        kind: The task.
        labels: The labels that it must have.
        channels: Channels of the trunk's taps, by name.
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
        check(kind, fitted.head, channels)
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
        if not fits or not all(type(group) is int for group in groups):
            raise ValueError(f"expected splits and groups of {images} images")
        for row in known["findings"]:
            Finding.from_json(row)
        return {**known, _CPU: float(known.get(_CPU, 0.0))}
    except (AttributeError, LookupError, TypeError, ValueError):
        stations.drop("inspect", key)
        return None


def embed_seconds(stations: StationStore, key: str) -> float:
    """CPU seconds that the trunk took an image so far; 0 where nothing is known.

    Args:
        stations: Where it is kept.
        key: Digest of the trunk and its outputs.
    """
    cpu, images = _embedded(stations, key)
    return cpu / images if images else 0.0


def add_embedded(stations: StationStore, key: str, cpu_seconds: float, images: int) -> None:
    """Remember what it cost to embed some images more."""
    cpu, before = _embedded(stations, key)
    stations.drop(_EMBED, key)
    stations.put_json(_EMBED, key, {_CPU: cpu + cpu_seconds, "images": before + images})


def _embedded(stations: StationStore, key: str) -> tuple[float, int]:
    known = stations.get_json(_EMBED, key)
    try:
        return float(known[_CPU]), int(known["images"])
    except (LookupError, TypeError, ValueError):
        return 0.0, 0
