"""Every source of samples keeps the contract; what is missing is told and the rest goes on."""

from __future__ import annotations

import csv
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from trunkline.core.errors import DataError
from trunkline.core.images import decode
from trunkline.core.plugins import Table
from trunkline.core.types.scenario import Scenario
from trunkline.platform import samples
from trunkline.platform.samples import SAMPLES, Collected, SampleSet, collect_all, scenarios
from trunkline.platform.samples.base import Progress

EASY = ["digits", "lfw-faces", "textures"]
EXPECTED = {
    "digits": ("classify", 1797, 10),
    "digit-quads": ("multilabel", 160, 10),
    "faces": ("classify", 200, 2),
    "textures": ("classify", 320, 5),
}


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Collected:
    return collect_all(tmp_path_factory.mktemp("home"), EASY)


def labelled(sample: SampleSet) -> dict[Path, tuple[str, ...]]:
    if sample.path.is_dir():
        return {path: (path.parent.name,) for path in sample.path.rglob("*.png")}
    with sample.path.open(newline="") as stream:
        return {sample.root / row["path"]: tuple(row["label"].split(";")) for row in csv.DictReader(stream)}


def test_what_is_collected(collected: Collected) -> None:
    got = {}
    for sample in collected.sets:
        labels = labelled(sample)
        assert all(path.is_file() for path in labels)
        got[sample.name] = (sample.task, len(labels), len({label for some in labels.values() for label in some}))
        assert sample.images == len(labels)
        assert sample.licence
        assert sample.source
    assert got == EXPECTED
    assert collected.missing == ()


def test_pictures_are_real_and_differ(collected: Collected) -> None:
    for sample in collected.sets:
        data = {path.read_bytes() for path in list(labelled(sample))[:60]}
        assert len(data) == 60, sample.name
        assert min(decode(next(iter(data)), max_pixels=1_000_000).size) >= 25


def test_scenarios_are_lists_over_shared_images(collected: Collected) -> None:
    asked = scenarios(collected.sets)
    assert len({scenario.name for scenario in asked}) == len(asked) > 20
    used: set[Path] = set()
    for scenario in asked:
        path = scenario.data[0].path
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        images = {path.parent / row["path"] for row in rows}
        assert len(images) == len(rows) >= 100, scenario.name
        assert all(image.is_file() for image in images)
        assert len({row["label"] for row in rows}) >= 2
        assert scenario.gates
        assert scenario.licence
        used |= images
    assert len(used) < 1800
    assert {scenario.task for scenario in asked} == {"classify", "multilabel", "anomaly"}


def test_texture_tests_do_not_lie_among_what_is_learnt(collected: Collected) -> None:
    path = next(s.data[0].path for s in scenarios(collected.sets) if s.name == "which-surface")
    with path.open(newline="") as stream:
        columns = {split: set() for split in ("train", "test")}
        for row in csv.DictReader(stream):
            columns[row["split"]].add(int(Path(row["path"]).stem.split("-")[0]))
    assert columns == {"train": {0, 1, 2, 3, 4, 5}, "test": {6, 7}}


def test_a_second_time_touches_nothing(collected: Collected) -> None:
    home = collected.sets[0].root.parents[1]
    first = scenarios(collected.sets)
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    assert collect_all(home, EASY) == collected
    assert scenarios(collected.sets) == first
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.suffix != ".lock"} == {
        path: time for path, time in before.items() if path.suffix != ".lock"
    }


class Missing:
    def collect(self, into: Path, progress: Progress | None = None) -> list[SampleSet]:
        raise DataError("not to be had", fix="go elsewhere")

    def scenarios(self, sets: Sequence[SampleSet]) -> list[Scenario]:
        return []


def test_what_is_missing_is_told_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {
        "broken": "no_such_module:It",
        "lfw-faces": SAMPLES.targets["lfw-faces"],
        "missing": f"{Missing.__module__}:Missing",
    }
    monkeypatch.setattr(samples, "SAMPLES", Table("sample", entries))
    monkeypatch.setitem(__import__("sys").modules, Missing.__module__, type("M", (), {"Missing": Missing}))
    collected = collect_all(tmp_path, sorted(entries))
    assert [s.name for s in collected.sets] == ["faces"]
    reasons = dict(collected.missing)
    assert sorted(reasons) == ["broken", "missing"]
    assert "No module named 'no_such_module'" in reasons["broken"]
    assert reasons["missing"] == "not to be had\n  fix: go elsewhere"


def test_two_at_once_on_one_home(tmp_path: Path) -> None:
    results: list[Collected] = []
    threads = [threading.Thread(target=lambda: results.append(collect_all(tmp_path, ["lfw-faces"]))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1]
    assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == ["lfw-faces"]


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    collect_all(tmp_path, ["lfw-faces"], lambda done, total: said.append((done, total)))
    assert said == [(number, 200) for number in range(1, 201)]
