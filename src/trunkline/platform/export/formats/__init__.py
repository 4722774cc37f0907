"""What a model can be exported to: one module a format."""

from __future__ import annotations

from trunkline.core.plugins import Table

EXPORT_FORMATS = Table(
    "export format",
    {
        "onnx": "trunkline.platform.export.formats.onnx_file:OnnxExport",
        "openvino": "trunkline.platform.export.formats.openvino_ir:OpenVINOExport",
        "web": "trunkline.platform.export.formats.web:WebExport",
    },
    group="trunkline.export_formats",
)
"""Names of formats; each is a class without arguments that is a `base.ExportFormat`."""
