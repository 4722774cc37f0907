"""Answers in every runtime and precision: the same within a stated tolerance, alone or in a batch.

A plugin's author adds the way to `WAYS` with the tolerance that it keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.contracts.conftest import Trunks
from tests.unit.platform.engine.test_trying import model
from trunkline.algorithms.trunks import Trunk, TrunkSession, open_trunk
from trunkline.algorithms.trunks.int8 import make_int8
from trunkline.compute.chips import CHIPS
from trunkline.compute.chips.base import Way
from trunkline.core.settings import Settings
from trunkline.platform.engine.fleet import Fleet, score
from trunkline.platform.engine.predictor import features_of
from trunkline.platform.engine.trying import cosine

WAYS = {
    Way("openvino"): (1e-4, 1e-4),
    Way("onnxruntime"): (1e-4, 1e-4),
    Way("openvino", "bf16"): (1e-2, 0.1),
    Way("openvino", "fp16"): (1e-3, 0.02),
    Way("openvino", "int8"): (3e-2, 0.1),
    Way("onnxruntime", "int8"): (3e-2, 0.1),
}
"""Way -> least cosine of features with float32, below 1; largest difference of a head's probability."""
each = pytest.mark.parametrize("way", WAYS, ids=str)
Open = Callable[..., TrunkSession]


def pictures(size: int, count: int, seed: int = 0) -> list[np.ndarray]:
    """Smooth pictures, as photographs are: noise has no shapes to calibrate on."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    coarse = (Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)) for _ in range(count))
    return [np.asarray(one.resize((size, size), Image.Resampling.BICUBIC)) for one in coarse]


@pytest.fixture
def opened(trunks: Trunks, tmp_path: Path) -> Iterator[Open]:
    """Opens a trunk in a way; closed at the end."""
    sessions: list[TrunkSession] = []

    def call(trunk: Trunk, way: Way, *, dense: bool = False) -> TrunkSession:
        if way.precision == "int8":
            stack = np.stack(pictures(trunk.card.size, 8, seed=9))
            way = replace(way, calibration=make_int8(trunk, ("9" * 64,), lambda: stack, dense=dense))
        sessions.append(open_trunk(trunk, Settings(home=trunks.home, threads=1), dense=dense, way=way))
        return sessions[-1]

    yield call
    for session in sessions:
        session.close()


def test_every_way_of_the_cpu_is_tried() -> None:
    assert set(WAYS) == set(CHIPS.load("cpu")().ways())


@each
def test_features_and_answers_are_near_those_in_float32(way: Way, trunks: Trunks, opened: Open) -> None:
    trunk = trunks["test-trunk"]
    inputs = pictures(trunk.card.size, 8)
    floats = features_of(opened(trunk, Way("openvino")), trunk, inputs)
    session = opened(trunk, way)
    ours = features_of(session, trunk, inputs)
    far, apart = WAYS[way]
    assert cosine(ours.pooled, floats.pooled).min() > 1 - far
    for seed in range(8):
        head = model(trunk, seed).head
        difference = np.abs(score(head, ours).probabilities - score(head, floats).probabilities).max()
        assert difference < apart, (seed, difference)
    assert session.precision in (way.precision, "fp32")


@each
def test_an_image_gives_the_same_alone_in_a_batch_and_among_a_thousand_heads(
    way: Way, trunks: Trunks, opened: Open
) -> None:
    trunk = trunks["test-trunk"]
    inputs = pictures(trunk.card.size, 5)
    session = opened(trunk, way)
    batch = features_of(session, trunk, inputs)
    alone = np.concatenate([features_of(session, trunk, [one]).pooled for one in inputs])
    far = 0.0 if session.precision == "fp32" else 1e-3 * float(np.abs(alone).max())
    assert np.abs(batch.pooled - alone).max() <= far
    few = {str(seed): model(trunk, seed) for seed in range(3)}
    many = {**few, **{f"m{number}": model(trunk, number % 50) for number in range(997)}}
    small, large = (Fleet(trunk.card.digest).changed(models).answers(batch) for models in (few, many))
    for key in few:
        np.testing.assert_allclose(small[key].probabilities, large[key].probabilities, atol=1e-5)


@each
def test_maps_are_near_those_in_float32(way: Way, trunks: Trunks, opened: Open) -> None:
    trunk = trunks["test-trunk"]
    inputs = pictures(trunk.card.size, 4)
    floats = opened(trunk, Way("openvino"), dense=True).embed(inputs)
    ours = opened(trunk, way, dense=True).embed(inputs)
    assert list(ours) == list(floats)
    for name in ours:
        flat = [out[name].reshape(len(inputs), -1) for out in (ours, floats)]
        assert cosine(*flat).min() > 1 - WAYS[way][0], name


@each
def test_a_bad_batch_leaves_the_session_whole(way: Way, trunks: Trunks, opened: Open) -> None:
    trunk = trunks["test-trunk"]
    session = opened(trunk, way)
    with pytest.raises(ValueError, match="expected uint8 pictures"):
        session.embed([np.zeros((trunk.card.size, trunk.card.size, 3), np.float32)])
    assert len(session.embed(pictures(trunk.card.size, 2))["pooled"]) == 2


@pytest.mark.parametrize("way", [way for way in WAYS if way.precision != "int8"], ids=str)
def test_the_real_trunk_agrees_as_well(way: Way, home: Path) -> None:
    from trunkline.algorithms.trunks import resolve
    from trunkline.core.errors import InputError

    try:
        trunk = resolve("efficientnet-lite0", home)
    except InputError as error:
        pytest.skip(f"the trunk cannot be made here: {error.message}")
    inputs = pictures(trunk.card.size, 3)
    settings = Settings(home=home, threads=1)
    with (
        closing(open_trunk(trunk, settings, way=Way("openvino"))) as plain,
        closing(open_trunk(trunk, settings, way=way)) as session,
    ):
        floats, ours = (one.embed(inputs)["pooled"] for one in (plain, session))
    assert cosine(ours, floats).min() > 1 - WAYS[way][0]
