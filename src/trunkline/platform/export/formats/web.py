"""`--to web`: a folder with a page that classifies a picture or the webcam, in the browser and nowhere else.

The page asks for nothing but its own files. Opened from a file, a browser lets it read no other file, so what it needs
is in `offline.js` as well, as text; that one is loaded only then.
"""

from __future__ import annotations

import base64
import json
from importlib import resources
from pathlib import Path

from trunkline.core.digest import short
from trunkline.platform.export import vendor
from trunkline.platform.export.check import Checked, onnxruntime_run
from trunkline.platform.export.formats.base import ExportJob

MODEL = "model.onnx"
_RUNTIME = "ort"
_PACKAGE, _FOLDER = "trunkline.platform.export", "page"
_PAGE = ("app.js", "resize.js", "style.css", "icon.svg")


class WebExport:
    """A page, the model, and ONNX Runtime Web; the model is checked in ONNX Runtime, which is the same code."""

    start = "python -m http.server -d {folder} --bind 127.0.0.1 8000, then open http://127.0.0.1:8000"

    def write(self, job: ExportJob, folder: Path) -> list[Checked]:
        runtime = vendor.onnxruntime_web(job.settings.home, brought=job.onnxruntime_web, say=job.say)
        model = folder / MODEL
        model.write_bytes(job.made.data)
        with onnxruntime_run(model, threads=job.settings.threads) as run:
            checked = job.examiner.check("onnxruntime", run)
        (folder / _RUNTIME).mkdir()
        for name, data in runtime.items():
            (folder / _RUNTIME / name).write_bytes(data)
        files = resources.files(_PACKAGE) / _FOLDER
        (folder / _RUNTIME / "LICENCE.txt").write_text(_text(files / "ort-licence.txt"), encoding="utf-8")
        for name in _PAGE:
            (folder / name).write_text(_text(files / name), encoding="utf-8")
        facts = page_facts(job)
        (folder / "model.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / "index.html").write_text(page(facts), encoding="utf-8")
        (folder / "offline.js").write_text(_offline(job.made.data, runtime), encoding="ascii")
        return [checked]


def page_facts(job: ExportJob) -> dict[str, object]:
    """What the page knows of its model."""
    head, facts = job.bundle.head, job.made.facts
    return {
        "name": job.bundle.name,
        "version": facts["version"],
        "task": head.task,
        "status": facts["status"],
        "labels": list(head.labels),
        "size": job.size,
        "digest": job.bundle.digest,
        "trunk": facts["trunk"],
        "trunk_licence": facts["trunk_licence"],
        "data_licence": facts["data_licence"],
        "opset": job.made.opset,
        "runtime": f"{vendor.PACKAGE} {vendor.VERSION}",
    }


def page(facts: dict[str, object]) -> str:
    """The page with its model's facts; names may hold anything."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=PackageLoader(_PACKAGE, _FOLDER), autoescape=True, undefined=StrictUndefined)
    # A script's block of data ends at "</script" whatever is around it.
    data = Markup(json.dumps(facts, ensure_ascii=False).replace("<", "\\u003c"))  # noqa: S704
    digest = short(str(facts["digest"]))
    return environment.get_template("index.html.j2").render(facts=facts, digest=digest, data=data)


def _offline(model: bytes, runtime: dict[str, bytes]) -> str:
    """A script that holds the files a page cannot read when it is opened from a file."""
    files = {MODEL: model, **{f"{_RUNTIME}/{name}": data for name, data in runtime.items() if not name.endswith(".js")}}
    rows = [f"{json.dumps(name)}: {json.dumps(base64.b64encode(data).decode())}" for name, data in files.items()]
    return '"use strict";\nvar OFFLINE = {\n' + ",\n".join(rows) + "\n};\n"


def _text(file: resources.abc.Traversable) -> str:
    return file.read_text(encoding="utf-8")
