"""`--to onnx`: one stand-alone file for every runtime that reads ONNX."""

from __future__ import annotations

from pathlib import Path

from trunkline.platform.export.check import Checked, onnxruntime_run, openvino_run
from trunkline.platform.export.formats.base import ExportJob

MODEL = "model.onnx"


class OnnxExport:
    """`model.onnx`, checked in ONNX Runtime and in OpenVINO."""

    start = "docs/export.md shows how to run {folder}/model.onnx"

    def write(self, job: ExportJob, folder: Path) -> list[Checked]:
        path = folder / MODEL
        path.write_bytes(job.made.data)
        threads = job.settings.threads
        with onnxruntime_run(path, threads=threads) as run:
            first = job.examiner.check("onnxruntime", run)
        with openvino_run(path, threads=threads) as run:
            return [first, job.examiner.check("openvino", run)]
