"""The response encoder: tensors as the protocol has them, in JSON and as binary data."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tritonclient.http import InferResult

from trunkline.algorithms.heads.base import Scores, Things
from trunkline.core.errors import DataError
from trunkline.service.answers import check_wanted, encode, metadata, outputs_of
from trunkline.service.protocol import Wanted
from trunkline.service.served import Served

SERVED = Served("steel", "3", "d" * 64, "classify", ("b", "a", "划痕"), {}, {}, "passed", "tiny", "t" * 64)
SCORES = [
    Scores(np.array([[0.25, 0.25, 0.5]]), np.array([[False, False, True]]), np.array([False])),
    Scores(np.array([[0.4, 0.4, -1e-9]]), np.array([[False, False, False]]), np.array([True])),
]
WANTED = {
    "scores": np.array([[0.25, 0.25, 0.5], [0.4, 0.4, 0.0]], np.float32),
    "label": np.array(["划痕", "a"], dtype=object),  # of equal scores the first by name
    "accepted": np.array([[False, False, True], [False, False, False]]),
    "unsure": np.array([False, True]),
}


def encoded(**options: Any) -> Any:
    given: dict[str, Any] = {"id": "7", "wanted": (), "binary": False, **options}
    return encode(SERVED, "e" * 64, SCORES, **given)


def as_text(values: np.ndarray) -> np.ndarray:
    """Texts of a BYTES tensor, which come as bytes where they are binary data."""
    return np.array([one.decode() if isinstance(one, bytes) else one for one in values.ravel()], dtype=object)


@pytest.mark.parametrize("binary", [False, True])
def test_every_output_is_read_by_another_maker_s_client(binary: bool) -> None:
    body = encoded(binary=binary)
    read = InferResult.from_response_body(body.data, header_length=body.header)
    assert [one["name"] for one in read.get_response()["outputs"]] == list(WANTED)
    for name, values in WANTED.items():
        got = read.as_numpy(name)
        assert np.array_equal(as_text(got) if name == "label" else got, values), name


def test_head_of_an_answer() -> None:
    head = json.loads(encoded(wanted=[Wanted("unsure", False)]).data)
    assert head == {
        "model_name": "steel", "model_version": "3", "id": "7", "parameters": {"digest": "e" * 64},
        "outputs": [{"name": "unsure", "datatype": "BOOL", "shape": [2], "data": [False, True]}],
    }  # fmt: skip
    assert "id" not in json.loads(encoded(id="").data)


def test_only_what_is_asked_for_comes_in_the_order_asked() -> None:
    body = encoded(wanted=[Wanted("unsure", True), Wanted("label", False)])
    assert body.header
    rows = json.loads(body.data[: body.header])["outputs"]
    assert [(row["name"], row.get("parameters"), row.get("data")) for row in rows] == [
        ("unsure", {"binary_data_size": 2}, None), ("label", None, ["划痕", "a"]),
    ]  # fmt: skip
    assert body.data[body.header :] == b"\0\1"


def test_anomaly_scores_are_an_output_of_anomaly_models() -> None:
    served = replace(SERVED, task="anomaly")
    rows = [replace(one, anomaly=np.array([2.5])) for one in SCORES]
    body = encode(served, "e", rows, id="", wanted=[Wanted("anomaly_score", False)], binary=False)
    assert json.loads(body.data)["outputs"] == [
        {"name": "anomaly_score", "datatype": "FP32", "shape": [2], "data": [2.5, 2.5]}
    ]
    assert set(outputs_of(served)) - set(outputs_of(SERVED)) == {"anomaly_score"}
    assert [one["name"] for one in metadata(served, ["3"])["outputs"]] == list(outputs_of(served))


def test_output_that_a_model_has_not() -> None:
    check_wanted(SERVED, [Wanted("scores", False)])
    with pytest.raises(DataError, match=r"outputs\[0\].name: expected one of scores, .*got 'anomaly_score'"):
        check_wanted(SERVED, [Wanted("anomaly_score", False)])


BOXED = replace(SERVED, task="detect", unsure={"b": (0.2, 0.4), "a": (0.2, 0.4), "划痕": (0.2, 0.4)})
NONE = np.zeros(0)


def found(*rows: tuple[list[float], int, float, bool]) -> Scores:
    """An image's things: box, label, score, accepted."""
    boxes, labels, scores, accepted = zip(*rows, strict=True) if rows else (np.zeros((0, 4)), NONE, NONE, NONE)
    things = Things(np.array(boxes), np.array(labels, int), np.array(scores), np.array(accepted, bool))
    return Scores(np.array([[0.9, 0.0, 0.3]]), np.array([[True, False, False]]), np.array([True]), things=(things,))


@pytest.mark.parametrize("binary", [False, True])
def test_things_are_filled_up_to_the_image_with_the_most(binary: bool) -> None:
    corner, whole = [0.0, 0.0, 0.5, 0.25], [0.0, 0.0, 1.0, 1.0]
    scores = [found((corner, 2, 0.9, True), (whole, 0, 0.3, False), (whole, 1, 0.1, False)), found()]
    body = encode(BOXED, "e" * 64, scores, id="", wanted=(), binary=binary)
    read = InferResult.from_response_body(body.data, header_length=body.header)
    names = [one["name"] for one in read.get_response()["outputs"]]
    assert names == list(outputs_of(BOXED)) == [
        "scores", "accepted", "unsure", "boxes", "box_scores", "box_labels", "box_accepted"
    ]  # fmt: skip
    assert read.as_numpy("boxes").tolist() == [[corner, whole], [[0.0] * 4] * 2]
    np.testing.assert_allclose(read.as_numpy("box_scores"), [[0.9, 0.3], [0, 0]], rtol=1e-6)
    assert as_text(read.as_numpy("box_labels")).tolist() == ["划痕", "b", "", ""]
    assert read.as_numpy("box_accepted").tolist() == [[True, False], [False, False]]


def test_images_without_things_have_none() -> None:
    body = encode(BOXED, "e" * 64, [found()], id="", wanted=[Wanted("boxes", False)], binary=False)
    assert json.loads(body.data)["outputs"] == [{"name": "boxes", "datatype": "FP32", "shape": [1, 0, 4], "data": []}]
