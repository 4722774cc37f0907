"""Models of one trunk in two precisions: two lanes, each with answers of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Pictures
from tests.unit.platform.engine.test_trying import model
from trunkline.algorithms.trunks import Trunk
from trunkline.algorithms.trunks.int8 import make_int8
from trunkline.compute.chips.base import Way
from trunkline.core.settings import Settings
from trunkline.core.types.observation import Reading
from trunkline.platform.engine.engine import Engine
from trunkline.platform.engine.predictor import Predictor


def test_each_precision_is_a_lane_that_ends_with_its_last_model(trunk: Trunk, home: Path, pictures: Pictures) -> None:
    settings = Settings(home=home, threads=1)
    image = pictures.array(0, size=(32, 32))
    way = Way("openvino", "int8", calibration=make_int8(trunk, ("a" * 64,), lambda: image[None]))
    one = model(trunk, 0)
    expected = {}
    for precision, taken in (("fp32", None), ("int8", way)):
        predictor = Predictor([one], trunk, settings, way=taken)
        (seen,) = predictor.predict([Reading("x", 0, 0.0, image)])
        expected[precision] = next(said.score for said in seen.predictions if said.label == "a")
        assert predictor.precision == precision
        predictor.close()
    assert expected["fp32"] != expected["int8"]
    engine = Engine(settings)
    engine.put({"fp32": one}, trunk)
    engine.put({"int8": one}, trunk, way)
    for key, value in expected.items():
        found = engine.ask(Image.fromarray(image), [key]).result(timeout=30).scores[key].probabilities[0, 0]
        np.testing.assert_allclose(found, value, atol=1e-6)
    with pytest.raises(ValueError, match="expected models on one trunk in one precision, got 2"):
        engine.ask(Image.fromarray(image), ["fp32", "int8"])
    engine.put({"int8": one}, trunk)  # moves
    assert set(engine.models) == {"fp32", "int8"}
    answer = engine.ask(Image.fromarray(image), ["fp32", "int8"]).result(timeout=30)
    assert np.array_equal(answer.scores["fp32"].probabilities, answer.scores["int8"].probabilities)
    engine.close()
