"""Scenario files and folders: what is read from them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trunkline.core.errors import ConfigError
from trunkline.core.types.scenario import Budget, OperatingPoint, Scenario, Source, Split
from trunkline.platform.data import formats
from trunkline.platform.line.scenarios import from_folder, load, read_file

if TYPE_CHECKING:
    from tests.conftest import Pictures

OK = "task: classify\ndata: x\n"


def test_a_full_scenario_is_read(tmp_path: Path) -> None:
    path = tmp_path / "steel.yaml"
    path.write_text(
        """\
\ufeffname: "Stahl Fläche 😀"
task: anomaly
data:
  - images
  - {path: /data/more, format: mvtec}
labels: {rename: {schramme: scratch}, ignore: [scrap], good: [fine]}
trunk: test-trunk
split: {test: 0.5, seed: 7}
gates: {auroc: ">= 0.9", champion: no-worse}
operating_point: {false_reject_rate: 0.01}
budget: {cpu_minutes: 2}
licence: CC0-1.0
"""
    )
    made = Scenario(
        name="Stahl Fläche 😀",
        task="anomaly",
        data=(Source(path=tmp_path / "images"), Source(path=Path("/data/more"), format="mvtec")),
        labels={"rename": {"schramme": "scratch"}, "ignore": ("scrap",), "good": ("fine",)},  # type: ignore[arg-type]
        trunk="test-trunk",
        split=Split(test=0.5, seed=7),
        gates={"auroc": ">= 0.9", "champion": "no-worse"},
        operating_point=OperatingPoint(false_reject_rate=0.01),
        budget=Budget(cpu_minutes=2),
        licence="CC0-1.0",
    )
    assert read_file(path) == [made]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("steel.yaml", "steel"),
        ("line-1/scenario.yaml", "line-1"),
        ("a@b.yml", "a-b"),
        (".hidden.yaml", "hidden"),
        (os.fsdecode(b"d\xe9faut.yaml"), "d-faut"),
    ],
)
def test_a_scenario_without_a_name_has_that_of_its_file_or_folder(tmp_path: Path, file: str, name: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(OK)
    assert [(made.name, made.data) for made in read_file(path)] == [(name, (Source(path=path.parent / "x"),))]


@pytest.mark.parametrize(
    ("trunk", "resolved"),
    [
        ("efficientnet-lite0", "efficientnet-lite0"),
        ("onnx:net.onnx", "onnx:{folder}/net.onnx"),
        ("onnx:../net.onnx", "onnx:{folder.parent}/net.onnx"),
        ("onnx:/nets/net.onnx", "onnx:/nets/net.onnx"),
        ("timm:resnet18", "timm:resnet18"),
        ("not there", "not there"),  # the line tells, which knows the trunks of this home
    ],
)
def test_a_trunk_in_a_file_is_looked_for_beside_the_scenario(tmp_path: Path, trunk: str, resolved: str) -> None:
    path = tmp_path / "steel.yaml"
    path.write_text(f"{OK}trunk: {trunk!r}\n")
    assert read_file(path)[0].trunk == resolved.format(folder=tmp_path)


def test_the_home_of_the_user_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home-of-ana")
    path = tmp_path / "steel.yaml"
    path.write_text("task: classify\ndata: [~/images, '~nobody-of-this-name/images']\n")
    assert [source.path for source in read_file(path)[0].data] == [
        Path("/home-of-ana/images"),
        tmp_path / "~nobody-of-this-name/images",
    ]


def test_several_documents_and_several_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yml"
    one.write_text(f"---\nname: a\n{OK}---\nname: b\n{OK}---\n")
    two.write_text(OK)
    assert [made.name for made in load([one, two])] == ["a", "b", "two"]


@pytest.mark.parametrize(
    ("files", "where"),
    [({"a.yaml": f"{OK}---\n{OK}"}, "{0}/a.yaml"), ({"a.yaml": OK, "a.yml": OK}, "{0}/a.yaml and {0}/a.yml")],
)
def test_a_name_that_stands_twice(tmp_path: Path, files: dict[str, str], where: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load([tmp_path / name for name in files])
    assert str(caught.value) == (
        f"{where.format(tmp_path)}: expected each name once, got 'a' twice\n  fix: give one of the two another `name`"
    )


@pytest.mark.parametrize(("option", "values"), [("--task", {"task": "anomaly"}), ("--name", {"name": "x"})])
def test_options_for_folders_are_not_passed_over_in_silence(
    tmp_path: Path, option: str, values: dict[str, str]
) -> None:
    path = tmp_path / "steel.yaml"
    path.write_text(OK)
    with pytest.raises(ConfigError) as caught:
        load([path], **values)
    assert str(caught.value) == (
        f"{option}: expected a folder of images with {option}, got {path}, which says it itself\n"
        "  fix: leave the option out, or change the file"
    )


@pytest.mark.parametrize(
    ("name", "text"), [("none.yaml", "No such file or directory"), ("file.yaml/x.yaml", "Not a directory")]
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "file.yaml").touch()
    with pytest.raises(ConfigError) as caught:
        load([tmp_path / name])
    assert str(caught.value) == f"{tmp_path / name}: expected a scenario file: {text}"


def test_a_folder_of_images_is_a_scenario(tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "parts", count=2)
    made = Scenario(name="parts", task="classify", data=(Source(path=folder),))
    assert load([folder]) == load([folder], task="classify") == [made]
    assert load([folder], name="steel") == [made.model_copy(update={"name": "steel"})]


@pytest.mark.parametrize(("layout", "task"), [("imagefolder", "classify"), ("csv", "classify"), ("mvtec", "anomaly")])
def test_the_layout_says_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, task: str) -> None:
    monkeypatch.setattr(formats, "detect", lambda _: layout)
    assert load([tmp_path])[0].task == task


def test_a_layout_that_serves_several_tasks_does_not_say_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "detect", lambda _: "voc")
    with pytest.raises(ConfigError) as caught:
        load([tmp_path])
    assert str(caught.value) == (
        f"{tmp_path}: the layout is voc, which serves several tasks\n"
        "  fix: say which one: --task classify (one label an image) or --task multilabel (a set of labels)"
    )


def test_a_folder_may_be_named_like_a_scenario_file(tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "x.yaml", count=2)
    assert load([folder], task="classify") == [Scenario(name="x.yaml", task="classify", data=(Source(path=folder),))]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        (".parts", "parts"),
        ("a:b@c", "a-b-c"),
        (os.fsdecode(b"d\xe9faut"), "d-faut"),
        ("齿轮 😀 [1]", "齿轮 😀 [1]"),
        ("...", "scenario"),
    ],
)
def test_a_folder_gives_a_name_that_a_model_can_have(tmp_path: Path, folder: str, name: str) -> None:
    (tmp_path / folder).mkdir()
    assert from_folder(tmp_path / folder, task="classify").name == name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": "clasify"}, "--task: expected one of classify, multilabel, anomaly, detect, got 'clasify'\n"
                              "  fix: did you mean 'classify'?"),
        ({"task": "xyz"}, "--task: expected one of classify, multilabel, anomaly, detect, got 'xyz'"),
        ({"task": "classify", "name": "a/b"},
         '--name: expected a name without / \\ : @ * " and without spaces at its ends, got \'a/b\''),
        ({"task": "classify", "name": ".a"}, "--name: expected a name that does not begin with . or -, got '.a'"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(tmp_path: Path, values: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load([tmp_path], **values)
    assert str(caught.value) == message


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load([tmp_path / "none"])
    assert str(caught.value) == (
        f"{tmp_path / 'none'}: expected a scenario file or a folder of images; there is nothing here"
    )
