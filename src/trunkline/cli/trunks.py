"""`trunkline trunks`."""

from __future__ import annotations

import typer

from trunkline.cli.common import HomeOption, JsonOption, emit, settings, stdout

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
