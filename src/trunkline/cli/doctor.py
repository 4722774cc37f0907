"""`trunkline doctor`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from trunkline.cli.common import HomeOption, JsonOption, emit, settings, stdout

if TYPE_CHECKING:
    from trunkline.core.settings import Settings
    from trunkline.platform.doctor import Check


def doctor(json: JsonOption = False, home: HomeOption = None) -> None:
    """Say what this machine has, what is missing, and what to do about it.

    Exit status: 0 when models can be run and built here (built with the extra `build`), 2 when something stands in
    the way.

    Example: `trunkline doctor`
    """
    from trunkline.platform.doctor import examine

    chosen, wrong = _settings(home)
    checks = [*wrong, *examine(chosen)]
    if json:
        for check in checks:
            emit(check.to_json())
    else:
        _print(checks)
    if any(check.state == "failed" for check in checks):
        raise typer.Exit(2)


def _settings(home: Path | None) -> tuple[Settings, list[Check]]:
    """The settings; where they are wrong, the defaults and what is wrong, so that the rest can be looked at."""
    from trunkline.core.errors import InputError
    from trunkline.core.settings import Settings, default_home
    from trunkline.platform.doctor import Check

    try:
        return settings(home), []
    except InputError as error:
        found = f"{error.where}: {error.message}" if error.where else error.message
        return Settings.model_construct(home=home or default_home()), [
            Check("failed", "settings", found, error.fix or "")
        ]


def _print(checks: Sequence[Check]) -> None:
    out = stdout()
    styles = {"ok": "green", "missing": "yellow", "failed": "red"}
    for check in _shorter(checks):
        out.print(f"{check.state:8}", style=styles[check.state], end="")
        out.print(f"{check.what}: {check.found}", markup=False)
        if check.fix:
            for line in f"        fix: {check.fix}".split("\n"):
                out.print(line, markup=False)
    failed, missing = (sum(check.state == state for check in checks) for state in ("failed", "missing"))
    if failed:
        out.print(f"{failed} of these keep models from being run or built here", style="bold")
    else:
        here = "run here" if any(c.what == "extra build" and c.fix for c in checks) else "run and built here"
        out.print(f"models can be {here}" + (f"; optional and missing: {missing}" if missing else ""), style="bold")


def _shorter(checks: Sequence[Check]) -> Iterator[Check]:
    """One row for all plugins of a kind that load; each other check has its own."""
    from trunkline.platform.doctor import Check

    for (kind, plain), rows in groupby(checks, key=lambda c: (c.what.partition(" ")[0], c.found == "ok")):
        if plain:
            yield Check("ok", f"{kind}s", ", ".join(check.what.partition(" ")[2] for check in rows))
        else:
            yield from rows
