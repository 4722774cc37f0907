"""The card that a user writes beside an ONNX file: what its pixels, tensors and licence are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from trunkline.core.cards import Mean, Name, Scale, Strict, card_beside, read_as

EXAMPLE = """\
name: my-backbone
size: 224                         # height and width of the input, pixels
mean: [123.675, 116.28, 103.53]   # the network is fed (pixel - mean) / scale; pixels are RGB, 0 to 255
scale: [58.395, 57.12, 57.375]
taps: [layer2, layer3, layer4]    # names of tensors of shape (n, channels, height, width)
licence: Apache-2.0               # of the weights
source: where the weights are from"""
"""A card to copy."""


class TapEntry(Strict):
    """A tensor to take features from; what is said of its shape is checked, what is not said is found out.

    Attributes:
        tensor: Its name in the graph.
        channels: Its channels.
        stride: Input pixels a position.
    """

    tensor: str = Field(min_length=1)
    channels: int | None = Field(default=None, ge=1)
    stride: int | None = Field(default=None, ge=1)


def _entry(value: Any) -> Any:
    return {"tensor": value} if isinstance(value, str) else value


class OnnxCard(Strict):
    """What a graph does not say of itself.

    Attributes:
        name: The trunk's name, for people.
        size: Height and width of the input, pixels.
        mean, scale: The network is fed (pixel - mean) / scale; pixels are RGB, 0 to 255.
        taps: Tensors to take features from, in any order.
        licence: Licence of the weights.
        source: Where the weights are from.
        input: Name of the input, where there are several.
    """

    name: Name
    size: int = Field(ge=8, le=4096)
    mean: Mean
    scale: Scale
    taps: list[Annotated[TapEntry, BeforeValidator(_entry)]] = Field(min_length=1, max_length=8)
    licence: str = Field(min_length=1)
    source: str = Field(min_length=1)
    input: str = ""

    @field_validator("taps")
    @classmethod
    def _differ(cls, taps: list[TapEntry]) -> list[TapEntry]:
        names = [tap.tensor for tap in taps]
        if len(set(names)) < len(names):
            raise ValueError("expected each tensor once")
        return taps


def card_file(graph: Path) -> Path:
    """The card's file beside a graph.

    Raises:
        InputError: When there is none (the message shows one to copy), or more than one.
    """
    return card_beside(graph, EXAMPLE)


def read_card(path: Path) -> OnnxCard:
    """A card, checked.

    Raises:
        ConfigError: When it is not YAML (or JSON), or has a key that is unknown, missing or of a wrong value.
    """
    return read_as(path, OnnxCard, EXAMPLE, blocks={"taps": TapEntry})
