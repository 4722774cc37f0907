"""The table of trunks."""

from __future__ import annotations

from trunkline.core.plugins import Table

TRUNKS = Table(
    "trunk",
    {
        "efficientnet-lite0": "trunkline.algorithms.trunks.efficientnet_lite:EfficientNetLite0",
        "test-trunk": "trunkline.algorithms.trunks.test_trunk:TestTrunk",
    },
)
"""Names of trunks; each is a class without arguments that is a `loader.Loader`."""
SCHEMES = {
    "onnx": "trunkline.algorithms.trunks.onnx_file:OnnxFile",
    "timm": "trunkline.algorithms.trunks.timm_model:TimmModel",
}
"""Trunks that are named by `SCHEME:REST`; each is a class that is called with REST. Its `anchored(rest, base)` gives
the same REST with the files in it taken from the folder `base`."""
