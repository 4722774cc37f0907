"""What the commands share: options, consoles, JSON lines."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from trunkline.core.settings import Settings

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="The only folder that is written to.", envvar="TRUNKLINE_HOME", show_default="~/.trunkline"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a result on standard output, nothing else there.")]
WhoOption = Annotated[str | None, typer.Option("--who", help="Name for the audit log.", show_default="the user name")]


def settings(home: Path | None, **options: Any) -> Settings:
    """The settings, with the command line's options over them."""
    from trunkline.core.settings import load_settings

    return load_settings(home, **options)


def emit(row: dict[str, Any]) -> None:
    """One JSON object as one line on standard output."""
    sys.stdout.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def stdout() -> Console:
    """Where results for people go."""
    from rich.console import Console

    return Console(soft_wrap=True, highlight=False)


def stderr() -> Console:
    """Where progress and messages go."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True, highlight=False)


def who(given: str | None) -> str:
    """The name that is written into the audit log."""
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in this container
        return "unknown"
