"""Fitted heads as files: safetensors and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from trunkline.core.digest import canonical_json
from trunkline.core.types.head import TrainedHead

if TYPE_CHECKING:
    from trunkline.algorithms.heads.base import Fitted

_SCORES = "cv_scores"


def pack_fitted(fitted: Fitted) -> dict[str, bytes]:
    """A fitted head, with its held-out scores, as files."""
    import numpy as np
    from safetensors.numpy import save

    weights = {f"weight.{name}": np.ascontiguousarray(array) for name, array in fitted.head.weights.items()}
    meta = {"head": fitted.head.meta(), "detail": fitted.detail}
    return {
        "fitted.safetensors": save({**weights, _SCORES: np.ascontiguousarray(fitted.cv_scores)}),
        "fitted.json": canonical_json(meta),
    }


def unpack_fitted(files: Mapping[str, bytes]) -> Fitted:
    """What `pack_fitted` packed."""
    from safetensors.numpy import load

    from trunkline.algorithms.heads.base import Fitted

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
    return Fitted(head, arrays[_SCORES], meta["detail"])
