"""MLflow sees everything, and its database is the one that its own migrations make."""

from __future__ import annotations

import importlib.util
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from trunkline.core.errors import ConfigError, StorageError
from trunkline.core.settings import Settings
from trunkline.platform.registry import database
from trunkline.platform.registry.registry import Registry
from trunkline.platform.registry.tracking import EXPERIMENT, Tracking

ROOT = Path(__file__).resolve().parents[4]
SCHEMA = Path(database.__file__).with_name("schema")


def registry(home: Path, **options: Any) -> Registry:
    return Registry(Settings(home=home, **options))


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mlflow_schema", ROOT / "scripts" / "mlflow_schema.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def statements(sql: str) -> list[list[str]]:
    """Sorted statements of sorted lines: migrations write indexes and constraints in no set order."""
    return sorted(sorted(line.strip().rstrip(",") for line in one.splitlines()) for one in sql.split(";\n"))


def test_the_tables_are_those_of_mlflows_own_migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the way that a home takes when another MLflow is installed than the one whose tables we carry."""
    import mlflow

    snapshot = (SCHEMA / f"mlflow-{mlflow.__version__}.sql").read_text()
    assert [path.name for path in SCHEMA.iterdir()] == [f"mlflow-{mlflow.__version__}.sql"]
    monkeypatch.setattr(database, "_SCHEMA", tmp_path / "nothing")
    database.prepare(tmp_path / "mlflow.db")
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        made = "\n".join(connection.iterdump()) + "\n"
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert statements(made) == statements(snapshot.partition("\n")[2])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db"]


def test_the_script_writes_what_it_dumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script()
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "dump", lambda: ("9.9", "CREATE TABLE a (b);\n"))
    (tmp_path / "mlflow-1.0.sql").touch()
    module.main()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "mlflow-9.9.sql": "-- Tables of an empty database of MLflow 9.9 (Apache-2.0), by scripts/mlflow_schema.py.\n"
        "CREATE TABLE a (b);\n"
    }


def test_mlflow_takes_the_database_for_its_own(stocked: Path) -> None:
    import sqlalchemy
    from mlflow.store.db import utils

    engine = sqlalchemy.create_engine(f"sqlite:///{stocked / 'mlflow.db'}")
    utils._verify_schema(engine)
    assert utils._all_tables_exist(engine)
    engine.dispose()


def test_mlflow_shows_runs_versions_and_artifacts(stocked: Path, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    at = registry(stocked)
    at.tracking.client()  # the home is a copy: artifacts are found where it is now
    version = at.find("steel@champion")
    client = MlflowClient(uri := f"sqlite:///{stocked / 'mlflow.db'}", uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id], f"tags.`trunkline.digest` = '{version.digest}'")
    shown = [(run.info.run_id, run.info.run_name, run.info.status, run.data.metrics, run.data.params) for run in runs]
    assert shown == [(version.run, "steel", "FINISHED", {"accuracy": 0.95, "latency_ms_p95": 3.5}, {"images": "40"})]
    lineage = {key: text for key, text in runs[0].data.tags.items() if "." in key}
    assert set(lineage) == {
        "mlflow.user", "mlflow.source.name", "mlflow.runName", "trunkline.digest", "trunkline.task",
        "trunkline.status", "trunkline.figure", "trunkline.bytes", "trunkline.scenario", "trunkline.dataset",
        "trunkline.trunk", "trunkline.head", "trunkline.trunk_name", "trunkline.signer",
    }  # fmt: skip
    rows = client.search_model_versions(f"run_id = '{version.run}'")
    assert [(row.name, int(row.version), row.status, row.tags) for row in rows] == [
        ("steel", 2, "READY", {key: lineage[key] for key in rows[0].tags})
    ]
    assert int(client.get_model_version_by_alias("steel", "champion").version) == 2
    assert [file.path for file in client.list_artifacts(version.run)] == ["bundle.tlb", "report.html"]
    brought = {name: Path(client.download_artifacts(version.run, name, str(tmp_path))) for name in
               ("bundle.tlb", "report.html")}  # fmt: skip
    assert brought["bundle.tlb"].read_bytes() == version.path.read_bytes()
    assert brought["report.html"].read_text() == "<p>steel</p>"


def test_names_and_figures_that_mlflow_would_refuse(ready: Path, write_bundle: Callable[..., Path]) -> None:
    at = registry(ready)
    figures = {"recall/../划痕": 0.5, "a@b": 0.25, ".": 1.0, "nan": float("nan"), "none": None, "x" * 300: 2.0}
    params = {f"label/{number}": "v" * 7000 for number in range(120)} | {"a@b": 1, "a_b": 2}
    version = at.register(write_bundle(), metrics=figures, params=params)
    run = at.tracking.client().get_run(version.run)
    assert run.data.metrics == {"recall_.._划痕": 0.5, "a_b": 0.25, "_": 1.0, "x" * 250: 2.0}
    assert run.data.params == {f"label_{number}": "v" * 6000 for number in range(120)} | {"a_b": "2"}


def test_many_figures_go_in_several_calls(ready: Path, write_bundle: Callable[..., Path]) -> None:
    at = registry(ready)
    figures = {f"f{number:04}": float(number) for number in range(1900)}
    version = at.register(write_bundle(), metrics=figures, params={})
    assert at.show("steel")["metrics"] == {"accuracy": 0.95, "recall_min": None, **figures}  # first those of the bundle
    assert at.tracking.client().get_run(version.run).data.metrics == figures


def test_unfinished_runs_are_swept_and_those_of_others_left(stocked: Path) -> None:
    at = registry(stocked)
    client, experiment = at.tracking.client(), at.tracking._experiment
    ours = {"mlflow.source.name": "trunkline"}
    dead = client.create_run(experiment, tags=ours).info.run_id
    theirs = client.create_run(experiment, tags={"mlflow.source.name": "notebook"}).info.run_id
    done = client.create_run(experiment, tags=ours).info.run_id
    client.create_model_version("steel", "file:///a", done)
    at.promote("steel@3")
    found = {name: client.get_run(run).info for name, run in (("dead", dead), ("theirs", theirs), ("done", done))}
    assert {name: (info.status, info.lifecycle_stage) for name, info in found.items()} == {
        "dead": ("RUNNING", "deleted"),
        "theirs": ("RUNNING", "active"),
        "done": ("FINISHED", "active"),
    }


def test_an_experiment_that_was_deleted_comes_back(stocked: Path) -> None:
    at = registry(stocked)
    at.tracking.client().delete_experiment(at.tracking._experiment)
    again = registry(stocked)
    assert again.promote("steel@3")["version"] == 3
    assert again.tracking.client().get_experiment(at.tracking._experiment).lifecycle_stage == "active"


@pytest.mark.parametrize("content", [b"junk" * 2000, b"SQLite format 3\0" + b"\xff" * 4080])
def test_a_damaged_file_is_told_at_once(home: Path, content: bytes) -> None:
    home.mkdir()
    (home / "mlflow.db").write_bytes(content)
    start = time.monotonic()
    with pytest.raises(StorageError, match="MLflow's SQLite file, this one is damaged") as caught:
        registry(home).ls()
    assert (caught.value.where, time.monotonic() - start < 5) == (str(home / "mlflow.db"), True)


def test_an_empty_file_is_no_database_yet(home: Path) -> None:
    home.mkdir()
    (home / "mlflow.db").touch()
    assert registry(home).ls() == []
    assert (home / "mlflow.db").stat().st_size > 0


def test_tables_of_another_mlflow_are_told(stocked: Path) -> None:
    with closing(sqlite3.connect(stocked / "mlflow.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    with pytest.raises(StorageError, match="made by another version of MLflow") as caught:
        registry(stocked).promote("steel@3")
    assert caught.value.fix == f"copy the file, then: mlflow db upgrade sqlite:///{stocked / 'mlflow.db'}"


def test_a_journal_that_was_left_behind_is_not_played_in(ready: Path, write_bundle: Callable[..., Path]) -> None:
    with closing(sqlite3.connect(ready / "mlflow.db")) as connection:
        connection.execute("CREATE TABLE stray (id)")
        connection.commit()
        left = (ready / "mlflow.db-wal").read_bytes()
    assert left
    (ready / "mlflow.db").unlink()
    (ready / "mlflow.db-wal").write_bytes(left)
    assert registry(ready).register(write_bundle(), metrics={}, params={}).version == 1
    with closing(sqlite3.connect(ready / "mlflow.db")) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'stray'").fetchall() == []


def test_only_our_own_file_is_committed_to_without_a_flush(ready: Path, tmp_path: Path) -> None:
    import sqlalchemy

    registry(ready).tracking.client()
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    levels = {}
    for path in (ready / "mlflow.db", tmp_path / "other.db"):
        engine = sqlalchemy.create_engine(f"sqlite:///{path}")
        with engine.connect() as opened:
            levels[path.name] = opened.exec_driver_sql("PRAGMA synchronous").scalar()
        engine.dispose()
    assert levels == {"mlflow.db": 1, "other.db": 2}


def test_what_was_registered_was_flushed(
    ready: Path, write_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[str, int]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        flushed.append((path.name, path.stat().st_size))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    registry(ready).register(write_bundle(), metrics={}, params={})
    assert flushed[-1] == ("mlflow.db-wal", (ready / "mlflow.db-wal").stat().st_size)


def test_another_database_by_address(tmp_path: Path, home: Path, make: SimpleNamespace) -> None:
    """Everything through MLflow's client; a bundle is brought back from its artifacts."""
    database.prepare(tmp_path / "server.db")  # quicker than MLflow's migrations
    at = registry(home, mlflow_uri=f"sqlite:///{tmp_path / 'server.db'}")
    for seed in (1, 2):
        (tmp_path / "a.tlb").write_bytes(make.bundle(home, seed=seed))
        at.register(tmp_path / "a.tlb", metrics={"accuracy": 0.9}, params={}, promote="champion")
    assert at.rollback("steel")["version"] == 1
    whole = at.find("steel@2").path.read_bytes()
    at.find("steel@2").path.unlink()
    assert at.resolve("steel@2").read_bytes() == whole
    assert [(row["versions"], row["champion"]) for row in at.ls()] == [(2, 1)]
    assert at.show("steel")["metrics"] == {"accuracy": 0.9, "recall_min": None}
    assert [bundle.name for bundle in at.open_many("st*")] == ["steel"]
    assert [run.info.status for run in at.tracking.client().search_runs([at.tracking._experiment])] == 2 * ["FINISHED"]
    assert not (home / "mlflow.db").exists()
    assert (home / "mlartifacts").is_dir()


def test_a_password_in_the_address_is_not_shown(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StorageError) as caught:
        registry(home, mlflow_uri="http://ann:secret@127.0.0.1:9").ls()
    assert (caught.value.where, "secret" in str(caught.value)) == ("http://127.0.0.1:9", False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match="needs the package 'psycopg'") as missing:
        registry(home, mlflow_uri="postgresql+psycopg://ann:secret@127.0.0.1:9/db").ls()
    assert (missing.value.where, "secret" in str(missing.value)) == ("postgresql+psycopg://127.0.0.1:9/db", False)


@pytest.mark.parametrize("uri", ["mysql+nodriver://x", "file:///nowhere"])
def test_an_address_that_mlflow_does_not_take(home: Path, uri: str) -> None:
    with pytest.raises(StorageError, match="MLflow refused") as caught:
        registry(home, mlflow_uri=uri).ls()
    assert caught.value.where == uri


def test_faults_of_ours_and_unknown_ones_go_through(home: Path) -> None:
    faults = Tracking(Settings(home=home)).faults
    for error in (StorageError("full"), KeyError("ours")):
        with pytest.raises(type(error)) as caught, faults():
            raise error
        assert caught.value is error


def test_mlflow_is_quiet(stocked: Path, capfd: pytest.CaptureFixture[str]) -> None:
    at = registry(stocked)
    at.resolve("steel@1").unlink()
    at.resolve("steel@1")
    at.promote("steel@3")
    assert tuple(capfd.readouterr()) == ("", "")
    assert logging.getLogger("mlflow").level == logging.WARNING


def test_a_server_has_nothing_to_say_on_standard_output(stocked: Path) -> None:
    from mlflow import environment_variables as said

    registry(stocked).tracking.client()
    assert said.MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.get() is True
    assert said.MLFLOW_DISABLE_TELEMETRY.get() is True
