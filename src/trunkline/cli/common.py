"""What the commands share: options, consoles, JSON lines."""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from trunkline.core.settings import Settings

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", help="The only folder that is written to.", envvar="TRUNKLINE_HOME", show_default="~/.trunkline"
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON object a result on standard output, nothing else there.")
]
WhoOption = Annotated[str | None, typer.Option("--who", help="Name for the audit log.", show_default="the user name")]
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def settings(home: Path | None, **options: Any) -> Settings:
    """The settings, with the command line's options over them."""
    from trunkline.core.settings import load_settings

    return load_settings(home, **options)


def emit(row: dict[str, Any]) -> None:
    """One JSON object as one line on standard output; a figure that could not be measured is null."""
    from trunkline.core.digest import json_ready

    row = json_ready(row)
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a file name that is not UTF-8, or a terminal that is not: JSON's own escapes
        text = json.dumps(row, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """Text without control characters: a file's name must not move the cursor or colour the terminal."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def stdout() -> Console:
    """Where results for people go."""
    return _console(stderr=False)


def stderr() -> Console:
    """Where progress and messages go."""
    return _console(stderr=True)


@cache
def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:  # every text passes here, cells of tables as well
            return super().render_str(printable(text), **options)

    # No emoji: `:car:` in the path of a file is no picture of a car.
    return Plain(stderr=stderr, soft_wrap=True, highlight=False, emoji=False)


def cell(text: str) -> Text:
    """A table's cell with a text that is shown as it is, whatever brackets it has."""
    from rich.text import Text

    return Text(printable(text))


def who(given: str | None) -> str:
    """The name that is written into the audit log."""
    import getpass

    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user in this container
        return "unknown"
