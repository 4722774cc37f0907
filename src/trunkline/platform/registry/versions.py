"""Versions of models as MLflow holds them, read without importing MLflow where it is the home's own SQLite file.

MLflow is the one place where versions and aliases are kept. Importing it costs two CPU seconds, so commands that only
look something up read the five tables that they need themselves (docs/decisions/0004-registry.md). Any other
tracking URI, and a file whose tables look different, goes through MLflow's client.
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trunkline.core.types.gate import headline, said

if TYPE_CHECKING:
    from trunkline.core.types.bundle import Bundle

TAG = "trunkline."
"""Prefix of our tags on runs and versions."""
CHAMPION, CHALLENGER = "champion", "challenger"
ALIASES = (CHAMPION, CHALLENGER)
_DELETED = "Deleted_Internal"  # MLflow keeps deleted versions with this stage


@dataclass(frozen=True)
class ModelVersion:
    """One registered version.

    Attributes:
        name: The model's name.
        version: From 1.
        digest: The bundle's digest.
        path: Its file in the home folder.
        task: "classify", ...
        status: "passed", "failed" or "overridden".
        figure: The figure that stands for it, as "accuracy 0.9980", or "... not measured".
        bundle_bytes: Size of the bundle.
        run: MLflow's run.
        created: UTC, ISO 8601.
        aliases: Aliases that name it, sorted.
    """

    name: str
    version: int
    digest: str
    path: Path
    task: str = ""
    status: str = ""
    figure: str = ""
    bundle_bytes: int = 0
    run: str = ""
    created: str = ""
    aliases: tuple[str, ...] = field(default=())

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def alias(self) -> str:
        """The first of our aliases that names it, or ""."""
        return next((alias for alias in ALIASES if alias in self.aliases), "")


class Reads(Protocol):
    """Where versions are looked up."""

    def versions(self, names: Sequence[str] | None = None) -> list[ModelVersion]:
        """Versions of some models or of all, by name and version."""

    def names(self) -> list[str]:
        """Names of all models, sorted."""

    def metrics(self, run: str) -> dict[str, float | None]:
        """Figures of a run; None for NaN and infinity."""


class UnknownTablesError(Exception):
    """The file's tables are not those that this module knows."""


class SqliteReads:
    """Reads of MLflow's own SQLite file.

    Args:
        database: The file; it need not exist.
        bundles: The home's folder of bundles.

    Methods raise `UnknownTablesError` when the tables look different.
    """

    def __init__(self, database: Path, bundles: Path) -> None:
        self.database = database
        self.bundles = bundles

    @contextlib.contextmanager
    def _open(self) -> Iterator[Callable[..., list[Any]]]:
        if not self.database.exists():
            yield lambda *_: []
            return
        try:
            with self._connect() as connection:
                yield lambda sql, *values: connection.execute(sql, values).fetchall()
        except (sqlite3.DatabaseError, OSError) as error:
            raise UnknownTablesError(str(error)) from error

    @contextlib.contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        with contextlib.ExitStack() as opened:
            try:
                connection = opened.enter_context(_connected(self.database))
            except sqlite3.OperationalError as error:
                if not error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
                    raise
                # SQLite needs a file beside a write-ahead log even to read: a copy, where this disk cannot be written.
                folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-")))
                for path in (self.database, self.database.with_name(f"{self.database.name}-wal")):
                    with contextlib.suppress(FileNotFoundError):
                        shutil.copyfile(path, folder / path.name)
                connection = opened.enter_context(_connected(folder / self.database.name))
            yield connection

    def names(self) -> list[str]:
        query = (
            f"SELECT DISTINCT name FROM model_version_tags JOIN model_versions USING (name, version)"  # noqa: S608
            f" WHERE key = '{TAG}digest' AND current_stage IS NOT '{_DELETED}'"
        )
        with self._open() as select:
            return sorted(name for (name,) in select(query))

    def versions(self, names: Sequence[str] | None = None) -> list[ModelVersion]:
        only = "1" if names is None else f"name IN ({','.join('?' * len(names))})"
        given = [] if names is None else list(names)
        found: dict[tuple[str, int], dict[str, str]] = {}
        aliases: dict[tuple[str, int], list[str]] = {}
        with self._open() as select:
            select("BEGIN")  # one view of all three tables
            rows = select(
                f"SELECT name, version, run_id, creation_time FROM model_versions"  # noqa: S608 (only has ? in it)
                f" WHERE current_stage IS NOT '{_DELETED}' AND {only} ORDER BY name, version",
                *given,
            )
            query = f"SELECT name, version, key, value FROM model_version_tags WHERE {only}"  # noqa: S608
            for name, version, key, value in select(query, *given):
                found.setdefault((name, version), {})[key] = value or ""
            query = f"SELECT name, version, alias FROM registered_model_aliases WHERE {only}"  # noqa: S608
            for name, version, alias in select(query, *given):
                aliases.setdefault((name, version), []).append(alias)
        return [
            version_of(
                (name, version),
                run,
                made,
                known=found[name, version],
                aliases=aliases.get((name, version), ()),
                bundles=self.bundles,
            )
            for name, version, run, made in rows
            if is_ours(found.get((name, version), {}))
        ]

    def metrics(self, run: str) -> dict[str, float | None]:
        with self._open() as select:
            rows = select("SELECT key, value, is_nan FROM latest_metrics WHERE run_uuid = ? ORDER BY key", run)
        return {key: None if nan or not math.isfinite(value) else value for key, value, nan in rows}


class ClientReads:
    """Reads through MLflow's client: any tracking URI.

    Args:
        client: Gives an `MlflowClient`.
        bundles: The home's folder of bundles.
    """

    def __init__(self, client: Callable[[], Any], bundles: Path) -> None:
        self._client = client
        self.bundles = bundles

    def names(self) -> list[str]:
        return sorted({version.name for version in self.versions()})

    def versions(self, names: Sequence[str] | None = None) -> list[ModelVersion]:
        client = self._client()
        if names is None:
            rows = list(_pages(client.search_model_versions))
            models = list(_pages(client.search_registered_models))
        else:
            known = [name for name in names if '"' not in name]  # ours have no quotes
            rows = [row for name in known for row in _pages(client.search_model_versions, f'name = "{name}"')]
            models = [client.get_registered_model(name) for name in sorted({row.name for row in rows})]
        aliases: dict[tuple[str, int], list[str]] = {}
        for model in models:
            for alias, version in model.aliases.items():
                aliases.setdefault((model.name, int(version)), []).append(alias)
        found = [
            version_of(
                (row.name, int(row.version)),
                row.run_id,
                row.creation_timestamp,
                known=row.tags,
                aliases=aliases.get((row.name, int(row.version)), ()),
                bundles=self.bundles,
            )
            for row in rows
            if is_ours(row.tags)
        ]
        return sorted(found, key=lambda version: (version.name, version.version))

    def metrics(self, run: str) -> dict[str, float | None]:
        values = self._client().get_run(run).data.metrics
        return {key: value if math.isfinite(value) else None for key, value in sorted(values.items())}


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A database, open for reading and known to be readable."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True, timeout=20)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield connection


def _pages(ask: Callable[..., Any], *query: str) -> Iterator[Any]:
    """Every row that MLflow has for a query, page by page."""
    token = None
    while True:
        page = ask(*query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def is_ours(tags: Mapping[str, str]) -> bool:
    """Whether a version of these tags is a bundle of ours; MLflow may hold other models too."""
    return re.fullmatch("[0-9a-f]{64}", tags.get(f"{TAG}digest", "")) is not None


def version_of(
    key: tuple[str, int],
    run: str | None,
    created_ms: int | None,
    *,
    known: Mapping[str, str],
    aliases: Sequence[str],
    bundles: Path,
) -> ModelVersion:
    """A version from what MLflow says of it: name and number, run, tags and aliases."""
    digest, size = known[f"{TAG}digest"], known.get(f"{TAG}bytes", "")
    return ModelVersion(
        name=key[0],
        version=key[1],
        digest=digest,
        path=bundles / f"{digest}.tlb",
        task=known.get(f"{TAG}task", ""),
        status=known.get(f"{TAG}status", ""),
        figure=known.get(f"{TAG}figure", ""),
        bundle_bytes=int(size) if size.isdecimal() else 0,  # people can edit tags in MLflow
        run=run or "",
        created=datetime.fromtimestamp((created_ms or 0) / 1000, UTC).isoformat(timespec="seconds"),
        aliases=tuple(sorted(aliases)),
    )


def status_of(bundle: Bundle) -> str:
    """The bundle's status; "measured" where no gate was asked for: such a model did not pass anything."""
    return bundle.status if bundle.manifest.gates else "measured"


def tags(bundle: Bundle, who: str) -> tuple[dict[str, str], dict[str, str]]:
    """Tags of the run (everything it came from) and of the version (what lists show)."""
    main = headline(bundle.task, bundle.manifest.metrics)
    shown = {
        "digest": bundle.digest,
        "task": bundle.task,
        "status": status_of(bundle),
        "figure": f"{main} {said(bundle.manifest.metrics.get(main))}" if main else "",
        "bytes": str(bundle.size),
    }
    lineage = {
        **bundle.manifest.lineage.model_dump(),
        "trunk_name": bundle.trunk.name,
        "signer": bundle.signer,
    }
    ours = {f"{TAG}{key}": text for key, text in shown.items()}
    run = {f"{TAG}{key}": text for key, text in lineage.items()}
    return {"mlflow.user": who, "mlflow.source.name": "trunkline", **ours, **run}, ours
