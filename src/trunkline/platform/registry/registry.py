"""Models of a home: versions, champions, their history. MLflow holds them (`tracking.py`, `versions.py`)."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from trunkline.core.errors import BundleError, GateFailedError, NotFoundError, StorageError, TrunklineError
from trunkline.core.files import locked, write_atomic
from trunkline.platform.registry import bundle as bundles
from trunkline.platform.registry import views
from trunkline.platform.registry.audit import AuditLog, champions, check_words
from trunkline.platform.registry.keys import signing_key, trusted_keys
from trunkline.platform.registry.moves import Moves
from trunkline.platform.registry.references import Reference, file_of, match, missing, pick
from trunkline.platform.registry.shelf import Shelf
from trunkline.platform.registry.tracking import BUNDLE_FILE, REPORT_FILE, Tracking
from trunkline.platform.registry.versions import (
    ALIASES,
    CHALLENGER,
    CHAMPION,
    ClientReads,
    ModelVersion,
    Reads,
    SqliteReads,
    UnknownTablesError,
    tags,
)

if TYPE_CHECKING:
    from trunkline.core.settings import Settings
    from trunkline.core.types.bundle import Bundle

T = TypeVar("T")
_NAMED = 12  # champions that one sentence names


class Registry:
    """The registry of one home.

    Looking up costs milliseconds and imports no MLflow where it is the home's own file; what changes something does.

    Args:
        settings: The home, and `mlflow_uri` when another tracking server is used.
    """

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home
        self.folder = self.home / "bundles"
        self.tracking = Tracking(settings)
        self.audit = AuditLog(self.home)
        self._lock = self.home / "locks" / "registry.lock"
        self._moves = Moves(self.home, self.tracking, self.audit, self.versions)
        self._shelf = Shelf(self.folder, self.tracking)
        self._swept = False

    def warm(self) -> None:
        """Import MLflow and make its tables, so that the first `register` need not wait; takes seconds."""
        with contextlib.suppress(TrunklineError):  # raised again, where it matters, at the first use
            self.tracking.client()

    def register(
        self,
        source: Path | bytes,
        report_html: Path | None = None,
        *,
        metrics: Mapping[str, float | None],
        params: Mapping[str, Any],
        promote: str | None = None,
        over: int | Literal["any"] | None = "any",
        who: str = "unknown",
        why: str = "",
    ) -> ModelVersion:
        """Keep a bundle as a version of the model that it names; the same bundle again is the same version.

        Two processes of one home that register the same bundle at once get the same version. On a server that several
        homes share, each may make one.

        Args:
            source: The sealed bundle, a file or its bytes; it is put into `HOME/bundles` unless it is there, whole.
            report_html: Its report, if there is one.
            metrics: Every figure, those that depend on the machine too.
            params: What a person would search runs by.
            promote: "champion", "challenger" or None.
            over: The version, or None, that must still be the champion when the new one shall take its place. Where a
                person has promoted another one meanwhile, the new one becomes the challenger.
            who, why: For the audit log.

        Raises:
            BundleError: When the bundle is changed, truncated or too new.
            ConfigError: When `who` or `why` cannot be written into the audit log.
            GateFailedError: When a model whose gate failed shall be champion; nothing is registered then.
            StorageError: When the disk is full or MLflow refuses; repeating the call finishes the work.
        """
        check_words(who, why)
        data = source if isinstance(source, bytes) else bundles.load(source)
        where = None if isinstance(source, bytes) else str(source)
        bundle = bundles.read(data, trusted=trusted_keys(self.home), where=where)
        if promote is not None:
            self._allow(bundle.status, promote, bundle.name)
        self._shelf.keep(bundle.digest, data)
        with self._writing():
            version = self._register(bundle, report_html, metrics, params, who)
            if promote == CHAMPION and over != "any":
                present = self.champion(bundle.name)
                if (present.version if present else None) not in (over, version.version):
                    promote, why = CHALLENGER, f"{why}; the champion was changed while it was built"
            if promote is not None:
                self._moves.move(version, promote, "promote", who, why)
            self.tracking.settle()
        return self._exactly(version.name, version.version)

    def ls(self) -> list[dict[str, Any]]:
        """One row a model, by name; the keys are those of `views.listing`."""
        return views.listing(self._read(lambda reads: reads.versions()))

    def show(self, ref: str) -> dict[str, Any]:
        """One version, or one bundle file: figures, gates, digests, signer, and its model's history."""
        path, version = self._look(ref)
        bundle = self.open(path, version)
        metrics = {**bundle.manifest.metrics, **self._metrics(version)}  # MLflow has no word for "not measured"
        override = bundle.manifest.override  # sealed anew, the report is still on what was measured
        report = self.home / "reports" / f"{override.bundle if override else bundle.digest}.html"
        return views.details(bundle, path, report, version, metrics, self.audit.entries(bundle.name))

    def compare(self, first: str, second: str) -> dict[str, Any]:
        """Figures of two versions side by side: `metrics` is name -> [first's, second's]; None where one has none."""
        sides = []
        for ref in (first, second):
            path, version = self._look(ref)
            bundle = self.open(path, version)
            sides.append((version.ref if version else ref, bundle, self._metrics(version) or bundle.manifest.metrics))
        return views.comparison(*sides)

    def find(self, ref: str) -> ModelVersion:
        """The version that `NAME`, `NAME@VERSION` or `NAME@ALIAS` names; a bare name is the champion, else the newest.

        Raises:
            NotFoundError: When there is none; near names are given.
        """
        reference = Reference.parse(ref)
        versions = self.versions(reference.name)
        found = pick(reference, versions)
        if found is None:
            raise missing(reference, versions, lambda: self._read(lambda reads: reads.names()))
        return found

    def resolve(self, ref: str) -> Path:
        """The bundle file that a reference or a file name stands for.

        Raises:
            NotFoundError: When there is none.
            BundleError: When the file does not hold what was registered.
        """
        path, version = self._look(ref)
        self.open(path, version)
        return path

    def open_many(self, ref: str) -> Iterator[Bundle]:
        """The bundles that a reference or a file name stands for; a name may be a pattern with `*` and `?`.

        Models that a pattern matches and that have no such version are left out.

        Raises:
            NotFoundError: When nothing matches.
            BundleError: When a file does not hold what was registered.
        """
        trusted = trusted_keys(self.home)
        for path, version in self.look(ref):
            yield self.open(path, version, trusted)

    def look(self, ref: str) -> list[tuple[Path, ModelVersion | None]]:
        """As `open_many`, unopened: files, each with the version that it is of; None for a file named by itself.

        Raises:
            NotFoundError: When nothing matches.
        """
        reference = Reference.parse(ref)
        if file_of(ref) is not None or not reference.many:
            return [self._look(ref)]
        names = self._read(lambda reads: reads.names())
        matched = match(reference, names)
        by_name: dict[str, list[ModelVersion]] = {name: [] for name in matched}
        for version in self._read(lambda reads: reads.versions(matched)) if matched else ():
            by_name[version.name].append(version)
        picked = [pick(Reference(name, reference.which), versions) for name, versions in by_name.items()]
        found = [version for version in picked if version is not None]
        if not found:
            raise NotFoundError("model", ref, names)
        return [(version.path, version) for version in found]

    def open(self, path: Path, version: ModelVersion | None, trusted: Collection[str] | None = None) -> Bundle:
        """Read a bundle; `version` is what it must be, None for a file that is looked at by itself.

        Raises:
            BundleError: When the file does not hold what was registered.
        """
        trusted = trusted_keys(self.home) if trusted is None else trusted
        return bundles.read(path, trusted=trusted) if version is None else self._shelf.open(version, trusted)

    def lost(self) -> StorageError | None:
        """What to tell somebody whose MLflow file was removed while the audit log names champions."""
        database = self.tracking.database
        if database is None or database.exists():
            return None
        told = {entry.model: entry for entry in self.audit.entries() if entry.alias == CHAMPION and entry.new}
        if not told:
            return None
        named = ", ".join(f"{entry.model}@{entry.new}" for entry in list(told.values())[:_NAMED])
        more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
        return StorageError(
            f"this file is gone, and with it all versions; by the audit log these were champions: {named}{more}",
            where=str(database),
            fix=f"put a copy of it back; else build again, which begins with version 1 ({self.folder} has the bundles)",
        )

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions of a model, from 1; none where there is no such model."""
        return self._read(lambda reads: reads.versions([name]))

    def champion(self, name: str) -> ModelVersion | None:
        """The champion of a model, or None."""
        return next((version for version in self.versions(name) if CHAMPION in version.aliases), None)

    def promote(
        self, ref: str, alias: str = CHAMPION, who: str = "unknown", why: str = "", override: bool = False
    ) -> dict[str, Any]:
        """Make an alias name a version; written to the audit log.

        With `override` a model whose gate failed is sealed again with the signed name and reason in it. That is another
        bundle, so it becomes a new version, and that one is promoted.

        Returns:
            name, version, alias, digest, bundle, previous.

        Raises:
            NotFoundError: When there is no such version.
            GateFailedError: When its gate failed and there is no override.
            ConfigError: When `who` or `why` cannot be written into the audit log.
            BundleError: On an override without a reason, or when the file does not hold what was registered.
        """
        check_words(who, why)
        version = self.find(ref)
        path = version.path
        status = self.open(path, version).status  # signed; the tag in MLflow can be edited
        self._allow("" if override else status, alias, version.ref)
        with self._writing():
            action = "promote"
            if override and status == "failed":
                version = self._override(version, path, who, why)
                action = "override"
            previous = self._moves.move(version, alias, action, who, why)
            self.tracking.settle()
        return self._moved(version, alias, previous)

    def rollback(self, name: str, who: str = "unknown", why: str = "") -> dict[str, Any]:
        """Make the champion before the present one the champion again; written to the audit log.

        Rolling back twice goes back two champions.

        Returns:
            As `promote`.

        Raises:
            NotFoundError: When there is no such model, or no earlier champion.
        """
        check_words(who, why)
        with self._writing():
            versions = {version.version: version for version in self.versions(name)}
            if not versions:
                raise missing(Reference(name, ""), (), lambda: self._read(lambda reads: reads.names()))
            present = next((number for number, version in versions.items() if CHAMPION in version.aliases), None)
            digests = {number: version.digest for number, version in versions.items()}
            pile = champions(self.audit.entries(name), present, digests)[:-1]
            earlier = [versions[number] for number in pile if number in versions and number != present]
            allowed = [version for version in earlier if version.status != "failed"]
            if not allowed:
                raise NotFoundError("earlier champion", name, ())
            target = allowed[-1]
            self._moves.move(target, CHAMPION, "rollback", who, why)
            self.tracking.settle()
        return self._moved(target, CHAMPION, present)

    # What follows serves the methods above.

    def _read(self, ask: Callable[[Reads], T]) -> T:
        if self.tracking.database:
            with contextlib.suppress(UnknownTablesError):
                return ask(SqliteReads(self.tracking.database, self.folder))
        with self.tracking.faults():
            return ask(ClientReads(self.tracking.client, self.folder))

    def _exactly(self, name: str, number: int) -> ModelVersion:
        return next(version for version in self.versions(name) if version.version == number)

    def _metrics(self, version: ModelVersion | None) -> dict[str, float | None]:
        return self._read(lambda reads: reads.metrics(version.run)) if version and version.run else {}

    def _look(self, ref: str) -> tuple[Path, ModelVersion | None]:
        path = file_of(ref)
        if path is not None:
            if not path.is_file():
                raise BundleError("no such bundle file", where=ref, fix="name a .tlb file, or NAME[@VERSION|@ALIAS]")
            return path, None
        try:
            version = self.find(ref)
        except NotFoundError as error:
            raise self.lost() or error from None
        return version.path, version

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Alone on this home's registry, with what a killed process left behind finished first."""
        self.tracking.client()  # may take seconds the first time: not under the lock
        with locked(self._lock):
            if not self._swept:
                self.tracking.sweep()
                self._swept = True
            self._moves.finish()
            try:
                yield
            except BaseException:
                self._swept = False  # a run may be left half-way
                raise

    def _allow(self, status: str, alias: str, name: str) -> None:
        if alias not in ALIASES:
            raise NotFoundError("alias", alias, ALIASES)
        if alias == CHAMPION and status == "failed":
            raise GateFailedError(
                "a model whose gate failed cannot be champion",
                where=name,
                fix=f"trunkline models promote {shlex.quote(name)} --override --why REASON (it is signed and kept)",
            )

    def _register(
        self,
        bundle: Bundle,
        report: Path | None,
        metrics: Mapping[str, float | None],
        params: Mapping[str, Any],
        who: str,
    ) -> ModelVersion:
        known = self.versions(bundle.name)
        for version in known:
            if version.digest == bundle.digest:
                return version
        files = {BUNDLE_FILE: self.folder / f"{bundle.digest}.tlb"}
        if report is not None and report.exists():
            files[REPORT_FILE] = report
        run_tags, version_tags = tags(bundle, who)
        number, run = self.tracking.add(
            bundle.name,
            metrics=metrics,
            params=params,
            run_tags=run_tags,
            version_tags=version_tags,
            files=files,
            new=not known,
        )
        return ModelVersion(bundle.name, number, bundle.digest, files[BUNDLE_FILE], status=bundle.status, run=run)

    def _override(self, version: ModelVersion, path: Path, who: str, why: str) -> ModelVersion:
        """Seal a failed bundle again with the reason, and register it with the same figures."""
        sealed = bundles.override(path.read_bytes(), key=signing_key(self.home), who=who, why=why)
        bundle = bundles.read(sealed, trusted=trusted_keys(self.home))
        write_atomic(self.folder / f"{bundle.digest}.tlb", sealed)
        report = self.home / "reports" / f"{version.digest}.html"
        params = {**self.tracking.params(version.run), "override_of": version.ref}
        return self._register(bundle, report, self._metrics(version), params, who)

    def _moved(self, version: ModelVersion, alias: str, previous: int | None) -> dict[str, Any]:
        return {
            "name": version.name,
            "version": version.version,
            "alias": alias,
            "digest": version.digest,
            "bundle": str(version.path),
            "previous": previous,
        }
