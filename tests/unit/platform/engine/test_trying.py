"""The same images in several ways: every model's answers in the order of its images, whatever order they came in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Pictures
from trunkline.algorithms.trunks import Trunk, open_trunk
from trunkline.compute.chips.base import Way
from trunkline.core.settings import Settings
from trunkline.core.types.head import TrainedHead
from trunkline.platform.engine import trying as module
from trunkline.platform.engine.fleet import Model, score
from trunkline.platform.engine.predictor import features_of
from trunkline.platform.engine.trying import Asked, cosine, try_ways

WAYS = (Way("openvino"), Way("onnxruntime"))


def test_cosines_of_rows() -> None:
    a = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [1.0, 1.0]])
    b = np.array([[3.0, 0.0], [5.0, 0.0], [0.0, 0.0], [-1.0, -1.0]])
    np.testing.assert_allclose(cosine(a, b), [1.0, 0.0, 1.0, -1.0])


def model(trunk: Trunk, seed: int) -> Model:
    rng = np.random.default_rng(seed)
    weights = {
        "weight": rng.normal(0, 2, (trunk.card.width, 2)).astype(np.float32),
        "bias": rng.normal(0, 1, 2).astype(np.float32),
    }
    limits = dict.fromkeys(("a", "b"), 0.5)
    config = {"channels": [tap.channels for tap in trunk.card.taps]}
    unsure = dict.fromkeys(("a", "b"), (0.0, 0.5))
    head = TrainedHead("classify", ("a", "b"), trunk.card.digest, weights, config, limits, unsure, {"temperature": 1.0})
    return Model(f"b{seed}", head)


@pytest.mark.parametrize("together", [2, 64])
def test_answers_are_those_of_each_image_by_itself(
    together: int, trunk: Trunk, home: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOGETHER", together)
    settings = Settings(home=home, threads=1)
    files = {f"{number:064x}": pictures.encode(number, size=(32, 32)) for number in range(7)}
    names = list(files)

    def read(digests: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        return ((digest, files[digest]) for digest in digests)

    asked = [
        Asked(model(trunk, 0), tuple(names[::-1]), (("a",),) * 7),
        Asked(model(trunk, 1), (names[5], names[2]), (("a",),) * 2),
    ]
    with ExitStack() as held:
        sessions = {way: held.enter_context(closing(open_trunk(trunk, settings, way=way))) for way in WAYS}
        tried = try_ways(trunk, sessions, names, asked, read=read, settings=settings)
        pixels = {name: pictures.array(number, size=(32, 32)) for number, name in enumerate(names)}
        for way, session in sessions.items():
            for place, one in enumerate(asked):
                table = features_of(session, trunk, [pixels[name] for name in one.images])
                expected = score(one.model.head, table).probabilities
                np.testing.assert_allclose(tried.scores[way][place].probabilities, expected, atol=1e-6)
    assert np.array_equal(tried.cosines[WAYS[0]], np.ones(7)) or np.allclose(tried.cosines[WAYS[0]], 1)
    assert [len(values) for values in tried.cosines.values()] == [7, 7]
