"""What `trunkline doctor` looks at: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import contextlib
import json
import platform
import re
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trunkline.core.errors import BusyError, InputError

if TYPE_CHECKING:
    from trunkline.core.plugins import Table
    from trunkline.core.settings import Settings

State = Literal["ok", "missing", "failed"]
_PYTHON = (3, 11)
_LITTLE, _FEW = 100 << 20, 1 << 30  # bytes free: too few for a build, few for a large one
_TABLES = {
    "head": "trunkline.algorithms.heads:HEADS",
    "metric": "trunkline.algorithms.metrics:METRICS",
    "trunk": "trunkline.algorithms.trunks.table:TRUNKS",
    "chip": "trunkline.compute.chips:CHIPS",
    "sensor": "trunkline.compute.sensors:SENSORS",
    "format": "trunkline.platform.data.formats:FORMATS",
    "head export": "trunkline.platform.export.heads:HEAD_EXPORTS",
    "export format": "trunkline.platform.export.formats:EXPORT_FORMATS",
    "sample": "trunkline.platform.samples:SAMPLES",
}
_ONLY_FOR_DEMO = ("sample",)
_EXTRAS = {
    "build": "making models; running them does without",
    "samples": "the images of `trunkline demo`",
    "serve": "`trunkline serve`",
    "litert": "TFLite models that somebody brings along",
    "int8": "trunks in INT8, where a chip is faster with them",
    "npu": "cycles of the chip npu-int8",
    "timm": "trunks named timm:NAME",
}
_INSTALL = {"litert": "pip install 'trunkline[litert]'"}
"""Runtimes that come with an extra."""
_REQUIREMENT = re.compile(r"^([\w.-]+).*;.*\bextra == ['\"]([\w-]+)['\"]")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        state: "ok"; "missing", when models can be run and built here without it; "failed", when they cannot.
        what: What was looked at.
        found: What came out.
        fix: What to do about it; empty where there is nothing to do.
    """

    state: State
    what: str
    found: str
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"state": self.state, "what": self.what, "found": self.found, "fix": self.fix}


def examine(settings: Settings) -> list[Check]:
    """Look at everything; a check that fails on its own account says so and does not stop the others."""
    checks: list[Check] = []
    for what, look in _CHECKS.items():
        try:
            checks.extend(look(settings))
        except InputError as error:
            checks.append(Check("failed", what, _one_line(error), error.fix or ""))
        except Exception as error:  # whatever is wrong with this machine is a finding  # noqa: BLE001
            found = f"could not be looked at: {type(error).__name__}: {error}"
            checks.append(Check("failed", what, _first_line(found), "report this, with the whole output"))
    return checks


def _one_line(error: InputError) -> str:
    return _first_line(f"{error.where}: {error.message}" if error.where else error.message)


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")[:500]


def _python(_: Settings) -> Iterator[Check]:
    good = sys.version_info >= _PYTHON
    wanted = ".".join(map(str, _PYTHON))
    yield Check(
        "ok" if good else "failed", "Python", platform.python_version(), "" if good else f"install Python {wanted}"
    )


def _machine(settings: Settings) -> Iterator[Check]:
    from trunkline.compute.chips.machine import machine

    facts = machine()
    features = ", ".join(facts["features"]) or "no fast instructions that are known"
    yield Check("ok", "machine", f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']} GB, {features}")
    yield Check("ok", "threads", f"{settings.threads}; runtime {settings.runtime}, batches of {settings.batch}")


def _home(settings: Settings) -> Iterator[Check]:
    from trunkline.core.files import locked, write_atomic

    home = settings.home
    with locked(home / "locks" / "doctor.lock", timeout=1):
        write_atomic(home / "locks" / "doctor.probe", b"")
        (home / "locks" / "doctor.probe").unlink()
    yield Check("ok", "home", f"{home}, can be written")
    free = shutil.disk_usage(home).free
    found = f"{free / (1 << 30):,.1f} GB free"
    if free >= _FEW:
        yield Check("ok", "disk", found)
    else:
        yield Check("failed" if free < _LITTLE else "missing", "disk", found, "free some space, or name another --home")


def _plugins(_: Settings) -> Iterator[Check]:
    for kind, target in _TABLES.items():
        module, name = target.split(":")
        try:
            table: Table = getattr(import_module(module), name)
        except Exception as error:  # whatever the import raises is the reason  # noqa: BLE001
            yield Check("failed", f"{kind} table", f"failed: {type(error).__name__}: {_first_line(str(error))}")
            continue
        for status in table.status():
            optional = kind in _ONLY_FOR_DEMO or not status.built_in
            state: State = "ok" if not status.reason else "missing" if optional else "failed"
            fix = "" if not status.reason else f"see why {status.target} does not load, or remove its package"
            yield Check(state, f"{kind} {status.name}", _first_line(status.text), fix)


def _runtimes(settings: Settings) -> Iterator[Check]:
    from trunkline.compute.runtimes import MEASURED, RUNTIMES

    checks = []
    for name in RUNTIMES.names():
        try:
            reason = RUNTIMES.load(name)().available()
        except InputError as error:
            reason = error.message
        fix = _INSTALL.get(name) or (f"pip install --force-reinstall {name}" if name in MEASURED else "see its package")
        state: State = "missing" if reason else "ok"
        found = f"failed: {_first_line(reason)}" if reason else "ok"
        checks.append(Check(state, f"runtime {name}", found, fix if reason else ""))
    if not any(check.state == "ok" and check.what.removeprefix("runtime ") in MEASURED for check in checks):
        checks = [replace(check, state="failed") if check.state == "missing" else check for check in checks]
    yield from checks
    yield Check("ok", "runtime chosen", _chosen(settings))


def _chosen(settings: Settings) -> str:
    """Which runtime the trunk runs on, with the speeds that were measured on this very machine."""
    from trunkline.compute.chips.machine import machine
    from trunkline.compute.runtimes import MEASURED

    if settings.runtime != "auto":
        return f"{settings.runtime}, by the setting `runtime`"
    rule = f"{MEASURED[0]} is kept unless another is over twice as fast; "
    try:
        known = json.loads((settings.home / "runtimes.json").read_bytes())
        rows = [row for row in known.values() if row["facts"]["machine"] == machine()]
        said = [
            f"{row['runtime']} ({rule}measured "
            + ", ".join(f"{name} {speed:,.0f} images/s" for name, speed in row["images_per_second"].items())
            + f"; {row['facts']['threads']} threads)"
            for row in rows
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or not ours
        said = []
    return "; ".join(dict.fromkeys(said)) or "not measured yet; the first build or prediction does it"


def _extras(_: Settings) -> Iterator[Check]:
    asked: dict[str, list[str]] = {}
    for line in metadata.requires("trunkline") or ():
        match = _REQUIREMENT.match(line)
        if match:
            asked.setdefault(match[2], []).append(match[1])
    for extra, purpose in _EXTRAS.items():
        found = {name: _version(name) for name in asked.get(extra, [])}
        missing = [name for name, version in found.items() if not version]
        if missing:
            text = f"not installed: {', '.join(missing)} ({purpose})"
            yield Check("missing", f"extra {extra}", text, f"pip install 'trunkline[{extra}]'")
        else:
            yield Check("ok", f"extra {extra}", ", ".join(f"{name} {version}" for name, version in found.items()))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _trunks(settings: Settings) -> Iterator[Check]:
    from trunkline.algorithms.trunks import list_trunks

    checks = []
    for row in list_trunks(settings.home):
        if row["name"] == "test-trunk":
            continue
        bad = str(row["state"]).startswith("failed")
        found = f"{row['name']}: {row['state']}" + (f", {row['digest_short']}" if row.get("digest_short") else "")
        checks.append(
            Check("missing" if bad else "ok", "weights", found, "pip install 'trunkline[build]'" if bad else "")
        )
    if any(check.state == "ok" for check in checks):
        yield from checks
        return
    fix = "pip install 'trunkline[build]', or bring a trunk's file: `trunkline trunks export` there, `import` here"
    yield from (replace(check, state="failed", fix=fix) for check in checks)


def _key(settings: Settings) -> Iterator[Check]:
    from trunkline.core.digest import short
    from trunkline.platform.registry.keys import fingerprint, signing_key, trusted_keys

    if not (settings.home / "keys" / "ed25519.pem").exists():
        yield Check("ok", "signing key", "none yet; the first build makes one")
        return
    key = signing_key(settings.home)
    others = len(trusted_keys(settings.home) - {key.public})
    trust = f", trusts {others} other keys" if others else ""
    yield Check("ok", "signing key", f"{short(fingerprint(key.public))}, only its owner can read it{trust}")


def _audit(settings: Settings) -> Iterator[Check]:
    from trunkline.platform.registry.audit import AuditLog

    log = AuditLog(settings.home)
    wrong = log.verify()
    if not wrong:
        yield Check("ok", "audit log", f"{len(log.entries())} entries, whole" if log.path.exists() else "none yet")
        return
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    # Models can be built all the same, so this is no failure of the machine.
    yield Check("missing", "audit log", f"{wrong[0]}{more}", "compare it with a copy; find out who writes to this home")


def _mlflow(settings: Settings) -> Iterator[Check]:
    from urllib.parse import urlsplit

    if settings.mlflow_uri:
        parts = urlsplit(settings.mlflow_uri)
        place = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"  # without a password
        yield Check("ok", "MLflow", f"{place}, by the setting `mlflow_uri` (not asked now)")
        return
    path = settings.home / "mlflow.db"
    if not path.exists():
        yield Check("ok", "MLflow", "no database yet; the first build makes one")
        return
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as base:
            models = base.execute("SELECT count(*) FROM registered_models").fetchone()[0]
            versions = base.execute("SELECT count(*) FROM model_versions").fetchone()[0]
    except sqlite3.Error as error:
        fix = f"put a copy of {path} back; after an upgrade of MLflow: mlflow db upgrade sqlite:///{path}"
        yield Check("failed", "MLflow", f"{path}: {error}", fix)
        return
    yield Check("ok", "MLflow", f"{path.name}: {models} models, {versions} versions")


def _build(settings: Settings) -> Iterator[Check]:
    from trunkline.core.files import locked

    lock = settings.home / "locks" / "line.lock"
    found = "none is running on this home"
    if lock.exists():
        try:
            with locked(lock, timeout=0):
                pass
        except BusyError:
            found = "one is running on this home; another one would wait for it"
    yield Check("ok", "builds", found)


def _system(_: Settings) -> Iterator[Check]:
    there = {
        "chromium": (shutil.which("chromium") is not None, "tests that look at reports in a real browser"),
        "dataset-fashion-mnist": (
            Path("/usr/share/datasets/fashion-mnist").is_dir(),
            "70,000 photographs of garments for `trunkline demo`",
        ),
    }
    for name, (present, purpose) in there.items():
        found = f"{'installed' if present else 'not installed'}; for {purpose}"
        yield Check(
            "ok" if present else "missing", f"Debian {name}", found, "" if present else f"apt-get install {name}"
        )


_CHECKS: dict[str, Callable[[Settings], Iterator[Check]]] = {
    "Python": _python,
    "machine": _machine,
    "home": _home,
    "plugins": _plugins,
    "runtimes": _runtimes,
    "extras": _extras,
    "weights": _trunks,
    "signing key": _key,
    "audit log": _audit,
    "MLflow": _mlflow,
    "builds": _build,
    "Debian packages": _system,
}
