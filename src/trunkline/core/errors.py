"""Every error that Trunkline raises on purpose, grouped by what the caller can do about it.

    TrunklineError                 a fault of ours: report it                  exit 1
    +-- InputError                 mend the input                              exit 2
    |   +-- ConfigError            a scenario, a setting or an option
    |   +-- DataError              images, labels, data set layouts
    |   +-- BundleError            a bundle is changed, truncated, too new, for another trunk
    |   +-- NotFoundError          a name that is not there (near names are given)
    |   +-- StorageError           disk full, folder that cannot be written
    |   +-- MissingExtraError      an optional package is not installed
    +-- BusyError                  try again: another process holds what is needed  exit 2
    +-- GateFailedError            built, and a gate failed                         exit 3

HTTP codes live in the API only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from trunkline.core.text import printable


class TrunklineError(Exception):
    """Base of all errors of this package.

    Args:
        message: What was expected and what came.
        where: File, line, field or name that the message is about.
        fix: What the reader can do next.
    """

    exit_status = 1

    def __init__(self, message: str, *, where: str | None = None, fix: str | None = None) -> None:
        self.message = message
        self.where = where
        self.fix = fix
        super().__init__(self.__str__())

    def __str__(self) -> str:
        text = printable(f"{self.where}: {self.message}" if self.where else self.message)
        lines = [printable(line) for line in (self.fix or "").split("\n")]  # a fix may show a file to write
        return f"{text}\n  fix: " + "\n".join(lines) if self.fix else text


class InputError(TrunklineError):
    """The input is wrong; the message says how to mend it."""

    exit_status = 2


class ConfigError(InputError):
    """A scenario, a setting or an option is wrong."""


class DataError(InputError):
    """Images, labels or a data set layout are wrong."""


class BundleError(InputError):
    """A bundle was changed, truncated, is of a newer schema or for another trunk."""


class StorageError(InputError):
    """The disk is full or a folder cannot be written."""


class MissingExtraError(InputError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the package {package!r}, which is not installed",
            fix=f"pip install 'trunkline[{extra}]'",
        )


class NotFoundError(InputError):
    """A name that is not known.

    Args:
        kind: What was looked for, as "trunk" or "model".
        name: The name that was asked for.
        known: The names there are; near ones are listed in the message.
        where: File or field that named it.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, where: str | None = None) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        if near:
            fix = "did you mean " + " or ".join(repr(n) for n in near) + "?"
        elif names:
            shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            fix = f"known {kind} names: {shown}"
        else:
            fix = f"there is no {kind} yet"
        super().__init__(f"no {kind} named {name!r}", where=where, fix=fix)


class BusyError(TrunklineError):
    """Another process holds what is needed; the same call may work later."""

    exit_status = 2


class GateFailedError(TrunklineError):
    """A model was built and a gate refused it."""

    exit_status = 3
