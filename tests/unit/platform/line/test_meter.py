"""Costs of stations: wall and CPU seconds, added up and shared."""

from __future__ import annotations

import itertools
import time

import pytest

from trunkline.platform.line.meter import Costs, Meter, Spent


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at a clock is a second of wall and two of CPU later."""
    wall, cpu = itertools.count(), itertools.count(step=2)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(wall)))
    monkeypatch.setattr(time, "process_time", lambda: float(next(cpu)))


@pytest.mark.usefixtures("clocks")
def test_a_block_is_measured_for_its_scenario_and_for_the_run() -> None:
    meter, first, second = Meter(), Costs(), Costs()
    with meter.station("fit", first) as spent:
        assert spent == Spent(0.0, 0.0)
    with meter.station("fit", second), meter.station("gate"):
        pass
    assert spent == Spent(1.0, 2.0)
    assert (first.by_station, second.by_station) == ({"fit": Spent(1.0, 2.0)}, {"fit": Spent(3.0, 6.0)})
    assert meter.total.by_station == {"fit": Spent(4.0, 8.0), "gate": Spent(1.0, 2.0)}


@pytest.mark.usefixtures("clocks")
def test_a_block_that_fails_is_measured_as_well() -> None:
    meter = Meter()
    with pytest.raises(ZeroDivisionError), meter.station("fit"):
        raise ZeroDivisionError
    assert meter.total.by_station == {"fit": Spent(1.0, 2.0)}


def test_costs_add_up_and_can_be_shared() -> None:
    costs = Costs()
    costs.add("embed", Spent(4.0, 8.0).share(0.25))
    costs.add("embed", Spent(0.00004, 0.5))
    costs.add("fit", Spent(1.0, 0.12345))
    assert costs.wall_by_station() == {"embed": 1.0, "fit": 1.0}
    assert costs.cpu_by_station() == {"embed": 2.5, "fit": 0.1235}
    assert costs.cpu == pytest.approx(2.62345)


def test_what_is_done_aside_is_charged_to_nobody() -> None:
    def burn() -> None:
        end = time.thread_time() + 0.3
        while time.thread_time() < end:
            pass

    meter, costs = Meter(), Costs()
    with meter.station("intake", costs):
        aside = meter.aside(burn)
        time.sleep(0.05)
        during = aside.cpu
        aside.join()
    with meter.station("fit", costs):
        pass
    assert during < 0.3 <= aside.cpu
    assert costs.cpu < 0.15


def test_outputs_taken_over_count_for_the_budget_alone() -> None:
    costs = Costs(before=2.0)
    costs.add("gate", Spent(1.0, 0.5))
    assert (costs.cpu, costs.cpu_in_all) == (0.5, 2.5)
