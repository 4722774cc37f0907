"""The doctor: each check finds what is there, says what to do, and survives whatever is wrong."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trunkline.algorithms import trunks
from trunkline.compute.chips.machine import machine
from trunkline.compute.runtimes import RUNTIMES
from trunkline.core.errors import InputError
from trunkline.core.files import locked
from trunkline.core.plugins import PluginStatus, Table
from trunkline.core.settings import Settings, load_settings
from trunkline.platform import doctor
from trunkline.platform.doctor import Check, examine
from trunkline.platform.registry.audit import AuditLog, Entry
from trunkline.platform.registry.keys import fingerprint, signing_key

Look = Callable[..., list[Check]]


@pytest.fixture
def settings(home: Path) -> Settings:
    return load_settings()


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Look:
    """Makes one check alone."""

    def one(what: str, **changes: Any) -> list[Check]:
        monkeypatch.setattr(doctor, "_CHECKS", {what: doctor._CHECKS[what]})
        return examine(settings.model_copy(update=changes))

    return one


def test_this_machine_can_run_and_build_models(settings: Settings) -> None:
    checks = {check.what: check for check in examine(settings)}
    assert [check for check in checks.values() if check.state == "failed"] == []
    found = {what: checks[what].found for what in ("head classify", "format coco", "runtime openvino", "sample digits")}
    assert found == dict.fromkeys(found, "ok")
    assert len(checks) > 30


def test_a_check_goes_to_json() -> None:
    assert Check("missing", "a", "b", "c").to_json() == {"state": "missing", "what": "a", "found": "b", "fix": "c"}


@pytest.mark.parametrize(
    ("error", "check"),
    [
        (ZeroDivisionError("o\nand more"),
         Check("failed", "bad", "could not be looked at: ZeroDivisionError: o", "report this, with the whole output")),
        (InputError("expected 1, got 2", where="x", fix="take 1"),
         Check("failed", "bad", "x: expected 1, got 2", "take 1")),
    ],
)  # fmt: skip
def test_a_check_that_fails_itself_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, error: Exception, check: Check
) -> None:
    good = Check("ok", "good", "fine")

    def bad(_: Settings) -> Any:
        yield good
        raise error

    monkeypatch.setattr(doctor, "_CHECKS", {"bad": bad, "good": lambda _: [good]})
    assert examine(settings) == [good, check, good]


def test_python(monkeypatch: pytest.MonkeyPatch, look: Look) -> None:
    assert [(check.state, check.fix) for check in look("Python")] == [("ok", "")]
    monkeypatch.setattr(doctor, "_PYTHON", (99, 0))
    assert [(check.state, check.fix) for check in look("Python")] == [("failed", "install Python 99.0")]


def test_machine(look: Look) -> None:
    facts = machine()
    checks = look("machine", threads=3, runtime="fake", batch=5)
    assert checks[0].found.startswith(f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']} GB, ")
    assert checks[1] == Check("ok", "threads", "3; runtime fake, batches of 5")


@pytest.mark.parametrize(
    ("free", "check"),
    [
        (5 << 30, Check("ok", "disk", "5.0 GB free")),
        (1 << 29, Check("missing", "disk", "0.5 GB free", "free some space, or name another --home")),
        (1 << 20, Check("failed", "disk", "0.0 GB free", "free some space, or name another --home")),
    ],
)
def test_disk(monkeypatch: pytest.MonkeyPatch, look: Look, home: Path, free: int, check: Check) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert look("home") == [Check("ok", "home", f"{home}, can be written"), check]
    assert [path.name for path in (home / "locks").iterdir()] == ["doctor.lock"]


def test_a_home_that_cannot_be_written(look: Look, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert [(check.state, check.found) for check in look("home", home=tmp_path / "file")] == [
        ("failed", f"{tmp_path}/file/locks/doctor.lock: expected a folder, got a file")
    ]


@pytest.mark.parametrize(
    ("kind", "status", "check"),
    [
        ("head", PluginStatus("a", "m:A", ""), Check("ok", "head a", "ok")),
        ("head", PluginStatus("a", "m:A", "ImportError: no x\nmore"),
         Check("failed", "head a", "failed: ImportError: no x", "see why m:A does not load, or remove its package")),
        ("head", PluginStatus("a", "m:A", "ImportError: no x", built_in=False),
         Check("missing", "head a", "failed: ImportError: no x", "see why m:A does not load, or remove its package")),
        ("sample", PluginStatus("a", "m:A", "ImportError: no x"),
         Check("missing", "sample a", "failed: ImportError: no x", "see why m:A does not load, or remove its package")),
    ],
)  # fmt: skip
def test_plugins(monkeypatch: pytest.MonkeyPatch, look: Look, kind: str, status: PluginStatus, check: Check) -> None:
    monkeypatch.setattr(Table, "status", lambda _: [status])
    monkeypatch.setattr(doctor, "_TABLES", {kind: "trunkline.algorithms.heads:HEADS"})
    assert look("plugins") == [check]


def test_a_table_that_does_not_load(monkeypatch: pytest.MonkeyPatch, look: Look) -> None:
    monkeypatch.setattr(doctor, "_TABLES", {"head": "trunkline.no_such:HEADS"})
    assert look("plugins") == [
        Check("failed", "head table", "failed: ModuleNotFoundError: No module named 'trunkline.no_such'")
    ]


def test_every_table_of_the_house_is_looked_at() -> None:
    """Found in the sources, so that a new table is not forgotten."""
    source = Path(doctor.__file__).parents[1]
    made = {
        line.partition(" = ")[0]
        for path in source.rglob("*.py")
        for line in path.read_text().splitlines()
        if " = Table(" in line and line[0].isupper()
    }
    looked_at = {target.partition(":")[2] for target in doctor._TABLES.values()}
    assert looked_at | {"RUNTIMES"} == made


@pytest.fixture
def runtimes(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Sets why each runtime cannot be used."""

    def reasons(given: dict[str, str]) -> None:
        def load(self: Table, name: str) -> Any:
            if given[name].startswith("!"):
                raise InputError(given[name][1:])
            return lambda: SimpleNamespace(available=lambda: given[name])

        monkeypatch.setattr(Table, "load", load)
        monkeypatch.setitem(RUNTIMES.__dict__, "targets", dict.fromkeys(given, "m:A"))

    return reasons


@pytest.mark.parametrize(
    ("reasons", "states"),
    [
        ({"fake": "", "onnxruntime": "", "openvino": ""}, ["ok", "ok", "ok"]),
        ({"fake": "", "onnxruntime": "ImportError: x", "openvino": ""}, ["ok", "missing", "ok"]),
        ({"fake": "", "onnxruntime": "ImportError: x", "openvino": "!does not load"}, ["ok", "failed", "failed"]),
    ],
)
def test_runtimes(runtimes: Any, look: Look, reasons: dict[str, str], states: list[str]) -> None:
    runtimes(reasons)
    checks = look("runtimes", runtime="fake")
    assert [check.state for check in checks] == [*states, "ok"]
    assert checks[-1] == Check("ok", "runtime chosen", "fake, by the setting `runtime`")
    assert [check.fix for check in checks[:3] if check.state != "ok"] == [
        f"pip install --force-reinstall {name}" for name, reason in reasons.items() if reason
    ]


def choice(**changes: Any) -> dict[str, Any]:
    return {
        "runtime": "openvino", "images_per_second": {"openvino": 724.4, "onnxruntime": 266.0},
        "facts": {"machine": machine(), "threads": 2}, **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (None, "not measured yet; the first build or prediction does it"),
        ("not JSON", "not measured yet; the first build or prediction does it"),
        ({"a": {"runtime": "openvino"}}, "not measured yet; the first build or prediction does it"),
        ({"a": choice(facts={"machine": {}, "threads": 2})}, "not measured yet; the first build or prediction does it"),
        (
            {"a": choice(), "b": choice()},
            "openvino (openvino is kept unless another is over twice as fast; measured openvino 724 images/s, "
            "onnxruntime 266 images/s; 2 threads)",
        ),
    ],
)
def test_the_runtime_that_was_chosen(runtimes: Any, look: Look, home: Path, known: Any, said: str) -> None:
    runtimes({"openvino": ""})
    if known is not None:
        (home / "runtimes.json").write_text(known if isinstance(known, str) else json.dumps(known))
    assert look("runtimes")[-1] == Check("ok", "runtime chosen", said)


def test_extras(monkeypatch: pytest.MonkeyPatch, look: Look) -> None:
    lines = ["numpy>=1.26", 'torch>=2.6; extra == "build"', "onnx>=1; extra == 'build'", 'timm; extra == "timm"']
    there = {"torch": "2.13.0", "onnx": "1.23.2"}

    def version(name: str) -> str:
        if name not in there:
            raise metadata.PackageNotFoundError(name)
        return there[name]

    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    monkeypatch.setattr(metadata, "version", version)
    assert look("extras") == [
        Check("ok", "extra build", "torch 2.13.0, onnx 1.23.2"),
        *(Check("ok", f"extra {extra}", "") for extra in ("samples", "serve", "litert", "int8", "npu")),
        Check("missing", "extra timm", "not installed: timm (trunks named timm:NAME)", "pip install 'trunkline[timm]'"),
    ]
    del there["onnx"]
    assert look("extras")[0] == Check(
        "missing",
        "extra build",
        "not installed: onnx (making models; running them does without)",
        "pip install 'trunkline[build]'",
    )


BUILD = "pip install 'trunkline[build]'"
READY = {"name": "efficientnet-lite0", "state": "ready", "digest_short": "abc"}
GONE = {"name": "efficientnet-lite0", "state": "failed: no weights"}


@pytest.mark.parametrize(
    ("rows", "checks"),
    [
        ([READY], [Check("ok", "weights", "efficientnet-lite0: ready, abc")]),
        ([{**READY, "name": "mine"}, GONE],
         [Check("ok", "weights", "mine: ready, abc"),
          Check("missing", "weights", "efficientnet-lite0: failed: no weights", BUILD)]),
        ([GONE, {"name": "test-trunk", "state": "made on first use"}],
         [Check("failed", "weights", "efficientnet-lite0: failed: no weights",
                f"{BUILD}, or bring a trunk's file: `trunkline trunks export` there, `import` here")]),
    ],
)  # fmt: skip
def test_weights(monkeypatch: pytest.MonkeyPatch, look: Look, rows: list[Any], checks: list[Check]) -> None:
    monkeypatch.setattr(trunks, "list_trunks", lambda _: rows)
    assert look("weights") == checks


def test_signing_key(look: Look, home: Path, tmp_path: Path) -> None:
    assert look("signing key") == [Check("ok", "signing key", "none yet; the first build makes one")]
    assert not (home / "keys").exists()
    key = signing_key(home)
    name = fingerprint(key.public)[:12]
    assert look("signing key") == [Check("ok", "signing key", f"{name}, only its owner can read it")]
    signing_key(tmp_path / "other")
    (home / "keys" / "trusted").mkdir()
    shutil.copy(tmp_path / "other" / "keys" / "ed25519.pub.pem", home / "keys" / "trusted" / "other.pem")
    assert look("signing key")[0].found.endswith(", trusts 1 other keys")


def test_a_signing_key_that_others_can_read(look: Look, home: Path) -> None:
    signing_key(home)
    path = home / "keys" / "ed25519.pem"
    path.chmod(0o644)
    (check,) = look("signing key")
    assert (check.state, f"chmod 600 '{path}'" in check.fix) == ("failed", True)


ENTRY = Entry("1", "promote", "steel", "champion", None, 1, "d" * 64, "ana", "first")


def edited(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"ana", b"bob", 1))


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'{"id":')


def untouched(path: Path) -> None:
    assert path.exists()


@pytest.mark.parametrize(
    ("change", "state", "found"),
    [(untouched, "ok", "2 entries, whole"), (edited, "missing", "a line before this one was edited"),
     (torn, "missing", "torn line")],
)  # fmt: skip
def test_audit_log(look: Look, home: Path, change: Callable[[Path], None], state: str, found: str) -> None:
    assert look("audit log") == [Check("ok", "audit log", "none yet")]
    log = AuditLog(home)
    log.record(ENTRY)
    log.record(ENTRY)
    change(log.path)
    (check,) = look("audit log")
    assert (check.state, found in check.found, bool(check.fix)) == (state, True, state != "ok")


def database(path: Path, *statements: str) -> None:
    base = sqlite3.connect(path)
    for statement in statements:
        base.execute(statement)
    base.commit()
    base.close()


@pytest.mark.parametrize(
    ("make", "state", "found"),
    [
        (lambda path: None, "ok", "no database yet; the first build makes one"),
        (
            lambda path: database(
                path,
                "CREATE TABLE registered_models (name)",
                "CREATE TABLE model_versions (name)",
                "INSERT INTO registered_models VALUES ('a')",
                "INSERT INTO model_versions VALUES ('a'), ('a')",
            ),
            "ok",
            "mlflow.db: 1 models, 2 versions",
        ),
        (lambda path: path.write_bytes(b"no database" * 100), "failed", "{path}: file is not a database"),
        (lambda path: database(path, "CREATE TABLE x (y)"), "failed", "{path}: no such table: registered_models"),
    ],
)
def test_mlflow(look: Look, home: Path, make: Callable[[Path], object], state: str, found: str) -> None:
    path = home / "mlflow.db"
    make(path)
    (check,) = look("MLflow")
    assert (check.state, check.found) == (state, found.format(path=path))
    assert bool(check.fix) == (state != "ok")


def test_the_password_of_a_server_is_not_shown(look: Look) -> None:
    (check,) = look("MLflow", mlflow_uri="https://ana:secret@mlflow.example:5000/models?token=secret")
    assert check.found == "https://mlflow.example/models, by the setting `mlflow_uri` (not asked now)"


def test_builds(look: Look, home: Path) -> None:
    none = [Check("ok", "builds", "none is running on this home")]
    assert look("builds") == none
    with locked(home / "locks" / "line.lock"):
        assert look("builds") == [Check("ok", "builds", "one is running on this home; another one would wait for it")]
    assert look("builds") == none


FIXES = ["apt-get install chromium", "apt-get install dataset-fashion-mnist"]


@pytest.mark.parametrize(("there", "state", "fixes"), [(True, "ok", ["", ""]), (False, "missing", FIXES)])
def test_debian_packages(
    monkeypatch: pytest.MonkeyPatch, look: Look, there: bool, state: str, fixes: list[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/x" if there else None)
    monkeypatch.setattr(Path, "is_dir", lambda _: there)
    checks = look("Debian packages")
    assert [(check.state, check.fix) for check in checks] == [(state, fix) for fix in fixes]
    assert [check.what for check in checks] == ["Debian chromium", "Debian dataset-fashion-mnist"]
