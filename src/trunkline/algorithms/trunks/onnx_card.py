"""The card that a user writes beside an ONNX file: what its pixels, tensors and licence are."""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError, field_validator

from trunkline.core.errors import ConfigError, InputError
from trunkline.core.text import cut
from trunkline.core.validation import expected

SUFFIXES = (".yaml", ".yml", ".json")
"""`net.onnx` has its card in `net.yaml`, `net.yml` or `net.json`."""
EXAMPLE = """\
name: my-backbone
size: 224                         # height and width of the input, pixels
mean: [123.675, 116.28, 103.53]   # the network is fed (pixel - mean) / scale; pixels are RGB, 0 to 255
scale: [58.395, 57.12, 57.375]
taps: [layer2, layer3, layer4]    # names of tensors of shape (n, channels, height, width)
licence: Apache-2.0               # of the weights
source: where the weights are from"""
"""A card to copy."""
_MOST_BYTES = 64 << 10
_MOST = 1e6  # largest number of `mean` and `scale`: beyond, float32 gives infinity or nothing


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TapEntry(_Strict):
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


class OnnxCard(_Strict):
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

    name: str
    size: int = Field(ge=8, le=4096)
    mean: list[FiniteFloat] = Field(min_length=3, max_length=3)
    scale: list[FiniteFloat] = Field(min_length=3, max_length=3)
    taps: list[Annotated[TapEntry, BeforeValidator(_entry)]] = Field(min_length=1, max_length=8)
    licence: str = Field(min_length=1)
    source: str = Field(min_length=1)
    input: str = ""

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
            raise ValueError("expected at most 100 letters, digits, points, dashes and underscores, the first no mark")
        return name

    @field_validator("mean")
    @classmethod
    def _subtracts(cls, mean: list[float]) -> list[float]:
        if any(abs(value) > _MOST for value in mean):
            raise ValueError(f"expected numbers from -{_MOST:.0f} to {_MOST:.0f} (pixels are 0 to 255)")
        return mean

    @field_validator("scale")
    @classmethod
    def _divides(cls, scale: list[float]) -> list[float]:
        if 0 in scale:
            raise ValueError("expected numbers other than 0")
        if any(not 1 / _MOST <= abs(value) <= _MOST for value in scale):
            raise ValueError(f"expected numbers of a size from {1 / _MOST:.6f} to {_MOST:.0f} (pixels are 0 to 255)")
        return scale

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
    found = [path for path in (graph.with_suffix(suffix) for suffix in SUFFIXES) if path.is_file()]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise InputError(f"expected one card, got {names}", where=str(graph), fix="remove all but one")
    if not found:
        raise InputError(
            "expected a card beside the graph, found none",
            where=str(graph),
            fix=f"write {graph.with_suffix('.yaml')}, for example:\n\n{EXAMPLE}\n",
        )
    return found[0]


def read_card(path: Path) -> OnnxCard:
    """A card, checked.

    Raises:
        ConfigError: When it is not YAML (or JSON), or has a key that is unknown, missing or of a wrong value.
    """
    value = _parsed(path)
    if not isinstance(value, dict):
        raise ConfigError("expected a block of keys", where=str(path), fix=f"for example:\n\n{EXAMPLE}\n")
    try:
        return OnnxCard.model_validate(value)
    except ValidationError as error:
        raise _field_error(path, error.errors()[0]) from error


def _parsed(path: Path) -> Any:
    import yaml

    from trunkline.core import yaml_text

    data = path.read_bytes()
    if len(data) > _MOST_BYTES:
        raise ConfigError(
            f"expected a card of at most {_MOST_BYTES >> 10} KB, got {len(data) >> 10} KB", where=str(path)
        )
    try:
        text = data.decode("utf-8-sig")
        if path.suffix == ".json":
            return json.loads(text)
        found = yaml_text.documents(text)
        if len(found) > 1:
            raise ValueError("expected one document")
        return found[0][1] if found else None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "YAML"
        said = " ".join(str(error).split())[:300]
        raise ConfigError(f"not {kind}: {said}", where=str(path), fix=f"for example:\n\n{EXAMPLE}\n") from error


def _field_error(path: Path, detail: Any) -> ConfigError:
    field = cut(".".join(str(part) for part in detail["loc"]))
    where = f"{path}: {field}"
    if detail["type"] == "missing":
        return ConfigError("this key is missing", where=where, fix=f"for example:\n\n{EXAMPLE}\n")
    if detail["type"] == "extra_forbidden":
        known = list(OnnxCard.model_fields if len(detail["loc"]) == 1 else TapEntry.model_fields)
        near = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return ConfigError("unknown key", where=where, fix=fix)
    return ConfigError(f"{expected(detail)}, got {cut(repr(detail['input']))}", where=where)
