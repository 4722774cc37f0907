"""`trunkline data`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli import complete
from trunkline.cli.common import HomeOption, JsonOption, cell, emit, name_or_path, settings, stderr, stdout

if TYPE_CHECKING:
    from trunkline.core.settings import Settings

_NAMED = 5  # names that are shown of one finding; `--json` has more
app = typer.Typer(
    help="Data sets of this home: immutable, versioned, named by content.",
    no_args_is_help=True,
    epilog="Example: `trunkline data import ../parts`, then `trunkline data show parts`.",
)
NameArgument = Annotated[
    str,
    typer.Argument(help="NAME or NAME@VERSION; the newest version when none is given.", callback=name_or_path),
]


@app.command("import")
def import_(
    sources: Annotated[list[Path], typer.Argument(help="Folders in any known layout.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the data set.", show_default="the folder's")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option("--format", help="The layout; detected when not given.", autocompletion=complete.formats),
    ] = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Take images and labels in; unreadable files are listed and left out.

    Example: `trunkline data import ../parts --name parts`
    """
    from trunkline.core.types.scenario import Source
    from trunkline.platform.data import api
    from trunkline.platform.line.scenarios import from_folder

    title = name or from_folder(sources[0], task="classify").name
    row = api.import_(
        [Source(path=source.resolve(), format=layout) for source in sources], settings(home), name=title,
        progress=_progress(),
    )  # fmt: skip
    _show(row, as_json=json)


@app.command("ls")
def ls(json: JsonOption = False, home: HomeOption = None) -> None:
    """List the data sets.

    Example: `trunkline data ls`
    """
    from trunkline.platform.data import api

    rows = api.list_datasets(settings(home, writes=False))
    if json:
        for row in rows:
            emit(row)
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "version", "images", "labels", "digest"):
        table.add_column(title)
    for row in rows:
        table.add_row(
            cell(row["name"]),
            str(row["version"]),
            str(row["images"]),
            str(row["labels"]),
            row["digest"][:12],
        )
    stdout().print(table if rows else "no data set yet; `trunkline data import FOLDER` makes one")


@app.command("show")
def show(name: NameArgument, json: JsonOption = False, home: HomeOption = None) -> None:
    """Show a data set: labels, splits, findings.

    Example: `trunkline data show parts`
    """
    from trunkline.platform.data import api

    chosen = settings(home, writes=False)
    row = api.show(name, chosen)
    _show(row, as_json=json)
    if row["findings"] and not json:
        report = _report(row["name"], row["digest"], chosen)
        stdout().print(f"the pictures are in the report of a build: {report or 'none yet'}", markup=False)


def _report(name: str, dataset: str, chosen: Settings) -> Path | None:
    """The newest report on a model of this name that was measured on the data set."""
    from trunkline.core.errors import BundleError
    from trunkline.platform.registry.bundle import read
    from trunkline.platform.registry.registry import Registry

    for version in reversed(Registry(chosen).versions(name)):
        report = chosen.home / "reports" / f"{version.digest}.html"
        with contextlib.suppress(BundleError):
            if report.is_file() and read(version.path).manifest.lineage.dataset == dataset:
                return report
    return None


@app.command("diff")
def diff(first: NameArgument, second: NameArgument, json: JsonOption = False, home: HomeOption = None) -> None:
    """Compare two data sets: images added, removed and relabelled.

    Example: `trunkline data diff parts@1 parts@2`
    """
    from trunkline.platform.data import api

    row = api.diff(first, second, settings(home, writes=False))
    if json:
        emit(row)
        return
    out = stdout()
    for key, value in row.items():
        text = f"{len(value)}" if isinstance(value, list) else f"{value}"
        out.print(f"{key.replace('_', ' ')}: {text}", markup=False)
        for line in value[:10] if isinstance(value, list) else ():
            out.print(f"  {line}", markup=False)


@app.command("export")
def export(
    name: NameArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder to write; it must be empty or not be there.")],
    layout: Annotated[
        str, typer.Option("--format", help="The layout to write.", autocompletion=complete.formats)
    ] = "imagefolder",
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Write a data set in a layout that other tools read.

    Example: `trunkline data export parts --format coco --out parts-coco`
    """
    from trunkline.platform.data import api

    api.export(name, out, layout, settings(home, writes=False))
    if json:
        emit({"name": name, "format": layout, "path": str(out)})
    else:
        stdout().print(f"wrote {out}", markup=False)


def _progress() -> Any:
    from trunkline.cli.progress import LineProgress

    return LineProgress(stderr(), "intake", "images")


def _show(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit(row)
        return
    from trunkline.core.types.dataset import Finding

    out = stdout()
    out.print(
        f"{row['name']} version {row['version']}  {row['format']}  {row['digest'][:12]}", markup=False, style="bold"
    )
    out.print(f"  images {row['images']}", markup=False)
    for label, count in row["labels"].items():
        out.print(f"  {label}: {count}", markup=False)
    for split, count in row["splits"].items():
        out.print(f"  split {split or 'none'}: {count}", markup=False)
    for finding in map(Finding.from_json, row["findings"]):
        out.print(f"  {finding.severity}: {finding.message}", markup=False)
        for place, name in enumerate(finding.names[:_NAMED]):
            said = finding.caption(place)
            out.print(f"    {name}: {said}" if said else f"    {name}", markup=False)
        more = finding.detail.get("count", len(finding.names)) - _NAMED
        if finding.names and more > 0:
            out.print(f"    and {more:,} more", markup=False)
