"""`trunkline trunks`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli import complete
from trunkline.cli.common import HomeOption, JsonOption, complain, emit, name_or_path, settings, stdout

app = typer.Typer(
    help="The frozen backbones that heads stand on.", no_args_is_help=True, epilog="Example: `trunkline trunks ls`."
)


@app.command("ls")
def ls(json: JsonOption = False, home: HomeOption = None) -> None:
    """List the trunks of this home and those that can be made.

    Example: `trunkline trunks ls`
    """
    from trunkline.algorithms.trunks import list_trunks

    rows = list_trunks(settings(home, writes=False).home)
    if json:
        for row in rows:
            emit(row)
        return
    from rich.markup import escape
    from rich.table import Table

    columns = ("name", "digest_short", "input", "features", "licence", "state")
    table = Table(box=None, pad_edge=False)
    for title in ("name", "digest", "input", "features", "licence", "state"):
        table.add_column(title)
    for row in rows:
        table.add_row(*(escape(str(row.get(key, ""))) for key in columns))
    stdout().print(table)


@app.command("export")
def export(
    trunk: Annotated[
        str,
        typer.Argument(
            help="Its name, spec (onnx:FILE, timm:NAME) or digest, of which 8 digits will do.",
            callback=name_or_path,
            autocompletion=complete.trunks,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The file, or a folder for it.", show_default="HOME/exports")
    ] = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Write a trunk into one signed file, for a machine that cannot make it.

    Example: `trunkline trunks export efficientnet-lite0 --out lite0.tlt`
    """
    from trunkline.platform.registry.trunk_file import export_trunk

    path = export_trunk(trunk, settings(home).home, out, say=complain)
    size = path.stat().st_size
    if json:
        emit({"file": str(path), "bytes": size})
    else:
        stdout().print(
            f"{path} ({size / 1e6:.1f} MB); on the other machine: trunkline trunks import {path.name}", markup=False
        )


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A file that `trunkline trunks export` made.")],
    trust: Annotated[bool, typer.Option("--trust", help="Trust the signer's key from now on, for models too.")] = False,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Take a trunk from a signed file; its graphs are run before it is used.

    Example: `trunkline trunks import lite0.tlt --trust`
    """
    from trunkline.platform.registry.trunk_file import import_trunk

    trunk = import_trunk(file, settings(home).home, trusting=trust)
    if json:
        emit({"name": trunk.card.name, "digest": trunk.card.digest, "licence": trunk.card.licence})
    else:
        stdout().print(f"{trunk.card.name} {trunk.card.digest[:12]} is ready ({trunk.card.licence})", markup=False)
