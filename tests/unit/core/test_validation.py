"""pydantic's findings are said in the words of the person who wrote the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from trunkline.core.validation import expected


class Inner(BaseModel):
    x: int = 0


class Model(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)

    text: str = Field(default="", max_length=3)
    path: Path = Path()
    many: Annotated[tuple[str, ...], Field(min_length=1)] = ("a",)
    pairs: dict[str, str] = {}
    three: list[int] = Field(default=[1, 2, 3], min_length=3, max_length=3)
    inner: Inner = Inner()
    whole: int = Field(default=1, ge=1)
    number: float = 0.0
    choice: Literal["a", "b"] = "a"
    own: int = 0

    @field_validator("own")
    @classmethod
    def _own(cls, value: int) -> int:
        raise ValueError("expected a lucky number")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("text", 1, "expected text"),
        ("text", "\udce9", "expected text"),
        ("text", "abcd", "expected at most 3 characters"),
        ("path", 1, "expected a path"),
        ("many", "a", "expected a list"),
        ("many", [], "expected at least one entry"),
        ("pairs", [1], "expected a block of keys"),
        ("three", [1], "expected at least 3 entries"),
        ("three", [1] * 4, "expected at most 3 entries"),
        ("three", 1, "expected a list"),
        ("inner", 1, "expected a block of keys"),
        ("whole", "x", "expected a whole number"),
        ("whole", 1.5, "expected a whole number"),
        ("whole", [], "expected a whole number"),
        ("whole", 0, "expected a number greater than or equal to 1"),
        ("number", "x", "expected a number"),
        ("number", [], "expected a number"),
        ("number", float("inf"), "expected a finite number"),
        ("choice", "c", "expected 'a' or 'b'"),
        ("own", 1, "expected a lucky number"),
    ],
)
def test_words(field: str, value: Any, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Model.model_validate({field: value})
    assert [expected(detail) for detail in caught.value.errors()] == [words]  # type: ignore[arg-type]
