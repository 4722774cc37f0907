"""Starting costs little, every module imports on its own, and running a bundle needs nothing of what building needs."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SOURCE / "trunkline").rglob("*.py"))
    if path.stem != "__main__"
}
FITTING = (
    "trunkline.algorithms.heads.learning",
    "trunkline.algorithms.heads.detect.fitting",
    "trunkline.algorithms.heads.detect.loss",
    "trunkline.algorithms.heads.detect.network",
)
"""Networks, which are classes on PyTorch's own: they import it, and are themselves imported by a fit alone."""
BUILD = ("torch", "mlflow", "datumaro", "lance", "pyarrow", "onnxscript", "jinja2", "sqlalchemy", "timm")
HEAVY = (
    *BUILD,
    "onnx",
    "openvino",
    "onnxruntime",
    "sklearn",
    "skimage",
    "scipy",
    "pandas",
    "matplotlib",
    "PIL",
    "numpy",
)
SETTINGS = ("pydantic", "yaml", "cryptography")


def python(code: str, *arguments: str) -> Any:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


LOADED = "import json, sys; print(json.dumps([name for name in sys.argv[1:] if name in sys.modules]))"


@pytest.mark.parametrize(
    ("code", "not_loaded"),
    [
        ("import trunkline", (*HEAVY, *SETTINGS, "typer", "rich")),
        ("import trunkline.cli", (*HEAVY, *SETTINGS, "typer", "rich")),
        ("import trunkline.cli.app", (*HEAVY, *SETTINGS)),
        (
            "import contextlib, io, sys; sys.argv = ['trunkline', '--help', *sys.argv[1:]]\n"
            "from trunkline.cli import main\n"
            "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main()\n"
            "sys.argv = ['', *sys.argv[2:]]",
            (*HEAVY, *SETTINGS),
        ),
        ("import trunkline.core.settings", HEAVY),
        ("import trunkline.platform.line.scenarios", HEAVY),
        ("from trunkline.algorithms.heads import HEADS; HEADS.names()", HEAVY),
        ("from trunkline.algorithms.trunks.table import TRUNKS; TRUNKS.names()", (*BUILD, "openvino", "onnxruntime")),
        ("from trunkline.compute.runtimes import RUNTIMES; RUNTIMES.names()", HEAVY),
        ("from trunkline.compute.sensors import SENSORS; SENSORS.names()", HEAVY),
        ("from trunkline.platform.data.formats import FORMATS; FORMATS.names()", HEAVY),
        ("from trunkline.platform.samples import SAMPLES; SAMPLES.names()", HEAVY),
    ],
)  # fmt: skip
def test_what_is_not_needed_is_not_loaded(code: str, not_loaded: tuple[str, ...]) -> None:
    assert python(f"{code}\n{LOADED}", *not_loaded) == []


def test_no_module_loads_what_only_building_or_running_needs() -> None:
    """Heavy packages are imported inside functions. Jinja is light, and only reports stand on it."""
    heavy = [name for name in (*BUILD, "onnx", "openvino", "onnxruntime", "sklearn", "skimage") if name != "jinja2"]
    others = [name for name in MODULES if name not in FITTING]
    code = f"import importlib, sys\nfor name in {others!r}: importlib.import_module(name)\n{LOADED}"
    assert python(code, *heavy) == []


def imports(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Modules of ours that are imported when a module is read; those inside functions are not."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in inner if node.module in MODULES)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imports(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from imports([one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)])


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: set(imports(ast.parse(path.read_text()).body)) for name, path in MODULES.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises, and names the circle
    assert order.index("trunkline.core.errors") < order.index("trunkline.core.files") < order.index("trunkline.cli.app")


def test_a_bundle_runs_without_the_packages_that_build() -> None:
    """As on an edge device, where those packages are not installed."""
    code = f"""
import importlib, json, sys
for name in {(*BUILD, "sklearn", "skimage")!r}:
    sys.modules[name] = None
import numpy as np
from trunkline.algorithms.heads import HEADS
from trunkline.compute.runtimes import RUNTIMES
for module in ("platform.engine.predictor", "platform.registry.bundle", "platform.doctor", "cli.predict"):
    importlib.import_module(f"trunkline.{{module}}")
for name in ("openvino", "onnxruntime"):
    assert RUNTIMES.load(name)().available() == "", name
print(json.dumps([status.text for status in HEADS.status()]))
"""
    assert set(python(code)) == {"ok"}
