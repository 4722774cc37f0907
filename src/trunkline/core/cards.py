"""Cards: small YAML or JSON files in which a user says what a network's file does not say of itself."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from trunkline.core.errors import ConfigError, InputError
from trunkline.core.text import cut
from trunkline.core.validation import expected

SUFFIXES = (".yaml", ".yml", ".json")
"""`net.onnx` has its card in `net.yaml`, `net.yml` or `net.json`."""
_MOST_BYTES = 64 << 10
_MOST = 1e6  # largest number of `mean` and `scale`: beyond, float32 gives infinity or nothing
_Card = TypeVar("_Card", bound="Strict")


class Strict(BaseModel):
    """A block of keys; others are refused, and so is text where a number is expected."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _plain(name: str) -> str:
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ValueError("expected at most 100 letters, digits, points, dashes and underscores, the first no mark")
    return name


def _subtracts(mean: list[float]) -> list[float]:
    if any(abs(value) > _MOST for value in mean):
        raise ValueError(f"expected numbers from -{_MOST:.0f} to {_MOST:.0f} (pixels are 0 to 255)")
    return mean


def _divides(scale: list[float]) -> list[float]:
    if 0 in scale:
        raise ValueError("expected numbers other than 0")
    if any(not 1 / _MOST <= abs(value) <= _MOST for value in scale):
        raise ValueError(f"expected numbers of a size from {1 / _MOST:.6f} to {_MOST:.0f} (pixels are 0 to 255)")
    return scale


Name = Annotated[str, AfterValidator(_plain)]
"""A network's name, for people."""
Mean = Annotated[list[FiniteFloat], Field(min_length=3, max_length=3), AfterValidator(_subtracts)]
"""What is taken from the red, green and blue of a pixel, 0 to 255."""
Scale = Annotated[list[FiniteFloat], Field(min_length=3, max_length=3), AfterValidator(_divides)]
"""What the difference is divided by."""


def card_beside(graph: Path, example: str) -> Path:
    """The card's file beside a graph.

    Args:
        graph: The network's file.
        example: A card to copy.

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
            fix=f"write {graph.with_suffix('.yaml')}, for example:\n\n{example}\n",
        )
    return found[0]


def read_as(path: Path, kind: type[_Card], example: str, *, blocks: Mapping[str, type[Strict]]) -> _Card:
    """A card, checked.

    Args:
        path: The file.
        kind: What it must be.
        example: A card to copy.
        blocks: The kinds of the blocks inside, by the key that they stand under.

    Raises:
        ConfigError: When it is not YAML (or JSON), or has a key that is unknown, missing or of a wrong value.
    """
    value = _parsed(path, example)
    if not isinstance(value, dict):
        raise ConfigError("expected a block of keys", where=str(path), fix=f"for example:\n\n{example}\n")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise _field_error(path, error.errors()[0], {"": kind, **blocks}, example) from error


def read_bytes(path: Path, *, most: int, what: str) -> bytes:
    """A small file's content.

    Raises:
        ConfigError: When it cannot be read, or is larger than that.
    """
    try:
        size = path.stat().st_size
        if size > most:
            raise ConfigError(f"expected {what} of at most {most >> 10} KB, got {size >> 10} KB", where=str(path))
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def _parsed(path: Path, example: str) -> Any:
    import yaml

    from trunkline.core import yaml_text

    data = read_bytes(path, most=_MOST_BYTES, what="a card")
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
        raise ConfigError(f"not {kind}: {said}", where=str(path), fix=f"for example:\n\n{example}\n") from error


def _field_error(path: Path, detail: Any, kinds: Mapping[str, type[Strict]], example: str) -> ConfigError:
    field = cut(".".join(str(part) for part in detail["loc"]))
    where = f"{path}: {field}"
    if detail["type"] == "missing":
        return ConfigError("this key is missing", where=where, fix=f"for example:\n\n{example}\n")
    if detail["type"] == "extra_forbidden":
        block = str(detail["loc"][0]) if len(detail["loc"]) > 1 else ""
        known = list(kinds[block].model_fields)
        near = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
        fix = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return ConfigError("unknown key", where=where, fix=fix)
    return ConfigError(f"{expected(detail)}, got {cut(repr(detail['input']))}", where=where)
