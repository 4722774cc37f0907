"""Moves of aliases that a kill does not break: written down, then made, then put into the audit log."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from trunkline.core.digest import canonical_json
from trunkline.core.errors import StorageError
from trunkline.core.files import write_atomic
from trunkline.platform.registry.audit import AuditLog, Entry
from trunkline.platform.registry.tracking import Tracking
from trunkline.platform.registry.versions import ModelVersion


class Moves:
    """Moves aliases of one home; every call is made under the registry's lock.

    Args:
        home: The home folder; `registry.pending.json` in it is the move under way.
        tracking: Where aliases are kept.
        audit: Where moves are written down for good.
        versions: Gives the versions of a model.
    """

    def __init__(
        self, home: Path, tracking: Tracking, audit: AuditLog, versions: Callable[[str], list[ModelVersion]]
    ) -> None:
        self.pending = home / "registry.pending.json"
        self._tracking = tracking
        self._audit = audit
        self._versions = versions

    def move(self, version: ModelVersion, alias: str, action: str, who: str, why: str) -> int | None:
        """Point an alias at a version; what it named before is returned. Nothing happens where it is there already."""
        old = next((v.version for v in self._versions(version.name) if alias in v.aliases), None)
        if old != version.version:
            entry = Entry(
                secrets.token_hex(8), action, version.name, alias, old, version.version, version.digest, who, why
            )
            write_atomic(self.pending, canonical_json(entry.to_json()))
            self._make(entry)
        return old

    def finish(self) -> None:
        """Finish the move that a killed process had begun, if there is one.

        Raises:
            StorageError: When the file that says which one cannot be read.
        """
        try:
            entry = Entry.from_json(json.loads(self.pending.read_bytes()))
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(
                f"expected the promotion that was begun, cannot be read: {error!r}",
                where=str(self.pending),
                fix="remove the file, see `trunkline models ls`, and promote again",
            ) from error
        if entry.id in {done.id for done in self._audit.entries(entry.model)}:
            self.pending.unlink()
            return
        there = {version.version: version.digest for version in self._versions(entry.model)}
        if entry.new in there and there[entry.new] == entry.bundle:
            self._make(entry)
        else:  # deleted in MLflow meanwhile
            self._audit.record(replace(entry, action="abandoned", new=entry.old))
            self.pending.unlink()

    def _make(self, entry: Entry) -> None:
        self._tracking.set_alias(entry.model, entry.alias, int(entry.new or 0))
        self._tracking.settle()
        self._audit.record(entry)
        self.pending.unlink(missing_ok=True)
