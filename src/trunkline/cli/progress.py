"""The live table of a build on standard error: station, done, rate, time left."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from rich.console import Console

    from trunkline.platform.line.results import BuildResult

_LINE_EVERY = 5.0  # seconds between lines where there is no terminal


@dataclass
class _Row:
    done: int = 0
    total: int = 0
    unit: str = ""
    started: float = field(default_factory=time.monotonic)
    ended: float = 0.0
    at_start: int = 0

    @property
    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.started

    @property
    def rate(self) -> float:
        return (self.done - self.at_start) / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta(self) -> float | None:
        left = self.total - self.done
        return left / self.rate if left > 0 and self.rate > 0 else None


class LiveTable:
    """A `Listener` of the line that shows a table on a terminal, and a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.rows: dict[str, _Row] = {}
        self.finished_count = 0
        self.failed_count = 0
        self._live: Any = None
        self._said = 0.0

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            from rich.live import Live

            self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=8, transient=False)
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def advance(self, station: str, done: int, total: int, unit: str) -> None:
        """`done` of `total` units have passed a station."""
        row = self.rows.get(station)
        if row is None or total < row.total or (done < row.done):
            row = self.rows[station] = _Row(at_start=done if total > done else 0)
        row.done, row.total, row.unit = done, total, unit
        row.ended = time.monotonic() if done >= total else 0.0
        if self._live is None and time.monotonic() - self._said > _LINE_EVERY:
            self._said = time.monotonic()
            self.console.print(f"{station}: {done} of {total} {unit}{self._eta(row)}")

    def message(self, text: str) -> None:
        """One sentence for the user."""
        self.console.print(text, markup=False)

    def finished(self, result: BuildResult) -> None:
        """One model is done."""
        self.finished_count += 1
        self.failed_count += result.status == "failed"

    @staticmethod
    def _eta(row: _Row) -> str:
        return f", {row.eta:.0f} s left" if row.eta is not None else ""

    def _table(self) -> Any:
        from rich.table import Table
        from rich.progress_bar import ProgressBar

        table = Table(box=None, pad_edge=False)
        for title in ("station", "done", "", "rate", "time", "left"):
            table.add_column(title, justify="left" if title in ("station", "") else "right")
        for name, row in self.rows.items():
            table.add_row(
                name,
                f"{row.done}/{row.total} {row.unit}",
                ProgressBar(total=max(row.total, 1), completed=row.done, width=24),
                f"{row.rate:,.0f}/s" if row.rate >= 10 else f"{row.rate:.1f}/s",
                f"{row.seconds:.1f} s",
                f"{row.eta:.0f} s" if row.eta is not None else "",
            )
        done = f"{self.finished_count} models" + (f", {self.failed_count} failed their gate" if self.failed_count else "")
        table.caption = done if self.finished_count else None
        return table


class LineProgress:
    """Progress of one thing as a line that is written over; called with done and total."""

    def __init__(self, console: Console, title: str, unit: str) -> None:
        self.console = console
        self.title = title
        self.unit = unit
        self._row = _Row()
        self._said = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        self._row.done, self._row.total = done, total
        now = time.monotonic()
        every = 0.2 if self.console.is_terminal else _LINE_EVERY
        if now - self._said < every and done < total:
            return
        if self._row.seconds < 1 and done >= total:
            return  # too quick to be worth a line
        self._said = now
        eta = f", {self._row.eta:.0f} s left" if self._row.eta is not None else ""
        end = "\r" if self.console.is_terminal and done < total else "\n"
        self.console.print(f"{self.title}: {done} of {total} {self.unit}{eta}   ", end=end, markup=False)
