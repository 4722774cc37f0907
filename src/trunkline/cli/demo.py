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

    Some of the samples are too hard for the gate that is asked of them, and the demo shows that: unlike `build`, it
    ends with status 0 when gates failed.

    The images come from packages: scikit-learn's digits, scikit-image's faces and textures, and, where Debian's
    package or the internet can be had, Fashion-MNIST. What cannot be had is said and left out.

    Example: `trunkline demo --home /tmp/demo`
    """
    from trunkline.cli.build import show
    from trunkline.cli.progress import LineProgress, LiveTable
    from trunkline.core.errors import DataError
    from trunkline.platform.line.overview import OVERVIEW, open_in_browser, write_overview
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
    with LiveTable(console) as table:
        outcome = run_line(asked, chosen, listener=table, who="demo", overview=OVERVIEW)
    show(outcome, as_json=json)
    page = write_overview(outcome, chosen, title="Demo")
    out = console if json else stdout()
    opened = open_report and not json and console.is_terminal and open_in_browser(page)
    out.print("overview, opened in a browser:" if opened else "overview, open it in a browser:", page, markup=False)
    out.print("next:", markup=False)
    out.print("  look at the overview; every model there has a report of its own", markup=False)
    out.print("  trunkline models ls", markup=False)
    out.print("  trunkline build YOUR_FOLDER   (one folder of images a class)", markup=False)
    raise typer.Exit(2 if outcome.errors else 0)
