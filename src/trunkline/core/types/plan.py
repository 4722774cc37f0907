"""How a head with a network is fitted: decided from the data, told with the reasons, and a person's to change."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

MOST_EPOCHS = 1_000


class DetectPlan(BaseModel):
    """The keys under `plan:` in a scenario of `task: detect`; what is not given there is decided from the boxes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)

    side: int | None = Field(
        default=None, ge=32, le=2048, description="Side of the picture that the trunk sees, pixels."
    )
    finest: int | None = Field(default=None, ge=1, le=64, description="Pixels between two points of the finest level.")
    width: int = Field(default=128, ge=8, le=512, description="Channels of the head.")
    depth: int = Field(default=2, ge=1, le=6, description="Convolutions before scores, and before boxes.")
    kernel: int = Field(default=5, ge=1, le=9, description="Side of the convolutions, an odd number.")
    views: int = Field(
        default=2, ge=1, le=16,
        description="Ways in which each picture is seen: as it is, mirrored, then parts of it, nearer or farther.",
    )  # fmt: skip
    epochs: int | None = Field(
        default=None, ge=1, le=MOST_EPOCHS, description="Times that each picture is learned from."
    )
    batch: int = Field(default=16, ge=1, le=256, description="Pictures a step.")
    rate: float = Field(default=0.002, gt=0, le=1, description="Highest learning rate.")
    overlap: float = Field(
        default=0.45, gt=0, lt=1, description="Overlap (IoU) from which on two boxes of a label are of one thing."
    )
    soft: float = Field(
        default=0.0, ge=0, le=10,
        description="Sigma of soft-NMS, which lowers scores of boxes that overlap; 0: they are dropped instead.",
    )  # fmt: skip

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: int) -> int:
        if kernel % 2 == 0:
            raise ValueError(f"expected an odd number, got {kernel}")
        return kernel

    def chosen(self, side: int, finest: int, epochs: int) -> dict[str, Any]:
        """All keys, with what was decided for those that are not given."""
        decided = {"side": side, "finest": finest, "epochs": epochs}
        return {name: decided[name] if value is None else value for name, value in self.model_dump().items()}
