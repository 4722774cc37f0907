"""npu-int8 beside the float network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from trunkline.algorithms.trunks.store import exported, install, resolve
from trunkline.compute.chips.npu_int8 import cycles
from trunkline.compute.chips.npu_int8.compiler import compile_graph
from trunkline.core.errors import ConfigError, DataError, InputError, MissingExtraError, NotFoundError
from trunkline.core.settings import Settings, load_settings
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.scenario import Labels, Scenario, Source
from trunkline.platform.bench.npu import NpuReport, simulate
from trunkline.platform.bench.npu_model import head_program
from trunkline.platform.bench.npu_pictures import even
from trunkline.platform.registry.registry import Registry

if TYPE_CHECKING:
    from tests.conftest import Pictures

pytest.importorskip("scalesim")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, pictures: Pictures) -> tuple[Settings, Path]:
    """A home with the models `stripes` and `odd`, and the folder of pictures that they come from."""
    from trunkline.platform.line.runner import run_line

    root = tmp_path_factory.mktemp("npu")
    folder = pictures.folder(root / "images", ("a", "b", "c"), 12)
    settings = load_settings(root / "home", threads=2, runtime="onnxruntime")
    data = (Source(path=folder),)
    asked = [
        Scenario(name="stripes", task="classify", data=data, trunk="test-trunk"),
        Scenario(name="tags", task="multilabel", data=data, trunk="test-trunk"),
        Scenario(name="odd", task="anomaly", data=data, trunk="test-trunk", labels=Labels(good=("a",))),
    ]
    outcome = run_line(asked, settings)
    assert outcome.errors == []
    return settings, folder


@pytest.fixture(scope="module")
def report(workplace: tuple[Settings, Path]) -> NpuReport:
    settings, _ = workplace
    return simulate(settings, trunk="", model="stripes", array="16x16", images=None)


def test_layers_are_those_of_trunk_and_head(report: NpuReport) -> None:
    kinds = ["image", "conv", "conv", "conv", *["mean", "std", "max"] * 3, "concat", "contrast", "linear"]
    assert [layer.kind for layer in report.layers] == kinds
    assert [layer.shape for layer in report.layers][1:4] == [(16, 16, 8), (8, 8, 16), (4, 4, 24)]
    assert [layer.macs for layer in report.layers][1:4] == [256 * 27 * 8, 64 * 72 * 16, 16 * 144 * 24]
    assert [layer.cycles for layer in report.layers][1:4] == [16 * (30 + 27), 4 * (30 + 72), 2 * (30 + 144)]
    assert report.layers[-1].macs == 144 * 3


def test_layers_are_close_to_the_float_network(report: NpuReport) -> None:
    compared = report.layers[:-2]
    assert min(layer.sqnr_db or 0 for layer in compared) > 20
    assert min(layer.cosine or 0 for layer in compared) > 0.99
    assert all(layer.largest_difference is not None for layer in compared)
    assert [layer.sqnr_db for layer in report.layers[-2:]] == [None, None]
    assert 0.99 < report.features_cosine_least <= report.features_cosine <= 1


def test_sums_are_those_of_the_layers(report: NpuReport) -> None:
    assert report.macs == sum(layer.macs for layer in report.layers)
    assert report.cycles == sum(layer.cycles for layer in report.layers)
    assert report.utilisation == pytest.approx(report.macs / (256 * report.cycles))
    used = [layer for layer in report.layers if layer.cycles]
    assert all(layer.utilisation == pytest.approx(layer.macs / (256 * layer.cycles)) for layer in used)


def test_a_model_answers_its_frozen_test_set_on_both_sides(report: NpuReport) -> None:
    assert report.model is not None
    assert (report.model.name, report.model.task) == ("stripes", "classify")
    assert report.model.test_images == report.model.images == report.compared_images > 0
    assert report.model.accuracy_float == 1.0
    assert report.model.accuracy_npu == 1.0
    assert report.model.changed == 0
    assert 0 < report.model.largest_score_change < 0.2


def test_multilabel_heads_run_as_well(workplace: tuple[Settings, Path]) -> None:
    settings, folder = workplace
    found = simulate(settings, trunk="test-trunk", model="tags", array="edge-16x16", images=[folder]).model
    assert found is not None
    assert (found.task, found.test_images, found.accuracy_npu) == ("multilabel", 0, None)
    assert found.changed <= 1


def test_json_holds_everything(report: NpuReport) -> None:
    row = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert row["array"] == {"name": "16x16", "rows": 16, "columns": 16, "dataflow": "os"}
    assert row["ms_at_1_ghz"] == round(report.cycles / 1e6, 3)
    assert row["layers"][1]["shape"] == [16, 16, 8]
    assert row["model"]["name"] == "stripes"


def test_another_run_gives_the_same_integers(workplace: tuple[Settings, Path], report: NpuReport) -> None:
    settings, _ = workplace
    again = simulate(settings.model_copy(update={"threads": 1}), trunk="", model="stripes", array="16x16", images=None)
    assert replace(again, seconds_per_image=0.0) == replace(report, seconds_per_image=0.0)


def test_a_trunk_alone_on_images_leaves_nothing_behind(
    workplace: tuple[Settings, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    settings, folder = workplace
    before = sorted(settings.home.rglob("*"))
    said: list[str] = []
    found = simulate(
        settings, trunk="test-trunk", model=None, array="eyeriss-12x14", say=said.append,
        images=[folder / "a", folder / "b" / "000.png"],
    )  # fmt: skip
    assert (found.calibration_images, found.compared_images, found.model) == (6, 7, None)
    assert sorted(settings.home.rglob("*")) == before
    assert capfd.readouterr() == ("", "")
    assert [sentence.partition(" ")[0] for sentence in said] == ["compiling", "running"]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"array": "huge"}, ConfigError, "expected an array"),
        ({"trunk": "nothing"}, NotFoundError, "no trunk named"),
        ({"model": "stripe"}, NotFoundError, "stripe"),
        ({"model": "odd", "trunk": ""}, InputError, "npu-int8 runs linear heads"),
        ({}, InputError, "expected images to calibrate and compare on: got none"),
        ({"images": []}, InputError, "expected images to calibrate and compare on: got none"),
        ({"images": ["images/a/000.png"]}, InputError, "expected at least two images"),
        ({"images": ["nowhere"]}, DataError, "there is nothing here"),
        ({"images": ["images/a", "broken.png"]}, DataError, "broken.png"),
    ],
)
def test_refusals(workplace: tuple[Settings, Path], options: dict[str, Any], error: type[Exception], said: str) -> None:
    settings, folder = workplace
    (folder.parent / "broken.png").write_bytes(b"no picture")
    given = {"trunk": "test-trunk", "model": None, "array": "8x8", "images": None, **options}
    if given["images"]:
        given["images"] = [folder.parent / path for path in given["images"]]
    with pytest.raises(error, match=said):
        simulate(settings, **given)


def test_a_model_whose_images_are_elsewhere_asks_for_some(workplace: tuple[Settings, Path], tmp_path: Path) -> None:
    settings, folder = workplace
    bundle = Registry(settings).resolve("stripes")
    other = load_settings(tmp_path / "home", runtime="onnxruntime")
    with pytest.raises(InputError, match="the images that the model learned from are not in this home"):
        simulate(other, trunk="", model=str(bundle), array="8x8", images=None)
    found = simulate(other, trunk="", model=str(bundle), array="8x8", images=[folder]).model
    assert found is not None
    assert (found.images > 8, found.test_images, found.accuracy_npu) == (True, 0, None)


def test_a_trunk_that_is_not_the_models_is_refused(workplace: tuple[Settings, Path]) -> None:
    settings, _ = workplace
    parts = exported(resolve("test-trunk", settings.home))
    other = install(replace(parts, card=replace(parts.card, weights="0" * 64)), settings.home)
    with pytest.raises(ConfigError, match="expected the trunk that the model reads, test-trunk"):
        simulate(settings, trunk=other.card.digest, model="stripes", array="8x8", images=None)


def test_without_scalesim_nothing_is_computed(
    workplace: tuple[Settings, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cycles, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"trunkline\[npu\]"):
        simulate(workplace[0], trunk="test-trunk", model=None, array="8x8", images=[workplace[1]])


def test_a_head_of_other_weights_is_refused() -> None:
    head = TrainedHead("classify", ("a", "b"), "0" * 64, {"conv": np.ones((2, 2), np.float32)})
    with pytest.raises(InputError, match="got a classify head with conv"):
        head_program(head, np.ones((1, 6), np.int32), source="0" * 64, where="steel")


@pytest.mark.parametrize(
    ("count", "wanted", "rows"), [(3, 5, [0, 1, 2]), (10, 5, [0, 2, 4, 6, 8]), (5, 2, [0, 2]), (0, 4, [])]
)
def test_even_choice(count: int, wanted: int, rows: list[int]) -> None:
    assert even(range(count), wanted) == rows


def test_known_program_of_the_test_trunk(workplace: tuple[Settings, Path]) -> None:
    """Calibration included: the same pictures give the same program on every machine."""
    count = 4 * 32 * 32 * 3
    images = ((np.arange(count) * 97 + np.arange(count) // 61) % 256).astype(np.uint8).reshape(4, 32, 32, 3)
    trunk = resolve("test-trunk", workplace[0].home)
    compiled = compile_graph(trunk.path().read_bytes(), images, where="test-trunk")
    program = replace(compiled.program, source="0" * 64)  # the graph's bytes may change with the onnx package
    assert program.digest == "2b7afbdcdcbc7c675810f16c6e8c1c2008d3a3c764a6fb44f5eb6db208c5217f"
