"""`trunkline models`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from trunkline.cli import complete
from trunkline.cli.common import (
    HomeOption,
    JsonOption,
    WhoOption,
    cell,
    complain,
    emit,
    name_or_path,
    settings,
    stderr,
    stdout,
    who,
)

app = typer.Typer(
    help="Models of this home: versions, champions, their history.",
    no_args_is_help=True,
    epilog="Example: `trunkline models ls`, then `trunkline models show steel@champion`.",
)
RefArgument = Annotated[
    str,
    typer.Argument(
        help="NAME, NAME@VERSION or NAME@ALIAS (champion, challenger).",
        callback=name_or_path,
        autocompletion=complete.models,
    ),
]
_OPENING = "opening MLflow, which takes a few seconds"
_LONG = 2.0  # seconds that nothing need be said
WhyOption = Annotated[str, typer.Option("--why", help="Reason, for the audit log.")]


@app.command("ls")
def ls(json: JsonOption = False, home: HomeOption = None) -> None:
    """List the models with their champions and challengers.

    Example: `trunkline models ls --json`
    """
    registry = _registry(settings(home, writes=False))
    rows = registry.ls()
    if lost := registry.lost():
        complain(str(lost))
    if json:
        for row in rows:
            emit(row)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "task", "versions", "champion", "challenger", "status", "figure", "KB"):
        table.add_column(title)
    for row in rows:
        table.add_row(
            cell(row["name"]), row["task"], str(row["versions"]), _version(row["champion"]),
            _version(row["challenger"]), _state(row["status"]), row["figure"], f"{row['bundle_bytes'] / 1024:.0f}",
        )  # fmt: skip
    stdout().print(table if rows else "no model yet; `trunkline build FOLDER` makes one")


def _state(status: str) -> str:
    from trunkline.core.types.gate import NOTHING_ASKED

    return NOTHING_ASKED if status == "measured" else status


def _version(number: int | None) -> str:
    return str(number) if number else "-"


@app.command("show")
def show(ref: RefArgument, json: JsonOption = False, home: HomeOption = None) -> None:
    """Show one version: figures, gates, digests, signer.

    Example: `trunkline models show steel@champion`
    """
    from trunkline.core.types.gate import said

    row = _registry(settings(home, writes=False)).show(ref)
    if json:
        emit(row)
        return
    metrics = {name: said(value) for name, value in row["metrics"].items()}
    _print({**row, "status": _state(row["status"]), "metrics": metrics})


def _print(row: dict[str, Any], indent: int = 0) -> None:
    out = stdout()
    for key, value in row.items():
        if isinstance(value, dict):
            out.print(" " * indent + f"{key}:", markup=False)
            _print(value, indent + 2)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            out.print(" " * indent + f"{key}:", markup=False)
            for item in value:
                line = ", ".join(f"{k} {_text(v)}" for k, v in item.items() if v not in (None, ""))
                out.print(" " * (indent + 2) + line, markup=False)
        else:
            out.print(" " * indent + f"{key}: {_text(value)}", markup=False)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "-"
    if value is None or value == "":
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


@app.command("compare")
def compare(first: RefArgument, second: RefArgument, json: JsonOption = False, home: HomeOption = None) -> None:
    """Set the figures of two versions side by side.

    Example: `trunkline models compare steel@champion steel@challenger`
    """
    row = _registry(settings(home, writes=False)).compare(first, second)
    if json:
        emit(row)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("figure", row["first"], row["second"], "difference"):
        table.add_column(cell(title))
    for name, (a, b) in row["metrics"].items():
        change = f"{b - a:+.4f}" if a is not None and b is not None else ""
        table.add_row(name, _text(a), _text(b), change)
    stdout().print(table)
    if not row["same_test"]:
        stdout().print("not measured on the same test images: the figures do not say which of the two is better")


@app.command("promote")
def promote(
    ref: RefArgument,
    alias: Annotated[
        str, typer.Option("--alias", help="champion or challenger.", autocompletion=complete.aliases)
    ] = "champion",
    why: WhyOption = "",
    override: Annotated[
        bool, typer.Option("--override", help="Promote a model whose gate failed; the reason is signed and kept.")
    ] = False,
    who_: WhoOption = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Make a version the champion (or challenger); written to the audit log.

    Example: `trunkline models promote steel@3 --why "better on scratches"`
    """
    with _opening(said=not json):
        row = _registry(settings(home)).promote(ref, alias=alias, who=who(who_), why=why, override=override)
    if json:
        emit(row)
        return
    said = "is now version" if row["previous"] != row["version"] else "was already, so nothing was written: version"
    stdout().print(f"{row['name']}: {alias} {said} {row['version']}", markup=False)


@app.command("rollback")
def rollback(
    name: Annotated[
        str, typer.Argument(help="The model's name.", callback=name_or_path, autocompletion=complete.models)
    ],
    why: WhyOption = "",
    who_: WhoOption = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Make the champion before this one the champion again; written to the audit log.

    Example: `trunkline models rollback steel --why "alarms at night"`
    """
    with _opening(said=not json):
        row = _registry(settings(home)).rollback(name, who=who(who_), why=why)
    emit(row) if json else stdout().print(f"{row['name']}: champion is again version {row['version']}", markup=False)


@app.command("export")
def export(
    ref: RefArgument,
    to: Annotated[str, typer.Option("--to", help="onnx, openvino or web.", autocompletion=complete.export_formats)],
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder to make.", show_default="HOME/exports/NAME-VERSION-FORMAT")
    ] = None,
    onnxruntime_web: Annotated[
        Path | None,
        typer.Option(
            "--onnxruntime-web",
            help="For web: the package onnxruntime-web, a folder or a .tgz.",
            show_default="fetched with npm",
        ),
    ] = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Write a stand-alone model: preprocessing, trunk and head in one.

    What is written answers as the engine does, which is checked before the folder appears. A former export at the same
    place is replaced; anything else there is left alone.

    Examples:

    `trunkline models export steel@champion --to onnx`

    `trunkline models export steel --to web --out steel-page`
    """
    from trunkline.core.text import printable
    from trunkline.platform.export.api import export as run

    row = run(
        ref, to, settings(home), warn=lambda sentence: complain(printable(sentence)), out=out,
        onnxruntime_web=onnxruntime_web,
    )  # fmt: skip
    if json:
        emit(row)
        return
    print_ = stdout().print
    print_(
        f"{row['folder']}: {len(row['files'])} files, {row['bytes'] / 1e6:.1f} MB, opset {row['opset']}", markup=False
    )
    for one in row["checked"]:
        same = f"{one['pictures']} pictures answered as by the engine, scores within {one['largest_difference']:.1g}"
        print_(f"{one['runtime']}: {same}", markup=False)
    print_(f"next: {row['start']}", markup=False)


@contextlib.contextmanager
def _opening(*, said: bool) -> Iterator[None]:
    """Tell what is waited for: on a terminal at once, elsewhere in one line when it takes long, if anything is said."""
    import threading

    console = stderr()
    timer = threading.Timer(_LONG, console.print, [f"{_OPENING} ..."])
    timer.daemon = True
    if said and not console.is_terminal:
        timer.start()
    try:
        with console.status(_OPENING):
            yield
    finally:
        timer.cancel()


def _registry(chosen: Any) -> Any:
    from trunkline.platform.registry.registry import Registry

    return Registry(chosen)
