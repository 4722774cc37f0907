"""What the scenarios of one run share is made once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trunkline.core import images
from trunkline.core.settings import Settings
from trunkline.platform.line import workshop
from trunkline.platform.line.report.pictures import preview
from trunkline.platform.line.workshop import Workshop


def files(pictures: Any) -> dict[str, bytes]:
    return {f"{number:064}": pictures.encode(number, size=(40 + number, 30)) for number in range(4)}


def test_tiles_make_the_same_contact_sheet_as_whole_pictures(pictures: Any, home: Path) -> None:
    shop, data = Workshop(Settings(home=home)), files(pictures)
    whole = [Image.open(io.BytesIO(content)) for content in data.values()]
    assert preview([shop.tile(image, content) for image, content in data.items()]) == preview(whole)


@pytest.mark.parametrize(("room", "decoded"), [(4, 4), (3, 8)])
def test_a_tile_is_made_once_while_there_is_room(
    pictures: Any, home: Path, monkeypatch: pytest.MonkeyPatch, room: int, decoded: int
) -> None:
    made: list[bytes] = []

    def decode(data: bytes, *, max_pixels: int) -> Image.Image:
        made.append(data)
        return Image.new("RGB", (9, 9))

    monkeypatch.setattr(images, "decode", decode)
    monkeypatch.setattr(workshop, "_TILES", room)
    shop = Workshop(Settings(home=home))
    for image, content in [*files(pictures).items()] * 2:
        shop.tile(image, content)
    assert len(made) == decoded
