"""Ways to look at a picture while learning: as it is, mirrored, nearer or farther."""

from __future__ import annotations

import math
from dataclasses import dataclass

_NEARER, _FARTHER = 0.6, 1.25
"""Sides of the part that is seen, in sides of the picture, at the least and at the most."""


@dataclass(frozen=True, slots=True)
class Window:
    """What is seen of a picture.

    Attributes:
        x1, y1, x2, y2: The part, as shares of width and height; outside 0..1 there is grey.
        mirrored: Left and right change places afterwards.
    """

    x1: float = 0.0
    y1: float = 0.0
    x2: float = 1.0
    y2: float = 1.0
    mirrored: bool = False

    def box(self, x1: float, y1: float, x2: float, y2: float) -> tuple[float, float, float, float]:
        """A box of the picture (shares of its sides) in shares of the window; it may reach beyond it."""
        width, height = self.x2 - self.x1, self.y2 - self.y1
        left, right = (x1 - self.x1) / width, (x2 - self.x1) / width
        top, bottom = (y1 - self.y1) / height, (y2 - self.y1) / height
        return (1 - right, top, 1 - left, bottom) if self.mirrored else (left, top, right, bottom)


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at every picture of a data set, the same each time.

    Attributes:
        number: 0: as they are; 1: mirrored; from 2 on: a part of each, nearer or farther, every other one mirrored,
            drawn from the picture's digest.
    """

    number: int = 0

    @property
    def key(self) -> str:
        """A name for files; "" for pictures as they are."""
        return f"view{self.number}" if self.number else ""

    def window(self, image: str) -> Window:
        """What is seen of a picture.

        Args:
            image: Its digest.
        """
        if self.number < 2:
            return Window(mirrored=self.number == 1)
        drawn = [_share(image, self.number, place) for place in range(4)]
        side = math.exp(math.log(_NEARER) + drawn[0] * math.log(_FARTHER / _NEARER))
        left, top = (share * (1 - side) for share in drawn[1:3])
        return Window(left, top, left + side, top + side, mirrored=self.number % 2 == 1)


AS_IT_IS = View()


def _share(image: str, number: int, place: int) -> float:
    """A number in 0..1 that follows from a picture's digest."""
    from trunkline.core.digest import digest_bytes

    return int(digest_bytes(f"{image}/{number}/{place}".encode())[:12], 16) / float(1 << 48)
