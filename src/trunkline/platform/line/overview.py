"""One page over everything that a build made."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.core.files import write_atomic

if TYPE_CHECKING:
    from trunkline.core.settings import Settings
    from trunkline.platform.line.report.data import OverviewRow
    from trunkline.platform.line.results import BuildResult, Outcome


OVERVIEW = "overview.html"
"""Its name beside the reports."""


def write_overview(outcome: Outcome, settings: Settings, *, title: str, tasks: dict[str, str] | None = None) -> Path:
    """Write `HOME/reports/overview.html` and return its path.

    Args:
        outcome: What was built, and what could not be.
        settings: The home.
        title: The page's title.
        tasks: Task by scenario, for those that could not be built.
    """
    from trunkline.platform.line.report.data import OverviewRow
    from trunkline.platform.line.report.render import render_overview

    folder = settings.home / "reports"
    rows = [_row(result, folder) for result in outcome.results]
    rows += [
        OverviewRow(name, "error", (tasks or {}).get(name, ""), note=error.message) for name, error in outcome.errors
    ]
    path = folder / OVERVIEW
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    write_atomic(path, render_overview(rows, title=title, made=made).encode())
    return path


def _row(result: BuildResult, folder: Path) -> OverviewRow:
    from trunkline.platform.line.report.data import Figure, OverviewRow

    figure = result.figure
    value = result.metrics[figure]
    low, high = result.intervals.get(figure, (value, value))
    worst = result.worst or {}
    return OverviewRow(
        name=result.name,
        status="measured" if not result.gates else "passed" if result.gates_passed else "failed",
        task=result.task,
        measure=figure,
        figure=Figure(value, low, high),
        worst_class=str(worst.get("label", "")),
        worst_recall=worst.get("recall"),
        bundle_bytes=result.bundle_bytes,
        seconds=sum(result.seconds.values()),
        cpu_seconds=result.cpu_seconds,
        report=os.path.relpath(result.report, folder) if result.report else "",
        thin=any(gate["evidence"] == "thin" for gate in result.gates),
        note=f"missed {', '.join(result.missed)}" if result.missed else "",
    )


def open_in_browser(page: Path) -> bool:
    """Show a page in the user's browser; False where there is none."""
    import webbrowser

    return webbrowser.open(page.absolute().as_uri())
