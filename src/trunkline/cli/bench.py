"""`trunkline bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli import complete
from trunkline.cli.common import HomeOption, JsonOption, cell, complain, emit, settings, stdout

if TYPE_CHECKING:
    from trunkline.compute.chips.cards import Card, ModelRow, TrunkRow
    from trunkline.core.settings import Settings

app = typer.Typer(
    help="What this machine, or another chip, can carry.",
    no_args_is_help=True,
    epilog="Example: `trunkline bench engine`.",
)
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="all")]
_SIMULATED = "npu-int8"


@app.command("chip")
def chip(
    refs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Models, NAME[@VERSION|@ALIAS], NAME may hold * and ?; without, trunks alone are measured.",
            autocompletion=complete.models,
            show_default="trunks alone",
        ),
    ] = None,
    name: Annotated[str, typer.Option("--chip", help="cpu, cuda or npu-int8.")] = "cpu",
    trunk: Annotated[
        list[str] | None,
        typer.Option("--trunk", help="A trunk to measure; can be given again.", show_default="those of this home"),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            "--images",
            help="Images or a folder to calibrate and compare on; can be given again.",
            show_default="the models' own, or this home's",
        ),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(
            "--max-loss",
            help="What a class may lose for speed, 0 to 1.",
            show_default="`precision_loss` of each model's scenario",
        ),
    ] = None,
    array: Annotated[
        str, typer.Option("--array", help="npu-int8: the array, a name or ROWSxCOLUMNS.", show_default="edge-16x16")
    ] = "",
    json: JsonOption = False,
    home: HomeOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Measure runtimes and precisions on this machine, and choose for each model.

    A model takes a reduced precision only if that is at least 1.2 times as fast and no class loses more recall, or
    gains more false alarms, than allowed, on the model's own frozen test set. The card of the chip,
    `HOME/chips/NAME.json`, keeps the choice with its evidence; `predict` follows it.

    Examples:

    `trunkline bench chip`

    `trunkline bench chip 'steel*@champion' --json`

    `trunkline bench chip --chip npu-int8 --array 32x32 steel`
    """
    chosen = settings(home, threads=threads)
    if name == _SIMULATED:
        _simulate(chosen, refs or [], trunk or [], images or [], array, json)
        return
    if array:
        from trunkline.core.errors import ConfigError

        raise ConfigError(f"expected no array for the chip {name}", where="--array", fix=f"add --chip {_SIMULATED}")
    from trunkline.platform.bench.chip import bench_chip

    card, path = bench_chip(
        chosen, chip=name, refs=refs or (), trunks=trunk or (), images=images or (), max_loss=max_loss, say=complain
    )
    if json:
        for row in card_rows(card):
            emit(row)
        return
    _show(card, path)


@app.command("engine")
def engine(
    trunk: Annotated[
        str, typer.Option("--trunk", help="The trunk.", autocompletion=complete.trunks)
    ] = "efficientnet-lite0",
    json: JsonOption = False,
    home: HomeOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Say what this machine can carry: images a second, the cost of heads, cameras.

    Measured now, on drawn pictures, in under a minute; other programs at work make it less.

    Example: `trunkline bench engine`
    """
    from trunkline.platform.bench.engine import bench_engine

    row = bench_engine(settings(home, threads=threads), trunk=trunk, say=complain).to_json()
    if json:
        emit(row)
        return
    width, height = row["frame"]
    lines = [
        f"{row['trunk']}, {row['runtime']} {row['precision']}, {row['threads']} threads on {row['machine']['cpu']}",
        f"trunk, batches of {row['batch']}      {row['trunk_images_per_second']:>10,.1f} images/s",
        f"trunk, single images      {row['single_ms_p50']:>8.1f} ms (95 of 100 within {row['single_ms_p95']:.1f})",
        f"JPEG {width} x {height} to input {row['decoded_images_per_second']:>9,.1f} images/s",
        *(f"{int(count):>6,} heads on an image    {ms:>8.3f} ms" for count, ms in row["heads_ms"].items()),
        f"JPEG to {row['heads']:,} answers   {row['answers_per_second']:>10,.1f} images/s",
        f"memory                   {row['memory_mb']:>9,.0f} MB; 10,000 heads add {row['memory_mb_heads']:,.0f}",
        *(
            f"cameras of {rate} a second    {count:>8,} with {row['heads']:,} models each"
            for rate, count in row["cameras"].items()
        ),
    ]
    for line in lines:
        stdout().print(line, markup=False)


def card_rows(card: Card) -> list[dict[str, Any]]:
    """One row a way of a trunk, then one a model; JSON only."""
    from dataclasses import asdict

    ways = [
        {"kind": "way", "chip": card.chip, "trunk": row.name, "trunk_digest": digest, "plain": way.way == row.plain,
         **asdict(way.way), **{key: value for key, value in asdict(way).items() if key != "way"},
         "threads": row.threads, "batch": row.batch, "images": row.images}
        for digest, row in card.trunks.items()
        for way in row.ways
    ]  # fmt: skip
    models = [
        {"kind": "model", "chip": card.chip, "bundle": digest, **asdict(row)} for digest, row in card.models.items()
    ]
    return [*ways, *models]


def _show(card: Card, path: Path) -> None:
    from rich.table import Table

    out = stdout()
    for note in card.what.get("notes", ()):
        out.print(f"{card.chip}: {note}", markup=False)
    for row in card.trunks.values():
        out.print(
            f"{row.name}: {row.threads} threads, batches of {row.batch}; features compared on {row.images} images",
            markup=False,
        )
        out.print(_ways(row, Table(box=None, pad_edge=False)))
    for model in card.models.values():
        out.print(f"{model.name}: {model.way}; {model.reason}", markup=False)
        if model.trials:
            out.print(_trials(model, Table(box=None, pad_edge=False)))
    out.print(f"kept in {path}", markup=False)


def _ways(row: TrunkRow, table: Any) -> Any:
    for title in ("way", "images/s", "times", "CPU ms", "p50 ms", "p95 ms", "cosine (least)", ""):
        table.add_column(title)
    for way in row.ways:
        if way.reason:
            table.add_row(cell(str(way.way)), "-", "-", "-", "-", "-", "-", cell(way.reason))
            continue
        alike = f"{way.cosine:.4f} ({way.cosine_least:.4f})" if row.images else "-"
        table.add_row(
            cell(str(way.way)), f"{way.images_per_second:.1f}", f"{way.times:.2f}", f"{way.cpu_ms:.1f}",
            f"{way.p50_ms:.1f}", f"{way.p95_ms:.1f}", alike, "fp32 without a card" if way.way == row.plain else "",
        )  # fmt: skip
    return table


def _trials(model: ModelRow, table: Any) -> Any:
    """Recall of each class in every way that was tried."""
    for title in ("class", "test images", "fp32", *(str(trial.way) for trial in model.trials)):
        table.add_column(cell(title))
    for label, (count, plain, _) in model.trials[0].classes.items():
        found = [trial.classes[label][2] for trial in model.trials]
        table.add_row(cell(label), str(count), _share(plain), *(_changed(value, plain) for value in found))
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _changed(value: float | None, plain: float | None) -> str:
    return "-" if value is None or plain is None else f"{value:.4f} ({100 * (value - plain):+.2f})"


def _simulate(chosen: Settings, refs: list[str], trunks: list[str], images: list[Path], array: str, json: bool) -> None:
    """`--chip npu-int8`: integers and cycles from the simulator."""
    from trunkline.core.errors import ConfigError
    from trunkline.platform.bench.npu import simulate

    if len(refs) > 1 or len(trunks) > 1:
        raise ConfigError("expected at most one model and one trunk for npu-int8", where="bench chip", fix="name one")
    report = simulate(
        chosen,
        trunk=trunks[0] if trunks else "" if refs else "efficientnet-lite0",
        model=refs[0] if refs else None,
        array=array or "edge-16x16",
        images=images or None,
        say=complain,
    )
    row = report.to_json()
    if json:
        emit(row)
        return
    out = stdout()
    work = f"{row['macs'] / 1e6:,.0f} million products, {row['cycles']:,} cycles an image"
    where = f"{row['trunk']} on npu-int8 {row['array']['name']}"
    out.print(f"{where}: {work}, {row['ms_at_1_ghz']:g} ms at 1 GHz", markup=False)
    out.print(
        f"features: cosine with floats {row['features_cosine']:.4f} (least {row['features_cosine_least']:.4f}) "
        f"on {row['compared_images']} images",
        markup=False,
    )
    if row["model"]:
        model = row["model"]
        out.print(f"{model['name']}: {model['changed']} of {model['images']} answers changed", markup=False)
