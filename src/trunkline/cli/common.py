"""What the commands share: options, consoles, JSON lines."""

from __future__ import annotations

import contextlib
import json
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.core.text import json_printable, printable

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


def name_or_path(given: str) -> str:
    """An argument that names a model or a data set, or a file; bytes that are not UTF-8 can be in a path alone.

    Raises:
        ConfigError: When it can name nothing.
    """
    from trunkline.core.errors import ConfigError

    with contextlib.suppress(UnicodeEncodeError):
        given.encode()
        return given
    if Path(given).exists():
        return given
    raise ConfigError("expected a name in UTF-8 text; there is no such file either", where=given, fix="mend the name")


def settings(home: Path | None, **options: Any) -> Settings:
    """The settings, with the command line's options over them."""
    from trunkline.core.settings import load_settings

    return load_settings(home, **options)


def emit(row: dict[str, Any]) -> None:
    """One JSON object as one line on standard output; a figure that could not be measured is null."""
    from trunkline.core.digest import json_ready

    row = json_ready(row)
    text = json_printable(json.dumps(row, ensure_ascii=False, allow_nan=False))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a terminal that is not UTF-8
        text = json.dumps(row, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """One message on standard error; the texts of errors are made printable line by line (`core.errors`)."""
    sys.stderr.write(f"trunkline: {text}\n")


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
        """Every text passes `render_str`, cells of tables as well; what is printed at once is one line."""

        def render_str(self, text: str, **options: Any) -> Text:
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
