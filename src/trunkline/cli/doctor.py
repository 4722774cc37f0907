"""`trunkline doctor`."""

from __future__ import annotations

import typer

from trunkline.cli.common import HomeOption, JsonOption, emit, settings, stdout


def doctor(json: JsonOption = False, home: HomeOption = None) -> None:
    """Say what this machine has, what is missing, and what to do about it.

    Exit status: 0 when models can be run and built here, 2 when something is missing.

    Example: `trunkline doctor`
    """
    from trunkline.platform.doctor import examine

    checks = examine(settings(home))
    if json:
        for check in checks:
            emit(check.to_json())
    else:
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for title in ("", "what", "found", "what to do"):
            table.add_column(title, overflow="fold")
        styles = {"ok": "green", "missing": "yellow", "failed": "red"}
        for check in checks:
            cells = (check.what, check.found, check.fix)
            table.add_row(f"[{styles[check.state]}]{check.state}[/]", *(c.replace("[", r"\[") for c in cells))
        stdout().print(table)
    if any(check.state == "failed" for check in checks):
        raise typer.Exit(2)
