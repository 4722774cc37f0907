"""From what a user names to a folder: what is written, what is said, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Pictures
from trunkline.algorithms.trunks import Trunk
from trunkline.core.digest import digest_bytes, digest_file
from trunkline.core.errors import BundleError, ConfigError, DataError, NotFoundError, TrunklineError
from trunkline.core.settings import Settings
from trunkline.platform.export import api, vendor
from trunkline.platform.export.api import export
from trunkline.platform.export.check import onnxruntime_run, openvino_run
from trunkline.platform.export.formats import EXPORT_FORMATS
from trunkline.platform.export.formats.web import page
from trunkline.platform.registry.registry import Registry

ORT = {"ort.wasm.min.js": b"script", "ort-wasm-simd-threaded.mjs": b"glue", "ort-wasm-simd-threaded.wasm": b"\0asm"}


@pytest.fixture(scope="module")
def sealed(seal_model: Callable[..., bytes], tiny: Trunk) -> dict[str, bytes]:
    """Bundle files, by how the gate went."""
    return {verdict: seal_model("classify", tiny, verdict=verdict) for verdict in ("passed", "failed")}


@pytest.fixture
def file(sealed: dict[str, bytes], tmp_path: Path) -> Path:
    path = tmp_path / "steel.tlb"
    path.write_bytes(sealed["passed"])
    return path


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for ONNX Runtime Web."""
    folder = tmp_path / "ort"
    folder.mkdir()
    for name, data in ORT.items():
        (folder / name).write_bytes(data)
    monkeypatch.setattr(vendor, "FILES", {name: digest_bytes(data) for name, data in ORT.items()})
    return folder


def test_onnx(file: Path, export_settings: Settings, tmp_path: Path) -> None:
    said: list[str] = []
    row = export(str(file), "onnx", export_settings, warn=said.append, out=tmp_path / "out")
    checked = row.pop("checked")
    assert [(one["runtime"], one["pictures"], one["largest_difference"] < 1e-5) for one in checked] == [
        ("onnxruntime", 11, True),
        ("openvino", 11, True),
    ]
    model = tmp_path / "out" / "model.onnx"
    size = model.stat().st_size
    assert row == {
        "to": "onnx", "model": "steel", "version": None, "digest": row["digest"], "opset": 18,
        "folder": str(tmp_path / "out"), "bytes": size + (tmp_path / "out" / "export.json").stat().st_size,
        "files": [{"name": "model.onnx", "bytes": size, "sha256": digest_file(model)}],
        "start": f"docs/export.md shows how to run {model}",
    }  # fmt: skip
    assert said == []
    with onnxruntime_run(model, threads=1) as run:
        assert run(Pictures.array()[None])["scores"].shape == (1, 3)


def test_openvino(file: Path, export_settings: Settings, tmp_path: Path) -> None:
    row = export(str(file), "openvino", export_settings, warn=lambda _: None, out=tmp_path / "out")
    assert [one["name"] for one in row["files"]] == ["model.bin", "model.xml"]
    assert [one["runtime"] for one in row["checked"]] == ["openvino"]
    text = (tmp_path / "out" / "model.xml").read_text()
    assert [word for word in (row["digest"], "CC0-1.0", "划痕") if word not in text] == []
    with openvino_run(tmp_path / "out" / "model.xml", threads=1) as run:
        assert np.isclose(run(Pictures.array()[None])["scores"].sum(), 1)


def test_web(file: Path, brought: Path, export_settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    row = export(str(file), "web", export_settings, warn=lambda _: None, out=out, onnxruntime_web=brought)
    assert [one["name"] for one in row["files"]] == [
        "app.js", "icon.svg", "index.html", "model.json", "model.onnx", "offline.js", "ort/LICENCE.txt",
        "ort/ort-wasm-simd-threaded.mjs", "ort/ort-wasm-simd-threaded.wasm", "ort/ort.wasm.min.js", "resize.js",
        "style.css",
    ]  # fmt: skip
    facts = json.loads((out / "model.json").read_bytes())
    assert facts == {
        "name": "steel", "version": "", "task": "classify", "status": "passed", "labels": ["crack", "划痕", "<b>"],
        "size": 32, "digest": row["digest"], "trunk": "test-trunk", "trunk_licence": "Apache-2.0",
        "data_licence": "CC0-1.0", "opset": 18, "runtime": "onnxruntime-web 1.30.0",
    }  # fmt: skip
    assert row["start"].startswith(f"python -m http.server -d {out} --bind 127.0.0.1 ")
    text = (out / "index.html").read_text()
    assert [word for word in ("http:", "https:", "//", " style=", "onclick") if word in text.replace("</", "")] == []


def test_a_page_shows_hostile_names_as_they_are() -> None:
    name = "</script><script>alert(1)</script>{{ 1 + 1 }}"
    facts = dict.fromkeys(("name", "trunk", "trunk_licence", "data_licence", "runtime"), name)
    html = page({**facts, "version": "3", "status": "failed", "digest": "a" * 64, "labels": [name]})
    assert (html.count("<script"), html.count("</script>"), "{{ 1 + 1 }}" in html) == (4, 4, True)
    assert "This model failed its gate." in html
    block = html.split('id="facts">')[1].split("</script>")[0]
    assert json.loads(block)["labels"] == [name]


def test_a_version_of_the_registry_goes_below_the_home(file: Path, export_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "a home"
    shutil.copytree(export_home, home)
    settings = Settings(home=home, threads=1, runtime="onnxruntime")
    report = tmp_path / "report.html"
    report.write_text("x")
    Registry(settings).register(file, report, metrics={}, params={})
    row = export("steel", "onnx", settings, warn=lambda _: None)
    folder = home / "exports" / "steel-1-onnx"
    assert (row["folder"], row["version"]) == (str(folder), 1)
    assert row["start"] == f"docs/export.md shows how to run '{folder}'/model.onnx"  # as a shell takes it


def test_a_model_whose_gate_failed_is_told_of(
    sealed: dict[str, bytes], export_settings: Settings, tmp_path: Path
) -> None:
    path, said = tmp_path / "failed.tlb", list[str]()
    path.write_bytes(sealed["failed"])
    row = export(str(path), "onnx", export_settings, warn=said.append, out=tmp_path / "out")
    assert (said[0], row["model"]) == ("steel: this model failed its gate (accuracy)", "steel")


def test_an_export_is_replaced_by_another(file: Path, export_settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for to in ("onnx", "openvino"):
        export(str(file), to, export_settings, warn=lambda _: None, out=out)
    assert sorted(path.name for path in out.iterdir()) == ["export.json", "model.bin", "model.xml"]


@pytest.mark.parametrize(
    ("to", "options", "kind", "said"),
    [
        ("onx", {}, NotFoundError, "--to: no export format named 'onx'\n  fix: did you mean 'onnx'"),
        ("onnx", {"onnxruntime_web": Path("x")}, ConfigError, "--onnxruntime-web: expected this with --to web alone"),
        ("web", {"onnxruntime_web": Path("nothing")}, TrunklineError, "nothing: cannot be read: No such file"),
    ],
)
def test_wrong_options(
    to: str, options: dict[str, Any], kind: type[TrunklineError], said: str, file: Path, export_settings: Settings,
    tmp_path: Path,
) -> None:  # fmt: skip
    with pytest.raises(kind) as caught:
        export(str(file), to, export_settings, warn=lambda _: None, out=tmp_path / "out", **options)
    assert said in str(caught.value)
    assert caught.value.exit_status == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("ref", "kind"), [("nothing", NotFoundError), ("*", NotFoundError), ("nothing.tlb", BundleError)]
)
def test_unknown_models(ref: str, kind: type[Exception], export_settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(kind):
        export(ref, "onnx", export_settings, warn=lambda _: None, out=tmp_path / "out")


def test_a_place_with_other_files_is_refused_before_the_work(
    file: Path, export_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_text("mine")
    monkeypatch.setattr(api, "publish", None)
    with pytest.raises(DataError, match="expected an empty folder, a former export, or none"):
        export(str(file), "onnx", export_settings, warn=lambda _: None, out=tmp_path)


def test_an_export_that_answers_otherwise_is_not_published(
    file: Path, export_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trunkline.platform.export.heads import linear

    monkeypatch.setattr(linear, "without_contrast", lambda graph, pooled, channels: pooled)
    with pytest.raises(TrunklineError, match="does not answer as the engine does") as caught:
        export(str(file), "onnx", export_settings, warn=lambda _: None, out=tmp_path / "out")
    assert (caught.value.exit_status, list(tmp_path.glob("*out*"))) == (1, [])


def test_formats_load() -> None:
    assert [status for status in EXPORT_FORMATS.status() if status.reason] == []
