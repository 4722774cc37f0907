"""`trunkline new` writes what `trunkline build` reads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trunkline.core.errors import ConfigError, NotFoundError, StorageError
from trunkline.core.types.scenario import Budget, OperatingPoint, Scenario, Source
from trunkline.platform.line.scenarios import load
from trunkline.platform.line.template import write_template

ASKED = {
    "classify": ({"accuracy": ">= 0.95", "recall_min": ">= 0.90"}, {"false_reject_rate": 0.01}),
    "multilabel": ({"f1_macro": ">= 0.85", "recall_min": ">= 0.70"}, {"recall": 0.95}),
    "anomaly": ({"auroc": ">= 0.95", "recall": ">= 0.90"}, {"false_reject_rate": 0.01}),
}


@pytest.mark.parametrize("task", ASKED)
def test_what_is_written_is_read(tmp_path: Path, task: str) -> None:
    path = write_template(tmp_path / "deep" / "steel", data=None, task=task)
    gates, point = ASKED[task]
    made = Scenario(
        name="steel",
        task=task,  # type: ignore[arg-type]
        data=(Source(path=tmp_path / "deep" / "steel" / "images"),),
        gates={**gates, "champion": "no-worse"},  # what a busy machine misses is a comment
        operating_point=OperatingPoint(**point),
        budget=Budget(cpu_minutes=10),
    )
    assert (path, load([path])) == (tmp_path / "deep" / "steel" / "scenario.yaml", [made])
    assert "put your images there" in path.read_text()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("steel", "steel"),
        ("Stahl: 齿轮 😀", "Stahl- 齿轮 😀"),
        ('a "quoted" one', "a -quoted- one"),
        ("# no comment", "# no comment"),
        ("1", "1"),
        ("yes", "yes"),
        (os.fsdecode(b"d\xe9faut"), "d-faut"),
        ("x\x7f\x85", "x--"),
    ],
)
def test_any_folder_gives_a_name(tmp_path: Path, folder: str, name: str) -> None:
    path = write_template(tmp_path / folder, data=None, task="classify")
    assert load([path])[0].name == name


@pytest.mark.parametrize("data", ["images", 'a: "b" # c', "齿轮 😀", "- x", "back\\slash", "tab\there"])
def test_data_is_named_from_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    (tmp_path / data).mkdir()
    monkeypatch.chdir(tmp_path)
    path = write_template(Path("new/steel"), data=Path(data), task="classify")
    assert load([path])[0].data == (Source(path=tmp_path / data),)
    assert str(tmp_path) not in path.read_text()  # the two may be moved together


def test_an_unknown_task_brings_near_names(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        write_template(tmp_path / "x", data=None, task="clasify")
    assert str(caught.value) == "--task: no task named 'clasify'\n  fix: did you mean 'classify'?"
    assert list(tmp_path.iterdir()) == []


def test_a_scenario_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="there is a scenario already; it was left as it is") as caught:
        write_template(tmp_path, data=None, task="classify")
    assert (caught.value.where, path.read_text()) == (str(path), "mine")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("none", "expected a folder of images; there is nothing here"),
        (os.fsdecode(b"d\xe9faut"), r"expected a path that YAML can hold \(UTF-8 text\)"),
    ],
)
def test_data_that_cannot_be_named(tmp_path: Path, data: str, message: str) -> None:
    (tmp_path / os.fsdecode(b"d\xe9faut")).mkdir()
    with pytest.raises(ConfigError, match=message):
        write_template(tmp_path / "new", data=tmp_path / data, task="classify")
    assert not (tmp_path / "new").exists()


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="expected a folder, got a file"):
        write_template(tmp_path / "file", data=None, task="classify")
