"""`trunkline build`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli import complete
from trunkline.cli.common import HomeOption, JsonOption, WhoOption, cell, emit, settings, stderr, stdout, who

if TYPE_CHECKING:
    from trunkline.platform.line.results import BuildResult, Outcome

_MISSED = 20  # failed models whose limits are listed
_EPILOG = """Examples:

`trunkline build parts/` (a folder for each class)

`trunkline build boxed/ --task multilabel` (VOC, COCO or YOLO boxes: each image gets the set of its boxes' labels)

`trunkline build scenarios/*.yaml --json`

Exit status: 0 every gate passed, 2 an input is wrong, 3 built and a gate failed."""


def build(
    scenarios: Annotated[list[Path], typer.Argument(help="Scenario files, or folders of images in any known layout.")],
    task: Annotated[
        str | None,
        typer.Option(
            "--task", help="Task for folders: classify, multilabel or anomaly.", autocompletion=complete.tasks
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Model name for a single folder.")] = None,
    json: JsonOption = False,
    home: HomeOption = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="all")] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            "--runtime",
            help="openvino, onnxruntime, or auto: OpenVINO, unless the other is over twice as fast here.",
            autocompletion=complete.runtimes,
        ),
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
    if len(outcome.results) > 1 and not json:
        reports = Path(outcome.results[0].report).parent
        stdout().print(
            f"next: `trunkline models ls`, or `trunkline predict NAME IMAGE...`; reports are in {reports}", markup=False
        )
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
        text = str(error).removeprefix(f"scenario {scenario}: ").removeprefix(f"{scenario}: ")  # not said twice
        for line in f"trunkline: scenario {scenario}: {text}".split("\n"):
            console.print(line, markup=False, style="red")


def _one(result: BuildResult) -> None:
    from trunkline.core.types.gate import is_measured, said

    out = stdout()
    figure = result.figure
    state = "unchanged, " if result.status == "unchanged" else ""
    out.print(f"{result.name} version {result.version}: {state}{result.verdict}", markup=False, style="bold")
    layout = f", read as {result.format}" if result.format else ""  # a result of an older home does not know it
    out.print(f"  {result.images} images of {result.classes} labels{layout}", markup=False)
    span = result.intervals.get(figure)
    between = f" ({span[0]:.4f} to {span[1]:.4f})" if span else ""
    tested = f"{result.metrics['test_images']:.0f} test images"
    out.print(f"  {figure} {said(result.metrics[figure])}{between} on {tested}", markup=False)
    if unknown := [name for name, value in result.metrics.items() if not is_measured(value)]:
        out.print(f"  not measured: {', '.join(unknown)}", markup=False)
    for gate in result.gates:
        out.print(f"  gate {gate['name']} {gate['limit']}: {gate['verdict']}{_figures(gate)}", markup=False)
    for finding in result.findings:
        out.print(f"  {finding['severity']}: {finding['message']}", markup=False)
    if result.seconds:
        spent = ", ".join(f"{station} {seconds:.1f} s" for station, seconds in result.seconds.items())
        out.print(f"  {result.cpu_seconds:.1f} CPU seconds to make it; on the clock: {spent}", markup=False)
    out.print(f"  bundle  {result.bundle} ({result.bundle_bytes / 1024:.0f} KB)", markup=False)
    out.print(f"  report  {result.report}", markup=False)
    if result.alias == "challenger":
        compared = any(gate["name"] == "champion" for gate in result.gates)
        out.print(
            f"  it waits as the challenger{'' if compared else ', not compared with the champion'}: "
            f"`trunkline models promote {shlex.quote(f'{result.name}@{result.version}')}` makes it the champion",
            markup=False,
        )
    name = shlex.quote(result.name)
    out.print(f"next: open the report, `trunkline predict {name} IMAGE...`, or `trunkline models ls`", markup=False)


def _figures(gate: dict[str, Any]) -> str:
    """A check's value with its interval, or what is missing to measure it."""
    from trunkline.core.types.gate import is_measured

    if not is_measured(gate["value"]):
        return f", {gate['note']}"
    between = f"{gate['low']:.4f} to {gate['high']:.4f}" if gate["low"] < gate["high"] else ""
    facts = ", ".join(filter(None, (between, "evidence: thin" if gate["evidence"] == "thin" else "")))
    return f" with {gate['value']:.4f}" + (f" ({facts})" if facts else "")


def _many(outcome: Outcome) -> None:
    from rich.table import Table

    from trunkline.core.types.gate import said

    table = Table(box=None, pad_edge=False)
    for title, justify in (("model", "left"), ("version", "right"), ("verdict", "left"), ("figure", "left"),
                           ("images", "right"), ("KB", "right"), ("CPU s", "right")):  # fmt: skip
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for result in outcome.results:
        table.add_row(
            cell(result.name), str(result.version),
            result.verdict + (" (unchanged)" if result.status == "unchanged" else ""),
            f"{result.figure} {said(result.metrics[result.figure])}", str(result.images),
            f"{result.bundle_bytes / 1024:.0f}", f"{result.cpu_seconds:.2f}",
        )  # fmt: skip
    out = stdout()
    out.print(table)
    missed = [result for result in outcome.results if result.missed]
    for result in missed[:_MISSED]:
        out.print(f"{result.name} missed {', '.join(result.missed)}", markup=False)
    if len(missed) > _MISSED:
        out.print(f"and {len(missed) - _MISSED} more missed a limit")
    good = sum(result.gates_passed for result in outcome.results if result.gates)
    unasked = sum(not result.gates for result in outcome.results)
    size = sum(result.bundle_bytes for result in outcome.results)
    cpu = sum(result.cpu_seconds for result in outcome.results)
    asked = len(outcome.results) - unasked
    counts = [f"{good} of {asked} passed"] * bool(asked) + [f"{unasked} measured, nothing asked"] * bool(unasked)
    out.print(f"{'; '.join(counts)}; {size / 1024:.0f} KB in all; {cpu:.1f} CPU seconds")
