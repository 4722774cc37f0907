"""`trunkline build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline.cli.common import HomeOption, JsonOption, WhoOption, cell, emit, settings, stderr, stdout, who

if TYPE_CHECKING:
    from trunkline.platform.line.results import BuildResult, Outcome

_EPILOG = """Examples:

`trunkline build parts/` (a folder for each class)

`trunkline build boxed/ --task multilabel` (VOC, COCO or YOLO boxes: each image gets the set of its boxes' labels)

`trunkline build scenarios/*.yaml --json`

Exit status: 0 every gate passed, 2 an input is wrong, 3 built and a gate failed."""


def build(
    scenarios: Annotated[list[Path], typer.Argument(help="Scenario files, or folders of images in any known layout.")],
    task: Annotated[
        str | None, typer.Option("--task", help="Task for folders: classify, multilabel or anomaly.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Model name for a single folder.")] = None,
    json: JsonOption = False,
    home: HomeOption = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="all")] = None,
    runtime: Annotated[
        str | None, typer.Option("--runtime", help="openvino, onnxruntime, or auto: the faster one here.")
    ] = None,
    who_: WhoOption = None,
) -> None:
    """Make models: images in, gated, signed, registered models out.

    A build that was stopped, even by `kill -9`, goes on where it was; an unchanged scenario costs nothing.
    """
    from trunkline.cli.progress import LiveTable
    from trunkline.core.errors import ConfigError
    from trunkline.platform.line.runner import run_line
    from trunkline.platform.line.scenarios import load

    if name is not None and len(scenarios) > 1:
        raise ConfigError(f"expected one folder with --name, got {len(scenarios)}", where="--name")
    asked = load(scenarios, task=task, name=name)
    chosen = settings(home, threads=threads, runtime=runtime)
    console = stderr()
    with LiveTable(console) as table:
        outcome = run_line(asked, chosen, listener=table, who=who(who_))
    show(outcome, as_json=json)
    raise typer.Exit(outcome.exit_status)


build.__doc__ = f"{build.__doc__}\n{_EPILOG}"


def show(outcome: Outcome, *, as_json: bool) -> None:
    """Print results to standard output and errors to standard error."""
    console = stderr()
    if as_json:
        for result in outcome.results:
            emit(result.to_json())
    elif len(outcome.results) == 1:
        _one(outcome.results[0])
    elif outcome.results:
        _many(outcome)
    for scenario, error in outcome.errors:
        console.print(f"trunkline: scenario {scenario}: {error}", markup=False, style="red")


def _verdict(result: BuildResult) -> str:
    return "passed" if result.gates_passed else "failed"


def _one(result: BuildResult) -> None:
    from trunkline.platform.line.gate import PRIMARY

    out = stdout()
    figure = PRIMARY[result.task]
    state = "unchanged, " if result.status == "unchanged" else ""
    out.print(f"{result.name} version {result.version}: {state}{_verdict(result)}", markup=False, style="bold")
    span = result.intervals.get(figure)
    between = f" ({span[0]:.4f} to {span[1]:.4f})" if span else ""
    tested = f"{result.metrics['test_images']:.0f} test images"
    out.print(f"  {figure} {result.metrics[figure]:.4f}{between} on {tested}", markup=False)
    for gate in result.gates:
        thin = ", evidence: thin" if gate["evidence"] == "thin" else ""
        out.print(
            f"  gate {gate['name']} {gate['limit']}: {gate['verdict']} with {gate['value']:.4f} "
            f"({gate['low']:.4f} to {gate['high']:.4f}{thin})",
            markup=False,
        )
    for finding in result.findings:
        out.print(f"  {finding['severity']}: {finding['message']}", markup=False)
    if result.seconds:
        spent = ", ".join(f"{station} {seconds:.1f} s" for station, seconds in result.seconds.items())
        out.print(f"  {result.cpu_seconds:.1f} CPU seconds; on the clock: {spent}", markup=False)
    out.print(f"  bundle  {result.bundle} ({result.bundle_bytes / 1024:.0f} KB)", markup=False)
    out.print(f"  report  {result.report}", markup=False)
    if result.alias == "challenger":
        out.print(
            f"  it waits as the challenger, not compared with the champion: "
            f"`trunkline models promote {result.name!r}@{result.version}` makes it the champion",
            markup=False,
        )
    out.print(f"next: open the report, or `trunkline predict {result.name!r} IMAGE...`", markup=False)


def _many(outcome: Outcome) -> None:
    from rich.table import Table

    from trunkline.platform.line.gate import PRIMARY

    table = Table(box=None, pad_edge=False)
    for title, justify in (("model", "left"), ("version", "right"), ("verdict", "left"), ("figure", "left"),
                           ("images", "right"), ("KB", "right"), ("CPU s", "right")):  # fmt: skip
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for result in outcome.results:
        figure = PRIMARY[result.task]
        table.add_row(
            cell(result.name), str(result.version),
            _verdict(result) + (" (unchanged)" if result.status == "unchanged" else ""),
            f"{figure} {result.metrics[figure]:.4f}", str(result.images),
            f"{result.bundle_bytes / 1024:.0f}", f"{result.cpu_seconds:.2f}",
        )  # fmt: skip
    out = stdout()
    out.print(table)
    good = sum(result.gates_passed for result in outcome.results)
    size = sum(result.bundle_bytes for result in outcome.results)
    cpu = sum(result.cpu_seconds for result in outcome.results)
    out.print(f"{good} of {len(outcome.results)} passed; {size / 1024:.0f} KB in all; {cpu:.1f} CPU seconds")
