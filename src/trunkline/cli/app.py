"""The table of commands, and what every command does with an error.

Exit status: 0 done, 1 a fault of ours, 2 the input is wrong, 3 built and a gate failed (`core.errors`); 130 stopped by
Ctrl-C; 141 the reader of standard output went away before the end, as shells say it of a program killed by SIGPIPE.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from trunkline import __version__
from trunkline.cli import bench, build, data, demo, doctor, evaluate, models, new, predict, serve, trunks
from trunkline.cli.common import complain
from trunkline.core.errors import InputError, TrunklineError
from trunkline.core.text import printable

INTERRUPTED, PIPE_CLOSED = 130, 141


@contextmanager
def _ended_from_outside() -> Iterator[None]:
    """Ctrl-C and a reader that went away are no faults; typer would say nothing of the one and give 1 for the other."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("\ntrunkline: stopped; nothing is lost, the same command goes on where it was\n")
        raise typer.Exit(INTERRUPTED) from None
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):  # rich exits itself
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter trips over it at its end
        raise typer.Exit(PIPE_CLOSED) from None


@contextmanager
def _told_of_dashes() -> Iterator[None]:
    """Say how a name that begins with a dash is written, where it was taken for an option that is like no other."""
    try:
        yield
    except TyperException as error:
        unknown = getattr(error, "option_name", "") and not getattr(error, "possibilities", ())
        command: Any = getattr(error, "cmd", None)
        if unknown and command and any(not param.opts[0].startswith("-") for param in command.params):
            error.message += ". A name that begins with a dash comes last, after `--`; a path may also be ./-name"
        raise


class _Commands(TyperGroup):
    def make_context(self, *args: Any, **options: Any) -> Any:
        with _ended_from_outside():
            return super().make_context(*args, **options)

    def invoke(self, context: Any) -> Any:
        with _ended_from_outside(), _told_of_dashes():
            return super().invoke(context)


app = typer.Typer(
    name="trunkline",
    cls=_Commands,
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
app.command("serve")(serve.serve)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(trunks.app, name="trunks")
app.add_typer(bench.app, name="bench")
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
    """Run a command and turn errors into messages and exit statuses."""
    if sys.stdout is None:  # started with standard output closed
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (open until the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no UTF-8
    try:
        app(prog_name="trunkline")
    except Exception as error:  # the last place that can make a message of it  # noqa: BLE001
        sys.exit(tell(error))


def tell(error: Exception) -> int:
    """Say on standard error what went wrong and what helps; the exit status."""
    import traceback

    debug = bool(os.environ.get("TRUNKLINE_DEBUG"))
    if debug:
        traceback.print_exception(error)
    known = _known(error)
    if known is not None:
        complain(str(known))
        return known.exit_status
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if f"{os.sep}trunkline{os.sep}" in f.filename]
    text = printable(f"{type(error).__name__}: {error}".rstrip(": "))
    complain(f"a fault of ours: {text}" + (f" (in {ours[-1]})" if ours else ""))
    if not debug:
        sys.stderr.write(
            "  fix: run it again with TRUNKLINE_DEBUG=1 and report what it prints, with the command that you ran\n"
        )
    return TrunklineError.exit_status


def _known(error: Exception) -> TrunklineError | None:
    """The error as one of ours: it is one, or a disk or its owner says no where nobody expected it."""
    from trunkline.core.files import storage_error

    if isinstance(error, TrunklineError):
        return error
    if not isinstance(error, OSError):
        return None
    place = error.filename if isinstance(error.filename, str) else "the disk"
    if isinstance(error, PermissionError):
        return InputError("this user may not read or write it", where=place, fix="see who owns it")
    return storage_error(Path(place), error)
