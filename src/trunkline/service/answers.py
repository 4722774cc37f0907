"""Answers as tensors of the Open Inference Protocol, and what a model's metadata say of itself. Pure, as `protocol`."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import DataError
from trunkline.core.text import cut
from trunkline.service.protocol import IMAGE, PIXELS, SIZE, Wanted

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.heads.base import Scores, Things
    from trunkline.service.served import Served

ANOMALY = "anomaly_score"
_THINGS: dict[str, tuple[str, list[int]]] = {
    "boxes": ("FP32", [-1, -1, 4]),
    "box_scores": ("FP32", [-1, -1]),
    "box_labels": ("BYTES", [-1, -1]),
    "box_accepted": ("BOOL", [-1, -1]),
}
"""Things of each image by falling score, filled up to the image with the most: there the label is empty, the score 0.
Boxes are x1, y1, x2, y2 as shares of the image's width and height."""
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class Body:
    """A response's body; `header` is the length of its JSON part where binary data follow, else None."""

    data: bytes
    header: int | None


def outputs_of(served: Served) -> dict[str, tuple[str, list[int]]]:
    """A model's outputs: name -> datatype and shape, -1 for the number of images."""
    labels = len(served.labels)
    outputs = {
        "scores": ("FP32", [-1, labels]),
        "label": ("BYTES", [-1]),
        "accepted": ("BOOL", [-1, labels]),
        "unsure": ("BOOL", [-1]),
    }
    if served.task == "detect":
        del outputs["label"]  # a picture has as many as things
        return {**outputs, **_THINGS}
    return {**outputs, ANOMALY: ("FP32", [-1])} if served.anomaly else outputs


def metadata(served: Served, versions: Sequence[str]) -> dict[str, Any]:
    """What `GET /v2/models/{name}` says."""
    return {
        "name": served.name,
        "versions": list(versions),
        "platform": "trunkline_bundle",
        "inputs": [
            {"name": IMAGE, "datatype": "BYTES", "shape": [-1], "parameters": {"content_type": "base64"}},
            {"name": PIXELS, "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
        ],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": shape}
            for name, (datatype, shape) in outputs_of(served).items()
        ],
        "parameters": {
            "task": served.task,
            "labels": list(served.labels),
            "thresholds": dict(served.thresholds),
            "unsure": {label: list(band) for label, band in served.unsure.items()},
            "version": served.version,
            "digest": served.digest,
            "status": served.status,
            "trunk": served.trunk,
            "trunk_digest": served.trunk_digest,
        },
    }


def check_wanted(served: Served, wanted: Sequence[Wanted]) -> None:
    """Make sure that a model has the outputs that are asked for.

    Raises:
        DataError: On one that it has not.
    """
    known = outputs_of(served)
    for number, output in enumerate(wanted):
        if output.name not in known:
            said = f"expected one of {', '.join(known)}, got {cut(output.name)!r}"
            raise DataError(said, where=f"outputs[{number}].name")


def encode(
    served: Served,
    digest: str,
    scores: Sequence[Scores],
    *,
    id: str,  # noqa: A002 (the protocol's word)
    wanted: Sequence[Wanted],
    binary: bool,
) -> Body:
    """The answer on n images.

    Args:
        served: The model that was asked.
        digest: Of the bundle that answered.
        scores: Its answers, of one image each.
        id: The request's, "" for none.
        wanted: Outputs asked for; empty: all.
        binary: Whether they come as binary data where `wanted` is empty.
    """
    tensors = _tensors(served, scores)
    chosen = wanted or [Wanted(name, binary) for name in tensors]
    rows, blobs = [], []
    for output in chosen:
        values = tensors[output.name]
        row: dict[str, Any] = {"name": output.name, "datatype": _datatype(values), "shape": list(values.shape)}
        if output.binary:
            blobs.append(_bytes(values))
            row["parameters"] = {SIZE: len(blobs[-1])}
        else:
            row["data"] = values.ravel().tolist()
        rows.append(row)
    head: dict[str, Any] = {"model_name": served.name, "model_version": served.version}
    if id:
        head["id"] = id
    head["parameters"] = {"digest": digest}
    head["outputs"] = rows
    text = json.dumps(head, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
    return Body(b"".join([text, *blobs]), len(text) if blobs else None)


def _tensors(served: Served, scores: Sequence[Scores]) -> Mapping[str, np.ndarray]:
    import numpy as np

    found = np.concatenate([one.probabilities for one in scores]).clip(0.0, 1.0).astype(np.float32)
    order = sorted(range(len(served.labels)), key=lambda column: served.labels[column])
    best = found[:, order].argmax(axis=1)  # of equal scores the first by name, as `predict` says
    names = np.array([served.labels[column] for column in order], dtype=object)
    tensors = {
        "scores": found,
        "label": names[best],
        "accepted": np.concatenate([one.accepted for one in scores]).astype(bool),
        "unsure": np.concatenate([one.unsure for one in scores]).astype(bool),
    }
    if served.task == "detect":
        del tensors["label"]
        return tensors | _things(served, [thing for one in scores for thing in one.things or ()])
    anomaly = [one.anomaly for one in scores if one.anomaly is not None]
    if anomaly:
        tensors[ANOMALY] = np.concatenate(anomaly).astype(np.float32)
    return tensors


def _things(served: Served, found: Sequence[Things]) -> dict[str, np.ndarray]:
    """Things that are accepted, or nearly."""
    import numpy as np

    least = np.array([served.unsure[label][0] for label in served.labels])
    kept = [np.flatnonzero(one.accepted | (one.scores >= least[one.labels])) for one in found]
    shape = (len(found), max((len(rows) for rows in kept), default=0))
    boxes, scores = np.zeros((*shape, 4), np.float32), np.zeros(shape, np.float32)
    labels, accepted = np.full(shape, "", dtype=object), np.zeros(shape, bool)
    for at, (one, rows) in enumerate(zip(found, kept, strict=True)):
        count = len(rows)
        boxes[at, :count], scores[at, :count] = one.boxes[rows], one.scores[rows]
        labels[at, :count], accepted[at, :count] = [served.labels[n] for n in one.labels[rows]], one.accepted[rows]
    return {"boxes": boxes, "box_scores": scores, "box_labels": labels, "box_accepted": accepted}


def _datatype(values: np.ndarray) -> str:
    return {"f": "FP32", "b": "BOOL", "O": "BYTES"}[values.dtype.kind]


def _bytes(values: np.ndarray) -> bytes:
    """Binary data: little-endian numbers, one byte a truth value, texts each after its length."""
    if values.dtype.kind != "O":
        return values.astype(values.dtype.newbyteorder("<")).tobytes()
    texts = [text.encode("utf-8", "replace") for text in values.ravel()]
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
