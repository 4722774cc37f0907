"""Runtimes: run a graph on a chip."""

from __future__ import annotations

from trunkline.core.plugins import Table

RUNTIMES = Table(
    "runtime",
    {
        "openvino": "trunkline.compute.runtimes.openvino:OpenVINORuntime",
        "onnxruntime": "trunkline.compute.runtimes.onnxruntime:ONNXRuntime",
        "litert": "trunkline.compute.runtimes.litert:LiteRTRuntime",
        "fake": "trunkline.compute.runtimes.fake:FakeRuntime",
    },
)
"""Names of runtimes; each is a class without arguments that is a `base.Runtime`."""
MEASURED = ("openvino", "onnxruntime")
"""Those between which `auto` chooses; `litert` runs what somebody brings, the fake one is for tests."""
