"""The home's own MLflow database: a SQLite file with MLflow's tables, checked before use, quick to commit to, and
following its home when that is moved. MLflow's client does everything else (`tracking.py`)."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from trunkline.core.files import storage_errors

_SCHEMA = Path(__file__).with_name("schema")
_BESIDE = ("", "-wal", "-shm", "-journal")
_FAST: set[str] = set()
"""Files whose commits are flushed by `settle`; other databases of the same process are left alone."""
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Tables and columns that hold absolute addresses of artifacts."""


def prepare(path: Path) -> None:
    """Make sure that the file is there and can be written, before MLflow opens it; the caller holds a lock.

    MLflow itself tries a damaged file for 100 seconds before it gives up.

    Raises:
        StorageError: When the disk is full or the folder cannot be written.
        sqlite3.Error: When the file is damaged or cannot be written.
    """
    if not path.exists() or not path.stat().st_size:
        _make(path)
    with contextlib.closing(sqlite3.connect(path, timeout=20, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT count(*) FROM sqlite_master")
        connection.execute("ROLLBACK")
    _commit_fast(path)


def follow(path: Path, experiment: str, location: str) -> None:
    """Make MLflow find the artifacts of one experiment where the home is now.

    A home is one folder that may be moved or copied; MLflow keeps absolute addresses and has no call to change them.
    Without this, a moved home would write to where it was.

    Args:
        path: The database.
        experiment: The experiment's name.
        location: Address (`file:///...`) of the home's folder of artifacts.
    """
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as connection, connection:
        found = connection.execute("SELECT artifact_location FROM experiments WHERE name = ?", (experiment,)).fetchone()
        if found is None or found[0] == location or not str(found[0]).startswith("file:"):
            return
        for table, column in _ADDRESSES:
            connection.execute(
                f"UPDATE {table} SET {column} = ?1 || substr({column}, length(?2) + 1)"  # noqa: S608 (names above)
                f" WHERE {column} = ?2 OR substr({column}, 1, length(?2) + 1) = ?2 || '/'",
                (location, found[0]),
            )


def settle(path: Path) -> None:
    """Bring what was committed to the disk: one flush a model instead of one a statement.

    The write-ahead log may be opened and closed beside SQLite, which locks the main file and the shared memory.
    """
    log = path.with_name(f"{path.name}-wal")
    with contextlib.suppress(FileNotFoundError), storage_errors(log), log.open("rb") as stream:
        os.fsync(stream.fileno())


def _commit_fast(path: Path) -> None:
    """Commits to a write-ahead log without a flush each; `settle` flushes once a model."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    _FAST.add(os.path.realpath(path))
    if not event.contains(Engine, "connect", _on_connect):
        event.listen(Engine, "connect", _on_connect)


def _on_connect(connection: Any, _record: Any) -> None:
    if isinstance(connection, sqlite3.Connection) and os.path.realpath(_file(connection)) in _FAST:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        if mode == "wal":
            connection.execute("PRAGMA synchronous = NORMAL")


def _file(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA database_list").fetchone()[2])


def _make(path: Path) -> None:
    """A database with MLflow's tables; it appears whole or not at all."""
    import mlflow

    part = path.with_name(f".{path.name}.part")
    snapshot = _SCHEMA / f"mlflow-{mlflow.__version__}.sql"
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for suffix in _BESIDE:
            part.with_name(part.name + suffix).unlink(missing_ok=True)
        # The journal of a database that somebody removed would be played into the new one.
        for suffix in _BESIDE[1:]:
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(part)) as connection:
            if snapshot.exists():
                connection.executescript(snapshot.read_text())
            else:  # another MLflow than ours
                _migrate(connection, part.with_name(f"{part.name}-migrated"))
            connection.execute("PRAGMA journal_mode = WAL")
        part.replace(path)


def _migrate(target: sqlite3.Connection, scratch: Path) -> None:
    """Tables by MLflow's own migrations, about a second; copied, since MLflow keeps its file open."""
    from mlflow.tracking import MlflowClient

    scratch.unlink(missing_ok=True)
    try:
        MlflowClient(uri := f"sqlite:///{scratch.absolute()}", uri).search_experiments(max_results=1)
        with contextlib.closing(sqlite3.connect(scratch)) as source:
            source.execute("DELETE FROM experiments")  # the default one, which MLflow adds again
            source.commit()
            source.backup(target)
    finally:
        scratch.unlink(missing_ok=True)
