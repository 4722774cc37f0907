"""A detector that somebody brings: from its file to boxes, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.unit.compute.runtimes import tflite_graphs as graphs

CARD = {"name": "boxes", "task": "detect", "labels": ["cat", "dog"], "licence": "MIT", "source": "a test"}
COCO = """\
name: coco-ssd
task: detect
model: {model}
labels: labelmap.txt
label_offset: 1
background: [empty]
licence: Apache-2.0
source: TensorFlow Lite's starter detector
"""
SEEN = {  # where a person drew the box: x1, y1, x2, y2
    "camera": ("person", (10, 64, 330, 512)),
    "chelsea": ("cat", (0, 0, 415, 300)),
    "coffee": ("cup", (175, 15, 410, 310)),
}
WARNING = "trunkline: boxes: brought along, so no gate measured it and nobody signed it (licence: MIT)\n"


def brought(folder: Path, graph: bytes) -> Path:
    path = folder / "net.tflite"
    path.write_bytes(graph)
    path.with_suffix(".json").write_text(json.dumps(CARD))
    return path


def picture(path: Path, colour: tuple[int, int, int]) -> Path:
    Image.new("RGB", (128, 64), colour).save(path)
    return path


@pytest.fixture
def coco(shared: Path, tmp_path: Path) -> Path:
    """The card of the real detector, in a folder of its own."""
    model = shared / "models" / "coco-ssd" / "detect.tflite"
    if not model.is_file():
        pytest.skip("the detector is not among the shared data")
    (tmp_path / "coco-ssd.yaml").write_text(COCO.format(model=model))
    return tmp_path / "coco-ssd.yaml"


def overlap(first: Any, second: Any) -> float:
    """Intersection over union."""
    a, b = np.array(first), np.array(second)
    both = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    return float(both / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - both))


def test_a_real_detector_finds_what_a_person_sees(coco: Path, trunkline: Any, tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data")
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name in SEEN:
        Image.fromarray(getattr(data, name)()).save(folder / f"{name}.png")
    done = trunkline("predict", coco, folder, "--json", "--threads", "1")
    assert done.status == 0, done.err
    best = {Path(row["source"]).stem: row["predictions"][0] for row in done.rows}
    assert {name: thing["label"] for name, thing in best.items()} == {name: label for name, (label, _) in SEEN.items()}
    assert {
        name: round(overlap(thing["box"], SEEN[name][1]), 2) >= 0.8 for name, thing in best.items()
    } == dict.fromkeys(SEEN, True)
    assert trunkline("predict", coco, folder, "--json", "--threads", "2").out == done.out


def test_answers_for_people_and_for_programs(trunkline: Any, tmp_path: Path) -> None:
    graph = brought(tmp_path, graphs.detector())
    cat, none = picture(tmp_path / "cat.png", (0, 90, 10)), picture(tmp_path / "none.png", (0, 0, 0))
    done = trunkline("predict", graph, cat, none)
    line = f"{cat}: cat 0.900 at 0 0 64 32, cat 0.900 at 48 32 80 64\n{none}: nothing\n"
    assert (done.status, done.out, done.err) == (0, line, WARNING)
    row = trunkline("predict", graph.with_suffix(".json"), cat, "--json").row
    boxes = [prediction.pop("box") for prediction in row["predictions"]]
    score = row["predictions"][0]["score"]
    assert (boxes, round(score, 3)) == ([[0.0, 0.0, 64.0, 32.0], [48.0, 32.0, 80.0, 64.0]], 0.9)
    assert {**row, "bundle": len(row["bundle"])} == {
        "model": "boxes", "source": str(cat), "frame": 0, "time": 0.0, "accepted": ["cat"], "unsure": False,
        "predictions": [{"label": "cat", "score": score}] * 2, "bundle": 64,
    }  # fmt: skip


def test_a_picture_that_cannot_be_read_does_not_stop_the_others(trunkline: Any, tmp_path: Path) -> None:
    graph = brought(tmp_path, graphs.detector())
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture(folder / "a.png", (0, 90, 10))
    (folder / "b.png").write_bytes(b"none")
    picture(folder / "c.png", (0, 0, 0))
    done = trunkline("predict", graph, folder, "--json")
    assert (done.status, [Path(row["source"]).name for row in done.rows]) == (2, ["a.png", "c.png"])
    assert f"{folder / 'b.png'}: " in done.err


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        (b"", "LiteRT cannot run the graph"),
        (b"this is no graph\n" * 100, "LiteRT cannot run the graph"),
        (graphs.detector()[:-200], "LiteRT cannot run the graph"),
        (graphs.detector(options=False), "the graph crashed LiteRT (SIGSEGV)"),
        (graphs.net(), "the graph does not end in TFLite_Detection_PostProcess"),
    ],
    ids=["empty", "text", "cut", "crash", "no detector"],
)
def test_a_graph_that_is_none_gets_a_message(graph: bytes, said: str, trunkline: Any, tmp_path: Path) -> None:
    done = trunkline("predict", brought(tmp_path, graph), picture(tmp_path / "a.png", (0, 0, 0)))
    assert (done.status, done.out, said in done.err, "Traceback" in done.err) == (2, "", True, False)


def test_without_a_card_one_is_shown(trunkline: Any, tmp_path: Path) -> None:
    (tmp_path / "net.tflite").write_bytes(graphs.detector())
    done = trunkline("predict", tmp_path / "net.tflite", picture(tmp_path / "a.png", (0, 0, 0)))
    assert (done.status, f"write {tmp_path / 'net.yaml'}, for example:" in done.err) == (2, True)


def test_nothing_is_written(trunkline: Any, home: Path, tmp_path: Path) -> None:
    graph = brought(tmp_path, graphs.detector())
    sources = [picture(tmp_path / "a.png", (0, 0, 0))]
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert trunkline("predict", graph, *sources).status == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
