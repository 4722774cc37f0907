"""What each chip can do, measured."""

from __future__ import annotations

from trunkline.core.plugins import Table

CHIPS = Table(
    "chip",
    {
        "cpu": "trunkline.compute.chips.cpu:Cpu",
        "cuda": "trunkline.compute.chips.cuda:Cuda",
        "npu-int8": "trunkline.compute.chips.npu:NpuInt8",
    },
)
"""Names of chips; each is a class without arguments that is a `base.Chip`."""
