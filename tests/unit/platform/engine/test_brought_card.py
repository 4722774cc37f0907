"""The card of a model that somebody brings: read with its labels, and refused with the line to mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from trunkline.core.errors import ConfigError, InputError
from trunkline.platform.engine.brought_card import (
    EXAMPLE,
    OUTPUTS,
    Brought,
    BroughtCard,
    Outputs,
    is_brought,
    read_brought,
)

CARD: dict[str, Any] = {
    "name": "boxes", "task": "detect", "labels": ["cat", "dog"], "licence": "MIT", "source": "a test",
}  # fmt: skip


def written(folder: Path, change: dict[str, Any] | None = None, name: str = "net.json") -> Path:
    """A card with its graph beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "net.tflite").touch()
    row = {key: value for key, value in {**CARD, **(change or {})}.items() if value is not None}
    (folder / name).write_text(json.dumps(row))
    return folder / name


def test_the_example_in_the_messages_is_a_card(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(f"{EXAMPLE}\n{OUTPUTS}")
    (tmp_path / "detect.tflite").touch()
    (tmp_path / "labelmap.txt").write_text("empty\ncat\n\nempty\ndog\n\n")
    card = BroughtCard(
        name="coco-ssd", task="detect", model="detect.tflite", labels="labelmap.txt", label_offset=1,
        background=["empty"], threshold=0.5, licence="Apache-2.0", source="where the weights are from",
        outputs=Outputs(boxes="boxes", scores="scores", classes="classes", order="yxyx", unit="fraction"),
    )  # fmt: skip
    path = tmp_path / "net.yaml"
    assert read_brought(path) == Brought(card, path, tmp_path / "detect.tflite", ("", "cat", "", "", "dog"))


def test_the_page_shows_the_same_cards() -> None:
    page = (ROOT / "docs" / "bring-a-model.md").read_text()
    assert [f"```yaml\n{text}\n```" in page for text in (EXAMPLE, OUTPUTS)] == [True, True]


def test_a_graph_has_its_card_beside_it(tmp_path: Path) -> None:
    card_at = written(tmp_path)
    graph = tmp_path / "net.tflite"
    expected = Brought(BroughtCard(**CARD), card_at, graph, ("cat", "dog"))
    assert [read_brought(path) for path in (graph, card_at)] == [expected, expected]


def test_a_card_in_another_folder_finds_the_labels_of_the_graph(tmp_path: Path) -> None:
    written(tmp_path / "bought")
    (tmp_path / "bought" / "labels.txt").write_text("\ufeffcat\r\ndog\r\n", encoding="utf-8")
    path = written(tmp_path / "own", {"model": "../bought/net.tflite", "labels": "labels.txt"}, "card.json")
    found = read_brought(path)
    assert (found.graph.resolve(), found.labels) == (tmp_path / "bought" / "net.tflite", ("cat", "dog"))
    (tmp_path / "own" / "labels.txt").write_text("hen\n")
    assert read_brought(path).labels == ("hen",)


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("net.tflite", True), ("gone.tflite", True), ("net.json", True), ("gone.json", False), ("./gone.json", True),
        ("steel", False), ("steel@3", False), ("steel.tlb", False), ("dir/steel.tlb", False), ("steel*", False),
    ],
)  # fmt: skip
def test_what_is_taken_for_a_model_that_is_brought(
    ref: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert is_brought(ref) is expected


OUT = {"boxes": "b", "scores": 1, "order": "xyxy", "unit": "pixels"}


@pytest.mark.parametrize(
    ("change", "where", "said"),
    [
        ({"name": None}, "name", "this key is missing\n  fix: for example:"),
        ({"licence": None}, "licence", "this key is missing"),
        ({"task": "classify"}, "task", "expected 'detect', got 'classify'"),
        ({"labls": []}, "labls", "unknown key\n  fix: did you mean 'labels'?"),
        ({"labels": []}, "labels", "expected 1 to 10000 labels, got 0"),
        ({"labels": ["a"] * 10_001}, "labels", "expected 1 to 10000 labels, got 10001"),
        ({"labels": ["???", " "]}, "labels", "expected 1 to 10000 labels, got 0"),
        ({"labels": ["a", "b", "a"]}, "labels", "expected each label once, got 'a' again"),
        ({"labels": ["a", True]}, "labels", "expected a list of texts ('yes' and '1' need quotes), or the name"),
        ({"labels": 3}, "labels", "expected a list of texts"),
        ({"labels": ""}, "labels", "expected a list of texts"),
        ({"labels": "gone.txt"}, "labels", "no file 'gone.txt' beside the card or the graph"),
        ({"labels": "../labels.txt"}, "labels", "expected a file inside the folder of the card or the graph, got '../"),
        ({"labels": "/etc/hostname"}, "labels", "expected a file inside the folder of the card or the graph"),
        ({"labels": "link.txt"}, "labels", "expected a file inside the folder of the card or the graph"),
        ({"model": "net.onnx"}, "model", "expected a file that ends in .tflite, got 'net.onnx'"),
        ({"model": "gone.tflite"}, "model", "expected a TFLite graph, there is no file"),
        ({"threshold": 0}, "threshold", "expected a number greater than 0, got 0"),
        ({"threshold": 1.5}, "threshold", "expected a number less than or equal to 1, got 1.5"),
        ({"nms": "0.5"}, "nms", "expected a number, got '0.5'"),
        ({"label_offset": 1.5}, "label_offset", "expected a whole number, got 1.5"),
        ({"outputs": {**OUT, "boxes": True}}, "outputs.boxes", "expected a tensor's name, or its place among"),
        ({"outputs": {**OUT, "boxes": -1}}, "outputs.boxes", "expected a tensor's name, or its place among"),
        ({"outputs": {**OUT, "order": "cxcywh"}}, "outputs.order", "expected 'yxyx' or 'xyxy', got 'cxcywh'"),
        ({"outputs": {**OUT, "bokses": 1}}, "outputs.bokses", "unknown key\n  fix: did you mean 'boxes'?"),
        ({"outputs": {"boxes": 0, "scores": 1, "order": "xyxy"}}, "outputs.unit", "this key is missing"),
        ({"scale": [1, 0, 2], "mean": [0, 0, 0]}, "scale", "expected numbers other than 0, got [1, 0, 2]"),
        ({"scale": [1, 1, 1]}, "", "expected mean and scale, or neither"),
    ],
)
def test_a_wrong_card_is_refused(change: dict[str, Any], where: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\n")
    path = written(tmp_path / "inside", change)
    (tmp_path / "inside" / "link.txt").symlink_to(tmp_path / "labels.txt")
    with pytest.raises(ConfigError) as caught:
        read_brought(path)
    assert caught.value.where == (f"{path}: {where}" if where else str(path))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\xff\xfe", "expected UTF-8 text"), (b"a\n" * 600_000, "expected labels of at most 1024 KB, got 1171 KB")],
)
def test_a_file_that_holds_no_labels_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, {"labels": "labels.txt"})
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        read_brought(path)
    assert caught.value.where == str(tmp_path / "labels.txt")


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a TFLite graph or its card; there is nothing here"):
        read_brought(tmp_path / "gone.tflite")
    graph = tmp_path / "net.tflite"
    graph.touch()
    with pytest.raises(InputError) as caught:
        read_brought(graph)
    assert caught.value.fix == f"write {tmp_path / 'net.yaml'}, for example:\n\n{EXAMPLE}\n"
    written(tmp_path, {"model": "other.tflite"})
    (tmp_path / "other.tflite").touch()
    with pytest.raises(ConfigError, match=r"expected the card of net\.tflite, got one of other\.tflite"):
        read_brought(graph)
