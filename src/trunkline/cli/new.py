"""`trunkline new`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli import complete
from trunkline.cli.common import JsonOption, emit, stdout


def new(
    folder: Annotated[Path, typer.Argument(help="Folder to make; the scenario is written into it.")],
    data: Annotated[Path | None, typer.Option("--data", help="Folder of images that the scenario names.")] = None,
    task: Annotated[
        str, typer.Option("--task", help="classify, multilabel or anomaly.", autocompletion=complete.tasks)
    ] = "classify",
    json: JsonOption = False,
) -> None:
    """Write a scenario that you can read and edit.

    Example: `trunkline new steel --data ../images --task classify`
    """
    from trunkline.platform.line.template import write_template

    path = write_template(folder, data=data, task=task)
    if json:
        emit({"path": str(path)})
        return
    out = stdout()
    out.print(f"wrote {path}", markup=False)
    out.print(f"next: edit it, then `trunkline build {shlex.quote(str(path))}`", markup=False)
