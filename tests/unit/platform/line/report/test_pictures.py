import io

import numpy as np
import pytest
from PIL import Image

from trunkline.platform.line.report import pictures


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("size", "expected"), [((400, 200), (160, 80)), ((90, 30), (90, 30)), ((4000, 2), (160, 1)), ((1, 1), (1, 1))]
)
def test_thumbnail_keeps_the_whole_picture_in_proportion(size: tuple[int, int], expected: tuple[int, int]) -> None:
    made = opened(pictures.thumbnail(noise(*size)))
    assert (made.size, made.format) == (expected, "JPEG")


def test_overlay_lights_up_where_the_evidence_is() -> None:
    heat = np.zeros((8, 8))
    heat[:4, :4] = 1.0
    made = np.asarray(opened(pictures.overlay(Image.new("RGB", (160, 160), "grey"), heat, top=1.0)), np.int16)
    tint = np.abs(made - made.mean(axis=2, keepdims=True)).mean(axis=2)
    assert tint[10:60, 10:60].mean() > 30
    assert tint[100:, 100:].mean() < 2


def test_heat_is_scaled_for_the_set_and_not_for_each_picture() -> None:
    strong, weak = np.full((4, 4), 10.0), np.full((4, 4), 0.1)
    top = pictures.heat_top([strong, weak])
    grey = Image.new("RGB", (32, 32), "grey")
    bare, faint, hot = (
        np.asarray(opened(pictures.overlay(grey, heat, top=top)), np.float64) for heat in (0 * weak, weak, strong)
    )
    assert top == pytest.approx(10.0)
    assert np.abs(faint - bare).mean() < 0.1 * np.abs(hot - bare).mean()


@pytest.mark.parametrize("heats", [[], [np.zeros((2, 2))], [np.full((2, 2), -1.0)]])
def test_no_evidence_has_a_scale_too(heats: list[np.ndarray]) -> None:
    assert pictures.heat_top(heats) == 1.0


def test_heat_with_nan_is_drawn_as_none() -> None:
    heat = np.array([[np.nan, 1.0], [-5.0, np.inf]])
    assert opened(pictures.overlay(noise(20, 10), heat, top=1.0)).size == (20, 10)


@pytest.mark.parametrize(("heat", "top"), [(np.zeros(4), 1.0), (np.zeros((2, 2)), 0.0), (np.zeros((0, 2)), 1.0)])
def test_wrong_heat_is_refused(heat: np.ndarray, top: float) -> None:
    with pytest.raises(ValueError, match="expected heat of shape"):
        pictures.overlay(noise(8, 8), heat, top=top)


@pytest.mark.parametrize(
    ("count", "size"), [(1, (36, 36)), (3, (108, 36)), (4, (144, 36)), (5, (144, 72)), (50, (144, 72))]
)
def test_preview_is_small_valid_and_the_same_each_time(count: int, size: tuple[int, int]) -> None:
    images = [noise(60 + i, 50, i) for i in range(count)]
    made = pictures.preview(images)
    image = opened(made)
    image.load()
    assert (image.size, image.format, len(made) <= pictures.PREVIEW_BYTES) == (size, "PNG", True)
    assert pictures.preview(images) == made


def test_preview_shows_the_pictures() -> None:
    sheet = opened(pictures.preview([Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "blue")]))
    rgb = sheet.convert("RGB")
    assert (rgb.getpixel((10, 10)), rgb.getpixel((50, 10))) == ((255, 0, 0), (0, 0, 255))


def test_preview_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        pictures.preview([])


@pytest.mark.parametrize(
    ("data", "start"), [(b"\x89PNG\r\n", "data:image/png;base64,"), (b"\xff\xd8\xff", "data:image/jpeg;base64,")]
)
def test_data_uri(data: bytes, start: str) -> None:
    assert pictures.data_uri(data).startswith(start)
