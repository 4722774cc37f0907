"""pydantic's findings in the words of the person who wrote the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KINDS = {
    "string_type": "text", "string_unicode": "text", "path_type": "a path", "tuple_type": "a list",
    "dict_type": "a block of keys", "model_type": "a block of keys", "model_attributes_type": "a block of keys",
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number", "float_type": "a number", "float_parsing": "a number",
    "finite_number": "a finite number", "list_type": "a list",
}  # fmt: skip
"""What is expected, by pydantic's type of error."""


def expected(detail: Mapping[str, Any]) -> str:
    """What one of pydantic's `ValidationError.errors()` asks for, as "expected a whole number"."""
    kind, message = detail["type"], str(detail["msg"])
    if kind in _KINDS:
        return f"expected {_KINDS[kind]}"
    if kind in ("too_short", "too_long"):
        side, bound = ("least", "min_length") if kind == "too_short" else ("most", "max_length")
        count = detail["ctx"][bound]
        return f"expected at {side} {'one entry' if count == 1 else f'{count} entries'}"
    if kind == "literal_error":
        return f"expected {detail['ctx']['expected']}"
    message = message.removeprefix("Value error, ")  # raised by a validator of ours
    return message.replace("Input should be", "expected a number").replace("String should have", "expected")
