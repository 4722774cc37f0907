"""How the line groups its work; whole journeys are in tests/flows."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import Pictures
from trunkline.core.errors import DataError, StorageError
from trunkline.core.settings import load_settings
from trunkline.core.types.scenario import Scenario, Source
from trunkline.platform.line import runner
from trunkline.platform.line.meter import Meter
from trunkline.platform.line.results import BuildResult, Silent
from trunkline.platform.line.runner import run_line


def scenario(name: str, folder: Path, task: str = "classify", **fields: Any) -> Scenario:
    return Scenario(name=name, task=task, data=(Source(path=folder),), trunk="test-trunk", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1] * 3, [3]),
        ([1] * 70, [32, 32, 6]),
        ([runner._CHUNK_BYTES + 1] * 3, [1, 1, 1]),
        ([runner._CHUNK_BYTES // 2] * 5, [2, 2, 1]),
        ([], []),
    ],
)
def test_chunks_are_bounded_in_number_and_weight(weights: list[int], expected: list[int]) -> None:
    jobs: Any = [SimpleNamespace(feature_bytes=weight) for weight in weights]
    assert [len(chunk) for chunk in runner._chunks(jobs)] == expected


class Counting(Silent):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.last: dict[str, tuple[int, int, str]] = {}
        self.names: list[str] = []

    def advance(self, station: str, done: int, total: int, unit: str) -> None:
        self.last[station] = (done, total, unit)

    def finished(self, result: BuildResult) -> None:
        self.names.append(result.name)


def test_progress_of_every_station(home: Path, tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "parts", ("good", "b"), 12)
    listener = Counting()
    asked = [scenario("one", folder), scenario("two", folder, "anomaly"), scenario("three", folder, "multilabel")]
    outcome = run_line(asked, load_settings(), listener=listener)
    assert [result.name for result in outcome.results] == ["one", "two", "three"]
    assert outcome.errors == []
    assert listener.last == {
        "read": (24, 24, "images"),
        "intake": (3, 3, "scenarios"),
        "embed": (24, 24, "images"),
        "inspect": (3, 3, "scenarios"),
        "fit": (3, 3, "heads"),
        "gate, pack, report, register": (3, 3, "models"),
    }
    assert sorted(listener.names) == ["one", "three", "two"]


def test_heads_of_many_scenarios_are_fitted_in_one_call(
    home: Path, tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trunkline.algorithms.heads.classify import Classify

    sizes = []
    real = Classify.fit

    def fit(self: Classify, jobs: Any) -> Any:
        sizes.append(len(jobs))
        return real(self, jobs)

    monkeypatch.setattr(Classify, "fit", fit)
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    run_line([scenario(f"m{n}", folder, split={"seed": n}) for n in range(5)], load_settings())
    assert sizes == [5]


def test_an_image_is_embedded_once_even_when_one_of_two_tasks_needs_its_maps(
    home: Path, tmp_path: Path, pictures: Pictures, embedded: list[int]
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("good", "b"), 12)
    run_line([scenario("one", folder), scenario("two", folder, "anomaly")], load_settings())
    assert embedded == [24]


def test_one_that_cannot_be_embedded_does_not_make_others_dearer(
    home: Path, tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trunkline.platform.engine.features import FeatureStore

    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    budget: dict[str, Any] = {"budget": {"cpu_minutes": 10}}
    run_line([scenario("one", folder)], load_settings())
    (kept,) = (home / "stations" / "embed").glob("*/*/*.json")
    kept.write_text('{"cpu_seconds": 240, "images": 24}')
    pictures.folder(tmp_path / "more", ("a", "b"), 13)

    def embed(self: FeatureStore, images: Any, **options: Any) -> None:
        raise DataError("cannot be decoded")

    monkeypatch.setattr(FeatureStore, "embed", embed)
    asked = [scenario("two", folder, **budget), scenario("three", tmp_path / "more", **budget)]
    outcome = run_line(asked, load_settings())
    assert [name for name, _ in outcome.errors] == ["three"]
    assert 240 < 60 * outcome.results[0].gates[0]["value"] < 300


def test_mlflow_is_imported_aside(
    home: Path, tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    works: list[str] = []
    monkeypatch.setattr(Meter, "aside", lambda _, work: works.append(work.__qualname__))
    run_line([scenario("one", pictures.folder(tmp_path / "parts", ("a", "b"), 12))], load_settings())
    assert works == ["Registry.warm"]


def test_a_full_disk_stops_the_line(
    home: Path, tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trunkline.platform.line.job import Job

    def full(self: Job, listener: Any) -> None:
        raise StorageError("no space left on the disk", where="somewhere")

    monkeypatch.setattr(Job, "intake", full)
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 4)
    with pytest.raises(StorageError, match="no space left"):
        run_line([scenario("one", folder)], load_settings())


def killed(*_: Any) -> Any:
    raise SystemExit("killed")


@pytest.fixture
def fitted(home: Path, tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The images of a scenario that was killed after its head was fitted."""
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "finish", killed)
        with pytest.raises(SystemExit):
            run_line([scenario("one", folder)], load_settings())
    return folder


def test_a_killed_run_does_not_fit_again(fitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trunkline.algorithms.heads.classify import Classify

    monkeypatch.setattr(Classify, "fit", killed)
    assert [result.status for result in run_line([scenario("one", fitted)], load_settings()).results] == ["passed"]


@pytest.mark.parametrize("name", ["fitted.safetensors", "fitted.json", "output.json"])
def test_what_was_kept_and_is_torn_is_made_again(fitted: Path, home: Path, name: str) -> None:
    kept = list((home / "stations").glob(f"*t/*/*/{name}"))
    for path in kept:
        path.write_bytes(path.read_bytes()[:-7])
    outcome = run_line([scenario("one", fitted)], load_settings())
    assert ([result.status for result in outcome.results], outcome.errors) == (["passed"], [])
    assert [path.is_file() for path in kept] == [True]


def test_the_budget_counts_what_was_finished_before(fitted: Path, home: Path) -> None:
    known = [json.loads(path.read_bytes()) for path in (home / "stations").glob("*/*/*/*.json")]
    before = sum(row["cpu_seconds"] for row in known)
    made = run_line([scenario("one", fitted, budget={"cpu_minutes": 10})], load_settings()).results[0]
    (gate,) = made.gates
    later = made.seconds.keys() - {"report", "register"}
    assert (len(known), later) == (4, {"intake", "inspect", "gate", "pack"})
    assert before > 0
    assert before <= 60 * gate["value"] < before + made.cpu_seconds


def test_the_budget_counts_what_it_cost_to_read_each_file_once(fitted: Path, home: Path) -> None:
    (kept,) = (home / "stations" / "intake").glob("*/*/*.json")
    kept.write_text('{"cpu_seconds": 240, "images": 24}')
    twice = scenario("one", fitted, budget={"cpu_minutes": 10}).model_copy(update={"data": (Source(path=fitted),) * 2})
    made = run_line([twice], load_settings()).results[0]
    assert 240 < 60 * made.gates[0]["value"] < 300
