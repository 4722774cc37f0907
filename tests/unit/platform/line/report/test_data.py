import dataclasses
import json

import pytest

from trunkline.platform.line.report.data import Costs, StationCost


def test_a_report_is_json_but_for_the_bytes_of_pictures(make) -> None:
    text = json.dumps(dataclasses.asdict(make()), default=lambda value: f"{len(value)} bytes")
    assert json.loads(text)["name"] == "steel"


def test_a_confusion_matrix_of_another_size_is_refused(make) -> None:
    with pytest.raises(ValueError, match="expected a confusion matrix of 2 rows of 2"):
        make(confusion=((1, 2, 3), (4, 5, 6)))


@pytest.mark.parametrize(
    ("stations", "embedded", "speed"),
    [
        ((StationCost("embed", 2.0, 4.0), StationCost("fit", 1.0, 1.0)), 1000, 500.0),
        ((StationCost("fit", 1.0, 1.0),), 0, None),
        ((StationCost("embed", 0.0, 0.0),), 10, None),
    ],
)
def test_costs(stations: tuple[StationCost, ...], embedded: int, speed: float | None) -> None:
    costs = Costs(stations, 100, 1800, embedded)
    assert costs.images_per_second == speed
    assert (costs.seconds, costs.cpu_seconds) == (
        sum(s.seconds for s in stations),
        sum(s.cpu_seconds for s in stations),
    )
