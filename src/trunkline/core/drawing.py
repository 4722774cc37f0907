"""Boxes drawn on pictures, with their labels and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

# Okabe and Ito (2008): colours that people who see fewer of them can tell apart.
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
_TEXT = 11  # pixels


@dataclass(frozen=True, slots=True)
class Mark:
    """A box to draw, in pixels of the picture.

    Attributes:
        box: x1, y1, x2, y2.
        text: What stands at it; "" for nothing.
        colour: Number of its colour; the same number is the same colour in every picture.
        faint: Drawn thin, for what is not accepted.
    """

    box: tuple[float, float, float, float]
    text: str = ""
    colour: int = 0
    faint: bool = False


def drawn(image: Image.Image, marks: Sequence[Mark]) -> Image.Image:
    """A copy of an RGB picture with boxes on it; those that come first lie on top."""
    from PIL import ImageDraw, ImageFont

    picture = image.convert("RGB")
    if picture is image:
        picture = image.copy()
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(_TEXT)
    line = max(1, round(max(picture.size) / 240))
    for mark in reversed(marks):
        colour = _COLOURS[mark.colour % len(_COLOURS)]
        pen.rectangle(mark.box, outline=colour, width=1 if mark.faint else line)
        if mark.text:
            left, top, right, bottom = pen.textbbox((0, 0), mark.text, font=font)
            width, height = right - left + 4, bottom - top + 4
            x = max(0.0, min(mark.box[0], picture.width - width))
            y = mark.box[1] - height if mark.box[1] >= height else mark.box[1]
            pen.rectangle((x, y, x + width, y + height), fill=colour)
            pen.text((x + 2 - left, y + 2 - top), mark.text, fill="black", font=font)
    return picture
