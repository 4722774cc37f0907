"""What users write to name a model: `file.tlb`, `NAME`, `NAME@3`, `NAME@champion`, `steel*@champion`."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trunkline.core.errors import NotFoundError
from trunkline.core.types.scenario import BUNDLE_SUFFIX
from trunkline.platform.registry.versions import ALIASES, CHAMPION, ModelVersion


@dataclass(frozen=True, slots=True)
class Reference:
    """A model's name, and which version of it: a number, an alias, or "" for the champion, else the newest."""

    name: str
    which: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        name, _, which = text.partition("@")
        return cls(name, which)

    @property
    def many(self) -> bool:
        """Whether the name is a pattern."""
        return any(mark in self.name for mark in "*?")

    def __str__(self) -> str:
        return f"{self.name}@{self.which}" if self.which else self.name


def file_of(text: str) -> Path | None:
    """The file that is meant, or None for a model's name: names end in no .tlb and have no slash."""
    return Path(text) if text.endswith(BUNDLE_SUFFIX) or "/" in text else None


def pick(reference: Reference, versions: Sequence[ModelVersion]) -> ModelVersion | None:
    """The version that is meant, among those of one model in rising order."""
    if not reference.which:
        champion = [version for version in versions if CHAMPION in version.aliases]
        return (champion or list(versions))[-1] if versions else None
    if re.fullmatch("[0-9]{1,9}", reference.which):
        number = int(reference.which)
        return next((version for version in versions if version.version == number), None)
    return next((version for version in versions if reference.which in version.aliases), None)


def match(reference: Reference, names: Iterable[str]) -> list[str]:
    """Names that a pattern matches; a name that is written exactly so wins over the pattern."""
    known = list(names)
    if reference.name in known:
        return [reference.name]
    pattern = reference.name.replace("[", "[[]")
    return [name for name in known if fnmatch.fnmatchcase(name, pattern)]


def missing(
    reference: Reference, versions: Sequence[ModelVersion], names: Callable[[], Iterable[str]]
) -> NotFoundError:
    """The error for a reference that names nothing."""
    if not versions:
        return NotFoundError("model", reference.name, names())
    refs = [version.ref for version in versions]
    refs += [f"{reference.name}@{alias}" for version in versions for alias in version.aliases if alias in ALIASES]
    return NotFoundError("model version", str(reference), refs)
