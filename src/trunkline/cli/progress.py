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
_REDRAW_EVERY = 0.2  # seconds between two states of a line that is written over
_SURE_SECONDS = 2.0  # before so long, and before so large a part was done, the time left is a guess
_SURE_PART = 0.02
_QUICK = 1.0  # seconds; what is done sooner is not worth a line


def _now() -> float:
    return time.monotonic()


@dataclass
class _Row:
    """What one station has done; its rate is that of what was seen to be done, not of what was done before.

    The first piece waits for what has to be opened, so that rate and time left follow from what came after it.
    """

    done: int = 0
    total: int = 0
    unit: str = ""
    started: float = field(default_factory=_now)
    ended: float = 0.0
    at_start: int = 0
    first: tuple[float, int] | None = None  # when the first piece of work was done, and how much

    def reach(self, done: int, total: int) -> None:
        """So much is done now."""
        self.done, self.total = done, total
        if self.first is None and done > self.at_start:
            self.first = (_now(), done)

    @property
    def seconds(self) -> float:
        return (self.ended or _now()) - self.started

    @property
    def rate(self) -> float:
        when, before = self.first if self.first and self._going else (self.started, self.at_start)
        seconds = (self.ended or _now()) - when
        return (self.done - before) / seconds if seconds > 0 else 0.0

    @property
    def _going(self) -> bool:
        return self.first is not None and self.done > self.first[1]

    @property
    def eta(self) -> float | None:
        """Seconds left; None until enough was seen to tell."""
        seen = self.done - self.at_start
        sure = self._going and self.seconds >= _SURE_SECONDS and seen >= _SURE_PART * self.total
        left = self.total - self.done
        return left / self.rate if sure and left > 0 and self.rate > 0 else None

    @property
    def text(self) -> str:
        """ "12 of 40 images, 3 s left"."""
        left = f", {duration(self.eta)} left" if self.eta is not None else ""
        return f"{self.done} of {self.total} {self.unit}{left}"


def duration(seconds: float) -> str:
    """Seconds as people say them: "8 s", "3 min 05 s", "2 h 07 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _per_second(rate: float) -> str:
    if rate <= 0:
        return ""
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


class LiveTable:
    """A `Listener` of the line that shows a table on a terminal, and a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.rows: dict[str, _Row] = {}
        self.finished_count = 0
        self.failed_count = 0
        self._live: Any = None
        self._said = float("-inf")

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            from rich.live import Live

            self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=8, transient=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def advance(self, station: str, done: int, total: int, unit: str) -> None:
        """`done` of `total` units have passed a station."""
        row = self.rows.get(station)
        if row is None or total < row.total or done < row.done:
            row = self.rows[station] = _Row(at_start=done)
        row.reach(done, total)
        row.unit = unit
        row.ended = (row.ended or _now()) if done >= total else 0.0
        if self._live is None and _now() - self._said > _LINE_EVERY:
            self._said = _now()
            self.console.print(f"{station}: {row.text}", markup=False)

    def message(self, text: str) -> None:
        """Something for the user to know; where it is an error's text, with what helps on a line of its own."""
        for line in text.split("\n"):
            self.console.print(line, markup=False)

    def finished(self, result: BuildResult) -> None:
        """One model is done."""
        self.finished_count += 1
        self.failed_count += not result.gates_passed

    def _table(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for title in ("station", "done", "", "rate", "time", "left"):
            table.add_column(title, justify="left" if title in ("station", "") else "right")
        for name, row in list(self.rows.items()):
            table.add_row(
                name,
                f"{row.done}/{row.total} {row.unit}",
                ProgressBar(total=max(row.total, 1), completed=row.done, width=24),
                _per_second(row.rate),
                f"{row.seconds:.1f} s",
                duration(row.eta) if row.eta is not None else "",
            )
        failed = f", {self.failed_count} failed their gate" if self.failed_count else ""
        noun = "model" if self.finished_count == 1 else "models"
        table.caption = f"{self.finished_count} {noun}{failed}" if self.finished_count else None
        return table


class LineProgress:
    """Progress of one thing as a line that is written over; called with done and total."""

    def __init__(self, console: Console, title: str, unit: str) -> None:
        self.console = console
        self.title = title
        self._row = _Row(unit=unit)
        self._said = self._row.started
        self._open = False  # whether a line stands that the next text would run into

    def __call__(self, done: int, total: int) -> None:
        self._row.reach(done, total)
        now, last = _now(), done >= total
        terminal = self.console.is_terminal
        if last and not self._open and now - self._row.started < _QUICK:
            return
        if not last and now - self._said < (_REDRAW_EVERY if terminal else _LINE_EVERY):
            return
        self._said = now
        self._open = terminal and not last
        # Blanks over the rest of a longer state before this one.
        text = f"{self.title}: {self._row.text}" + ("   " if terminal else "")
        self.console.print(text, end="\r" if self._open else "\n", markup=False)
