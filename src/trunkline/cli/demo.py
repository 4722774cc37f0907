"""`trunkline demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from trunkline.cli.common import HomeOption, JsonOption, settings, stderr, stdout


def demo(
    home: HomeOption = None,
    json: JsonOption = False,
    open_report: Annotated[bool, typer.Option("--open/--no-open", help="Open the overview in a browser.")] = True,
) -> None:
    """Mass-produce models from real images, then open the overview.

    The images come from packages: scikit-learn's digits, scikit-image's faces and textures, and, where Debian's
    package or the internet can be had, Fashion-MNIST. What cannot be had is said and left out.

    Example: `trunkline demo --home /tmp/demo`
    """
    from trunkline.cli.build import show
    from trunkline.cli.progress import LineProgress, LiveTable
    from trunkline.core.errors import DataError
    from trunkline.platform.line.overview import open_in_browser, write_overview
    from trunkline.platform.line.results import Outcome
    from trunkline.platform.line.runner import run_line
    from trunkline.platform.samples import SAMPLES, collect_all, scenarios

    chosen = settings(home)
    console = stderr()
    console.print("Collecting real images from the packages that carry them ...")
    collected = collect_all(chosen.home, SAMPLES.names(), LineProgress(console, "samples", "images"))
    for name, reason in collected.missing:
        console.print(f"left out: {name}: {reason}", markup=False)
    asked = scenarios(collected.sets)
    if not asked:
        raise DataError("no sample could be had on this machine", fix="pip install 'trunkline[samples]'")
    console.print(f"{len(asked)} models are asked for.")
    write_overview(Outcome([], []), chosen, title="Demo")  # so that the reports lead back to it
    with LiveTable(console) as table:
        outcome = run_line(asked, chosen, listener=table, who="demo")
    show(outcome, as_json=json)
    page = write_overview(outcome, chosen, title="Demo")
    out = console if json else stdout()
    out.print(f"overview: {page}", markup=False)
    if open_report and not json and console.is_terminal:
        open_in_browser(page)
    out.print("next:", markup=False)
    out.print("  open the overview; every model there has a report of its own", markup=False)
    out.print("  trunkline models ls", markup=False)
    out.print("  trunkline build YOUR_FOLDER   (one folder of images a class)", markup=False)
    raise typer.Exit(2 if outcome.errors else 0)
