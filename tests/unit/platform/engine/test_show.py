"""Copies of images with boxes on them; the images themselves stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from trunkline.core.drawing import Mark, drawn
from trunkline.core.errors import ConfigError
from trunkline.core.settings import Settings
from trunkline.core.types.observation import Observation, Prediction
from trunkline.platform.engine.show import Show


def seen(source: Path, *boxes: tuple[float, float, float, float]) -> Observation:
    predictions = tuple(Prediction("dent", 0.9, box, True) for box in boxes)
    return Observation(str(source), 0, 0.0, predictions, ("dent",), False, "0" * 64)


def changed(before: Path, after: Path) -> np.ndarray:
    pictures = [np.asarray(Image.open(path).convert("RGB"), int) for path in (before, after)]
    return np.abs(pictures[0] - pictures[1]).max(axis=2) > 60


def test_boxes_are_drawn_where_they_are(tmp_path: Path, home: Path) -> None:
    source = tmp_path / "a.png"
    Image.new("RGB", (200, 160), "black").save(source)
    path = Show(tmp_path / "out", Settings(home=home)).add(str(source), [("m", seen(source, (40, 60, 120, 130)))])
    mask = changed(source, path)
    rows, columns = np.nonzero(mask[60:])
    assert (path.name, columns.min(), columns.max(), rows.max() + 60) == (
        "a.jpg",
        pytest.approx(40, abs=2),
        pytest.approx(120, abs=2),
        pytest.approx(130, abs=2),
    )
    assert not mask[70:125, 45:115].any()  # what is inside is left


def test_images_of_one_name_do_not_take_each_others_place(tmp_path: Path, home: Path, pictures: Any) -> None:
    show, files = Show(tmp_path / "out", Settings(home=home)), []
    for folder in ("a", "b"):
        files.append(tmp_path / folder / "1.png")
        files[-1].parent.mkdir()
        files[-1].write_bytes(pictures.encode())
    names = [show.add(str(file), [("m", seen(file))]).name for file in (*files, files[0])]
    assert names == ["1.jpg", "1-2.jpg", "1.jpg"]


def test_the_image_itself_is_never_drawn_on(tmp_path: Path, home: Path, pictures: Any) -> None:
    source = tmp_path / "1.jpg"
    source.write_bytes(pictures.encode(form="JPEG"))
    before = source.read_bytes()
    with pytest.raises(ConfigError, match="expected another folder than that of the images"):
        Show(tmp_path, Settings(home=home)).add(str(source), [("m", seen(source, (1, 1, 9, 9)))])
    assert source.read_bytes() == before


def test_odd_boxes_and_texts_are_borne() -> None:
    image = Image.new("L", (30, 20))
    marks = [
        Mark((0, 0, 29.9, 19.9), "x" * 200, 99),
        Mark((28, 18, 30, 20), "\u94dc\n\0", 1, faint=True),
        Mark((3, 3, 3.1, 3.1)),
    ]
    assert (drawn(image, marks).size, image.getextrema()) == ((30, 20), (0, 0))
