"""`trunkline evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from trunkline.cli import complete
from trunkline.cli.common import HomeOption, JsonOption, complain, emit, name_or_path, settings, stdout


def evaluate(
    bundle: Annotated[
        str,
        typer.Argument(
            help="A bundle file, or NAME[@VERSION|@ALIAS].", callback=name_or_path, autocompletion=complete.models
        ),
    ],
    dataset: Annotated[
        str,
        typer.Argument(
            help="A folder in any known layout, or the NAME[@VERSION] of a data set.", callback=name_or_path
        ),
    ],
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            help="test, train or all, with images that taught the model too; test is all where the data has no split.",
            show_default="test, without images that taught the model",
            autocompletion=complete.splits,
        ),
    ] = None,
    json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Measure a model on labelled images, with 95 % intervals.

    The scenario's `labels:` are applied to the data. Images that the model learned from, told by their bytes, are left
    out unless `--split` is given; how many there are is said either way.

    Example: `trunkline evaluate steel@champion ../new-parts --json`
    """
    from trunkline.core.text import printable
    from trunkline.core.types.gate import said
    from trunkline.platform.line.evaluation import evaluate_bundle

    row = evaluate_bundle(bundle, dataset, settings(home), split=split)
    if json:
        emit(row)
        return
    for warning in row["warnings"]:
        complain(printable(warning))
    out = stdout()
    out.print(f"{row['name']} on {row['images']} images of {row['dataset']}", markup=False, style="bold")
    for name, value in row["metrics"].items():
        low, high = row["intervals"].get(name, (None, None))
        span = f"  ({low:.4f} to {high:.4f})" if low is not None else ""
        why = f"  ({row['notes'][name]})" if value is None and name in row["notes"] else ""
        out.print(f"  {name} {said(value)}{span}{why}", markup=False)
    for label in row["per_class"]:
        recall, precision = said(label["recall"], 3), said(label["precision"], 3)
        out.print(f"  {label['label']}: recall {recall}, precision {precision}", markup=False)
