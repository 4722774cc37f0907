"""MLflow, written to through its public client so that `mlflow ui` shows everything."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from trunkline.core.errors import ConfigError, MissingExtraError, StorageError, TrunklineError
from trunkline.core.files import locked, storage_errors
from trunkline.platform.registry import database

if TYPE_CHECKING:
    from trunkline.core.settings import Settings

EXPERIMENT = "trunkline"
BUNDLE_FILE = "bundle.tlb"
REPORT_FILE = "report.html"
_MOST_METRICS, _MOST_PARAMS = 900, 90  # in one call; MLflow takes 1,000 and 100
_OURS = ("mlflow", "sqlalchemy", "sqlite3", "alembic", "requests")
"""Packages whose exceptions mean that something outside is wrong."""
_FAULTS = (
    ("disk is full", "no space left on the disk", "free some space and run the same command again"),
    ("readonly database", "this file cannot be written", "name another home with --home DIR or TRUNKLINE_HOME"),
    ("unable to open database", "this file cannot be written", "name another home with --home DIR or TRUNKLINE_HOME"),
    ("database is locked", "another program holds this file", "close it, then run the same command again"),
    (
        "out-of-date database schema",
        "made by another version of MLflow than the one installed",
        "copy the file, then: mlflow db upgrade URI",
    ),
    (
        "not a database",
        "expected MLflow's SQLite file, this one is damaged",
        "put a copy of it back, or move it away: the next build makes a new one; models stay in the folder bundles",
    ),
    (
        "malformed",
        "expected MLflow's SQLite file, this one is damaged",
        "put a copy of it back, or move it away: the next build makes a new one; models stay in the folder bundles",
    ),
)
"""Part of a message, what it means, and what helps."""


class Tracking:
    """The runs and versions of one tracking server.

    Args:
        settings: `mlflow_uri`, or SQLite and a folder of artifacts in the home.
    """

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home
        self.uri = settings.mlflow_uri
        self.database = None if self.uri else self.home / "mlflow.db"
        self._client: Any = None
        self._experiment = ""
        self._lock = threading.Lock()

    def faults(self) -> contextlib.AbstractContextManager[None]:
        """MLflow's faults within become ours."""
        return _translated(self.uri, str(self.database))

    def client(self) -> Any:
        """The `MlflowClient`; the first call imports MLflow and makes its tables.

        Raises:
            MissingExtraError: When MLflow is not installed.
            StorageError: When the server cannot be reached or the file cannot be used.
        """
        with self._lock:
            if self._client is None:
                _quiet()
                with self.faults():
                    self._client = self._connect()
            return self._client

    def _connect(self) -> Any:
        if self.database and any(mark in str(self.database.absolute()) for mark in "?#%"):
            raise ConfigError(
                "expected a home folder without ? # % in its path (MLflow reads them as part of an address)",
                where=str(self.home),
                fix="name another --home, or an MLflow server with TRUNKLINE_MLFLOW_URI",
            )
        try:
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise MissingExtraError("mlflow", "build", "the registry") from error
        location = (self.home / "mlartifacts").resolve().as_uri()
        if not self.database:
            client = MlflowClient(self.uri, self.uri)
            # A server knows where artifacts go; for a bare database MLflow would take the present folder.
            self._experiment = _experiment(client, None if self.uri.startswith("http") else location)
            return client
        with locked(self.home / "locks" / "mlflow.lock"):
            database.prepare(self.database)
            database.follow(self.database, EXPERIMENT, location)
            client = MlflowClient(uri := f"sqlite:///{self.database.absolute()}", uri)
            self._experiment = _experiment(client, location)
        return client

    def sweep(self) -> None:
        """Finish or delete our runs that a killed process left half-way; the caller holds the registry's lock.

        Only in the home's own file: on a server they may be another machine's, alive.
        """
        if not self.database:
            return
        client = self.client()
        with self.faults():
            query = "attributes.status = 'RUNNING' AND tags.`mlflow.source.name` = 'trunkline'"
            for run in client.search_runs([self._experiment], query, max_results=1000):
                if client.search_model_versions(f"run_id = '{run.info.run_id}'"):
                    client.set_terminated(run.info.run_id)
                else:
                    client.delete_run(run.info.run_id)

    def add(
        self,
        name: str,
        *,
        metrics: Mapping[str, float | None],
        params: Mapping[str, Any],
        run_tags: Mapping[str, str],
        version_tags: Mapping[str, str],
        files: Mapping[str, Path],
        new: bool,
    ) -> tuple[int, str]:
        """A finished run with its artifacts, and a version of the model that points at it.

        The version comes after all that it stands for. The run is finished last, so that one of a killed process can
        be told: `sweep` finishes it when it has a version, and deletes it otherwise.

        Args:
            name: The model's name.
            metrics: Figures; None is left out.
            params: Parameters.
            run_tags, version_tags: Tags, with their full names.
            files: Artifacts by their names in the run.
            new: Whether the model has no version yet.

        Returns:
            The version's number and the run.
        """
        from mlflow.entities import Metric, Param

        client = self.client()
        with self.faults():
            run = client.create_run(self._experiment, run_name=name, tags=dict(run_tags))
            run_id = run.info.run_id
            for artifact, path in files.items():
                self._place(client, run, artifact, path)
            stamp = int(time.time() * 1000)
            figures = {_key(k): float(v) for k, v in metrics.items() if v is not None and math.isfinite(v)}
            points = [Metric(key, value, stamp, 0) for key, value in figures.items()]
            pairs = [Param(key, text) for key, text in {_key(k): str(v)[:6000] for k, v in params.items()}.items()]
            for start in range(0, max(len(points), 1), _MOST_METRICS):
                client.log_batch(
                    run_id, points[start : start + _MOST_METRICS], pairs[:_MOST_PARAMS] if not start else ()
                )
            for start in range(_MOST_PARAMS, len(pairs), _MOST_PARAMS):
                client.log_batch(run_id, (), pairs[start : start + _MOST_PARAMS])
            if new:
                _create_model(client, name)
            version = client.create_model_version(
                name,
                f"{run.info.artifact_uri}/{BUNDLE_FILE}",
                run_id,
                tags=dict(version_tags),
                await_creation_for=0,
            )
            client.set_terminated(run_id)
        return int(version.version), run_id

    def _place(self, client: Any, run: Any, artifact: str, path: Path) -> None:
        """Put a file among a run's artifacts: a link where both are on this disk, else a copy.

        A bundle is always copied: what damages the one in the home must not reach this one.
        """
        folder = _local(run.info.artifact_uri)
        if folder is None:
            with _named(path, artifact) as named:
                client.log_artifact(run.info.run_id, str(named))
            return
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if artifact != BUNDLE_FILE:
                with contextlib.suppress(OSError):
                    os.link(path, folder / artifact)
                    return
            shutil.copyfile(path, folder / artifact)

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Make an alias name a version."""
        client = self.client()
        with self.faults():
            client.set_registered_model_alias(name, alias, str(version))

    def params(self, run: str) -> dict[str, str]:
        """Parameters of a run."""
        client = self.client()
        with self.faults():
            return dict(client.get_run(run).data.params)

    def fetch(self, run: str, artifact: str, folder: Path) -> Path:
        """Bring a run's artifact into a folder."""
        client = self.client()
        with self.faults():
            return Path(client.download_artifacts(run, artifact, str(folder)))

    def settle(self) -> None:
        """Bring what was written to the disk."""
        if self.database:
            database.settle(self.database)


def _quiet() -> None:
    """No telemetry, nothing on standard output (that is for results), and 14 seconds instead of four minutes until a
    server that is not there is given up; set before MLflow is imported."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # its faults become ours


def _experiment(client: Any, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        return str(client.create_experiment(EXPERIMENT, artifact_location=artifacts))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _create_model(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _key(name: str) -> str:
    """A name as MLflow takes it; it reads names as paths, so `a/../b` would be refused."""
    return re.sub(r"[^\w.\- ]", "_", name)[:250].lstrip(".") or "_"


def _local(uri: str) -> Path | None:
    parts = urlsplit(uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


@contextlib.contextmanager
def _named(path: Path, name: str) -> Iterator[Path]:
    """A copy of a file under another name, for an upload."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copyfile(path, Path(folder) / name))


@contextlib.contextmanager
def _translated(uri: str, database: str) -> Iterator[None]:
    """MLflow's and SQLite's faults as ours; no message shows a password that is part of the address."""
    where = re.sub(r"//[^/@]*@", "//", uri) or database
    try:
        yield
    except TrunklineError:
        raise
    except ModuleNotFoundError as error:  # a database's driver
        raise ConfigError(
            f"needs the package {error.name!r}, which is not installed",
            where=where,
            fix=f"pip install {error.name}, or name another address with TRUNKLINE_MLFLOW_URI",
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _OURS:
            raise
        text = (str(error).replace(uri, where) if uri else str(error)).strip()
        for part, message, fix in _FAULTS:
            if part in text:
                raise StorageError(
                    message, where=where, fix=fix.replace("URI", (uri and where) or f"sqlite:///{database}")
                ) from error
        raise StorageError(
            f"MLflow refused: {text.splitlines()[0][:500] if text else type(error).__name__}",
            where=where,
            fix="see that the server can be reached, or the file is whole, then run the same command again",
        ) from error
