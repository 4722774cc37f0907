"""`trunkline evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from trunkline.cli.common import HomeOption, JsonOption, emit, settings, stdout


def evaluate(
    bundle: Annotated[str, typer.Argument(help="A bundle file, or NAME[@VERSION|@ALIAS].")],
    dataset: Annotated[str, typer.Argument(help="A folder in any known layout, or the NAME[@VERSION] of a data set.")],
    split: Annotated[
        str, typer.Option("--split", help="test, train or all; `test` falls back to all where there is no split.")
    ] = "test",
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Measure a model on labelled images, with 95 % intervals.

    Example: `trunkline evaluate steel@champion ../new-parts --json`
    """
    from trunkline.platform.line.evaluation import evaluate_bundle

    row = evaluate_bundle(bundle, dataset, settings(home), split=split)
    if json:
        emit(row)
        return
    out = stdout()
    out.print(f"{row['name']} on {row['images']} images of {row['dataset']}", markup=False, style="bold")
    for name, value in row["metrics"].items():
        low, high = row["intervals"].get(name, (None, None))
        span = f"  ({low:.4f} to {high:.4f})" if low is not None else ""
        out.print(f"  {name} {value:.4f}{span}", markup=False)
    for label in row["per_class"]:
        out.print(f"  {label['label']}: recall {label['recall']:.3f}, precision {label['precision']:.3f}", markup=False)
