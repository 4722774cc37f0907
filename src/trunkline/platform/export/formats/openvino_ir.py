"""`--to openvino`: OpenVINO's own format, in float32."""

from __future__ import annotations

import tempfile
from pathlib import Path

from trunkline.platform.export.check import Checked, openvino_run
from trunkline.platform.export.formats.base import ExportJob


class OpenVINOExport:
    """`model.xml` and `model.bin`, loaded again and checked in OpenVINO."""

    start = "docs/export.md shows how to run {folder}/model.xml"

    def write(self, job: ExportJob, folder: Path) -> list[Checked]:
        from trunkline.compute.runtimes.openvino import library as openvino_library

        ov = openvino_library()
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            source = Path(scratch) / "model.onnx"
            source.write_bytes(job.made.data)
            model = ov.Core().read_model(str(source))
            for key, value in job.made.facts.items():
                model.set_rt_info(value, ["trunkline", key])
            ov.save_model(model, str(folder / "model.xml"), compress_to_fp16=False)
            del model  # it maps the file in the scratch folder
        with openvino_run(folder / "model.xml", threads=job.settings.threads) as run:
            return [job.examiner.check("openvino", run)]
