"""Lazy plugin tables: written literals (`name -> "module:attribute"`) plus entry points.

Listing a table imports nothing. What fails to load is told with its reason, never dropped.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from trunkline.core.errors import InputError, NotFoundError


@dataclass(frozen=True)
class PluginStatus:
    """How one plugin is doing: `reason` is empty when it loads, `built_in` tells ours from those of other packages."""

    name: str
    target: str
    reason: str
    built_in: bool = True

    @property
    def text(self) -> str:
        return f"failed: {self.reason}" if self.reason else "ok"


class Table:
    """A named table of plugins.

    Args:
        kind: What the table holds, for messages: "head", "runtime".
        entries: Built-in plugins, as literals `name -> "module:attribute"`.
        group: Entry-point group through which other packages add theirs.
    """

    def __init__(self, kind: str, entries: Mapping[str, str], *, group: str | None = None) -> None:
        self.kind = kind
        self.group = group or f"trunkline.{kind}s"
        self._entries = dict(entries)

    @cached_property
    def targets(self) -> dict[str, str]:
        """All names with their targets; a built-in name wins over an entry point of the same name."""
        points = importlib.metadata.entry_points(group=self.group)
        outside = {point.name: point.value.partition("[")[0].strip() for point in points}  # "module:name [extra]"
        return {**outside, **self._entries}

    def names(self) -> list[str]:
        return sorted(self.targets)

    def load(self, name: str, *, where: str | None = None) -> Any:
        """Import one plugin.

        Raises:
            NotFoundError: When the table has no such name.
            InputError: When the plugin is there and does not load, with the reason.
        """
        if name not in self.targets:
            raise NotFoundError(self.kind, name, self.targets, where=where)
        target = self.targets[name]
        module, _, attribute = target.partition(":")
        try:
            return attrgetter(attribute)(importlib.import_module(module))
        except (Exception, SystemExit) as error:  # a module that exits must not take the caller with it
            raise InputError(
                f"{self.kind} {name!r} ({target}) failed: {type(error).__name__}: {error}",
                where=where,
                fix="`trunkline doctor` shows what is missing on this machine",
            ) from error

    def status(self) -> list[PluginStatus]:
        """Try to load every plugin and say which fail and why."""
        rows = []
        for name in self.names():
            reason = ""
            try:
                self.load(name)
            except InputError as error:
                cause = error.__cause__
                reason = f"{type(cause).__name__}: {cause}"
            rows.append(PluginStatus(name, self.targets[name], reason, name in self._entries))
        return rows
