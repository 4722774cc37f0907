"""The table of commands, and what every command does with an error."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from trunkline import __version__
from trunkline.cli import build, data, demo, doctor, evaluate, models, new, predict, trunks
from trunkline.core.errors import TrunklineError

INTERRUPTED = 130

app = typer.Typer(
    name="trunkline",
    help="A factory for vision models: folders of images in; checked, signed models out.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="First steps: `trunkline demo`, then `trunkline build FOLDER`.",
)
app.command("demo")(demo.demo)
app.command("new")(new.new)
app.command("build")(build.build)
app.command("predict")(predict.predict)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(trunks.app, name="trunks")
app.command("doctor")(doctor.doctor)


def _version(value: bool) -> None:
    if value:
        sys.stdout.write(f"trunkline {__version__}\n")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that hold without a command."""


def run() -> None:
    """Run a command and turn errors into messages and exit statuses (`core.errors` says which)."""
    try:
        app()
    except TrunklineError as error:
        sys.stderr.write(f"trunkline: {error}\n")
        sys.exit(error.exit_status)
    except KeyboardInterrupt:
        sys.stderr.write("\ntrunkline: stopped; nothing is lost, the same command goes on where it was\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # the reader of a pipe went away, as `head` does
        sys.stderr.close()
        sys.exit(0)
