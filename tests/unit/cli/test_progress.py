"""Progress on a terminal and elsewhere: what is shown, how often, and whether the time left is right."""

from __future__ import annotations

import io
import re
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from trunkline.cli.common import stderr
from trunkline.cli.progress import LineProgress, LiveTable, _Row, duration


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None, soft_wrap=True)


def said(target: Console) -> str:
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue()


def result(*, passed: bool) -> Any:
    return SimpleNamespace(gates_passed=passed)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3600, "1 h 00 min"),
        (7650, "2 h 07 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_elsewhere_a_line_comes_at_once_and_then_now_and_then(clock: Clock) -> None:
    out = console(terminal=False)
    with LiveTable(out) as table:
        for done in (0, 1, 2, 3, 4):
            table.advance("embed", 10 * done, 40, "images")
            clock.now += 2.0
    assert said(out) == "embed: 0 of 40 images\nembed: 30 of 40 images, 2 s left\n"


def test_what_helps_stands_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    LiveTable(stderr()).message("lost\n  fix: put \x1b it back")
    assert capsys.readouterr().err == "lost\n  fix: put \\x1b it back\n"


def test_messages_are_printed_as_they_are(clock: Clock) -> None:
    out = console(terminal=False)
    with LiveTable(out) as table:
        table.message("waiting for [home]")
    assert said(out) == "waiting for [home]\n"


@pytest.mark.parametrize(
    ("steps", "row"),
    [
        # seconds from the start and images done, of 40: done, rate, time, time left
        ([(0, 0), (1, 10), (2, 20)], ("20/40 images", "10/s", "2.0 s", "2 s")),
        ([(0, 0), (0.2, 1), (1.9, 18)], ("18/40 images", "10/s", "1.9 s", "")),  # too early to tell
        ([(0, 0), (9, 2)], ("2/40 images", "0.2/s", "9.0 s", "")),  # the first waits for what has to be opened
        ([(0, 0), (9, 2), (11, 12)], ("12/40 images", "5.0/s", "11.0 s", "6 s")),
        ([(0, 30), (1, 32), (2, 35)], ("35/40 images", "3.0/s", "2.0 s", "2 s")),  # 30 were known: no work of this run
        ([(0, 0), (2, 0)], ("0/40 images", "", "2.0 s", "")),
        ([(0, 0), (2, 40), (9, 40)], ("40/40 images", "20/s", "2.0 s", "")),  # a station that is done stands still
        ([(0, 40)], ("40/40 images", "", "0.0 s", "")),  # all were known
        ([(0, 0), (2, 40), (3, 0), (4, 10), (5, 20)], ("20/40 images", "10/s", "2.0 s", "2 s")),  # it begins anew
    ],
)
def test_the_table_has_done_rate_time_and_time_left(
    clock: Clock, steps: list[tuple[float, int]], row: tuple[str, ...]
) -> None:
    out = console(terminal=False)
    table = LiveTable(console(terminal=False))
    for seconds, done in steps:
        clock.now = 1000.0 + seconds
        table.advance("embed", done, 40, "images")
    last = steps[-1][0]
    clock.now = 1000.0 + last
    out.print(table._table())
    cells = re.split(r"\s{2,}", said(out).splitlines()[1].strip())
    assert [cell for cell in cells if "━" not in cell] == ["embed", *(cell for cell in row if cell)]


@pytest.mark.parametrize(
    ("results", "caption"),
    [
        ([], ""),
        ([True], "1 model"),
        ([True, True], "2 models"),
        ([True, False, False], "3 models, 2 failed their gate"),
    ],
)
def test_the_caption_counts_models(clock: Clock, results: list[bool], caption: str) -> None:
    out = console(terminal=False)
    table = LiveTable(console(terminal=False))
    table.advance("fit", 1, 1, "heads")
    for passed in results:
        table.finished(result(passed=passed))
    out.print(table._table())
    assert [line.strip() for line in said(out).splitlines()[2:]] == ([caption] if caption else [])


def test_on_a_terminal_the_table_is_live_and_stays_at_the_end() -> None:
    out = console(terminal=True)
    with LiveTable(out) as table:
        table.advance("embed", 20, 40, "images")
        table.message("a message")
        table.advance("embed", 40, 40, "images")
    last = said(out).rpartition("station")[2]
    assert ("a message\n" in said(out), "40/40 images" in last, "20/40" in last) == (True, True, False)


def test_the_table_is_taken_down_when_the_build_fails() -> None:
    out = console(terminal=True)
    with pytest.raises(ZeroDivisionError), LiveTable(out) as table:
        table.advance("embed", 20, 40, "images")
        raise ZeroDivisionError
    assert (table._live.is_started, said(out).endswith("\x1b[?25h")) == (False, True)  # the cursor is back


def test_a_hundredth_is_too_little_to_tell_the_time_left(clock: Clock) -> None:
    row = _Row()
    seen = []
    for seconds, done in ((0, 1), (3, 22), (6, 43), (6, 44)):
        clock.now = 1000.0 + seconds
        row.reach(done, 2200)
        seen.append(row.eta is not None)
    assert seen == [False, False, False, True]


def steps(progress: LineProgress, clock: Clock, calls: list[tuple[float, int]]) -> None:
    for seconds, done in calls:
        clock.now = 1000.0 + seconds
        progress(done, 40)


@pytest.mark.parametrize(
    ("terminal", "calls", "text"),
    [
        (True, [(0.0, 0), (0.1, 10), (0.5, 40)], ""),  # too quick to be worth a line
        (True, [(0.3, 10), (0.4, 12), (2.3, 20), (4.0, 40)],
         "intake: 10 of 40 images   \rintake: 20 of 40 images, 4 s left   \rintake: 40 of 40 images   \n"),
        (True, [(0.3, 10), (0.5, 40)], "intake: 10 of 40 images   \rintake: 40 of 40 images   \n"),
        (False, [(0.3, 10), (4.0, 12), (6.0, 30), (8.0, 40)],
         "intake: 30 of 40 images, 3 s left\nintake: 40 of 40 images\n"),
        (False, [(0.5, 40)], ""),
    ],
)  # fmt: skip
def test_one_line_is_written_over(clock: Clock, terminal: bool, calls: list[tuple[float, int]], text: str) -> None:
    out = console(terminal=terminal)
    steps(LineProgress(out, "intake", "images"), clock, calls)
    assert said(out) == text
