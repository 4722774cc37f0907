"""`trunkline demo` and `trunkline evaluate`, on sources of samples that are quick."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from tests.conftest import Pictures
from tests.flows.conftest import Trunkline
from trunkline.cli import demo
from trunkline.core.errors import DataError
from trunkline.core.types.scenario import Scenario, Source
from trunkline.platform.line import overview
from trunkline.platform.samples import SAMPLES
from trunkline.platform.samples.base import Progress, SampleSet


class Stripes:
    """Two kinds of stripes; a class that is asked for and one that cannot be built."""

    def collect(self, into: Path, progress: Progress | None = None) -> list[SampleSet]:
        folder = Pictures().folder(into / "stripes", ("a", "b"), 12)
        return [SampleSet("stripes", "classify", folder, 24, "MIT", "made here", "stripes")]

    def scenarios(self, sets: Sequence[SampleSet]) -> list[Scenario]:
        (one,) = sets
        source = (Source(path=one.path),)
        return [
            Scenario(name="which-stripes", task="classify", data=source, trunk="test-trunk"),
            Scenario(name="too-strict", task="classify", data=source, trunk="test-trunk", gates={"bundle_kb": "<= 1"}),
        ]


class Nowhere:
    """A source that cannot be had."""

    def collect(self, into: Path, progress: Progress | None = None) -> list[SampleSet]:
        raise DataError("the package is not installed", fix="install it")

    def scenarios(self, sets: Sequence[SampleSet]) -> list[Scenario]:
        return []


@pytest.fixture
def _quick_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = {"stripes": f"{__name__}:Stripes", "nowhere": f"{__name__}:Nowhere"}
    monkeypatch.setitem(SAMPLES.__dict__, "targets", targets)


@pytest.mark.usefixtures("_quick_samples")
def test_demo_builds_says_what_is_missing_and_what_is_next(trunkline: Trunkline, home: Path) -> None:
    ran = trunkline("demo", "--no-open")
    assert ran.status == 0, ran.err
    assert "left out: nowhere: the package is not installed" in ran.err
    assert "2 models are asked for" in ran.err
    page = home / "reports" / "overview.html"
    assert [
        text
        for text in (
            "which-stripes",
            "too-strict missed bundle_kb <= 1\n0 of 1 passed; 1 measured, nothing asked",
            f"overview, open it in a browser: {page}\nnext:",
        )
        if text not in ran.out
    ] == []
    html = page.read_text()
    assert [text for text in ("which-stripes", "too-strict", "missed bundle_kb") if text not in html] == []


@pytest.mark.usefixtures("_quick_samples")
@pytest.mark.parametrize(
    ("browser", "text"), [(True, "overview, opened in a browser: "), (False, "overview, open it in a browser: ")]
)
def test_demo_says_whether_a_browser_was_opened(
    trunkline: Trunkline, home: Path, monkeypatch: pytest.MonkeyPatch, browser: bool, text: str
) -> None:
    monkeypatch.setattr(demo, "stderr", lambda: Console(file=io.StringIO(), force_terminal=True))
    monkeypatch.setattr(overview, "open_in_browser", lambda _: browser)
    assert f"{text}{home / 'reports' / 'overview.html'}\n" in trunkline("demo").out


@pytest.mark.usefixtures("_quick_samples")
def test_demo_prints_json_alone_when_asked(trunkline: Trunkline) -> None:
    rows = trunkline("demo", "--json").rows
    assert [(row["name"], row["status"]) for row in rows] == [("which-stripes", "passed"), ("too-strict", "failed")]


def test_demo_without_any_sample_says_what_to_do(trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLES.__dict__, "targets", {"nowhere": f"{__name__}:Nowhere"})
    ran = trunkline("demo")
    assert ran.status == 2
    assert "no sample could be had" in ran.err
    assert "trunkline[samples]" in ran.err


@pytest.fixture
def parts(trunkline: Trunkline, write: Callable[..., Path], tmp_path: Path, pictures: Pictures) -> Path:
    """A folder of parts, and a model of it."""
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 16)
    assert trunkline("build", write("parts", folder)).status == 0
    return folder


@pytest.mark.parametrize(("split", "images"), [("test", 8), ("train", 24), ("all", 32)])
def test_evaluate_takes_the_split_of_a_data_set(split: str, images: int, parts: Path, trunkline: Trunkline) -> None:
    row = trunkline("evaluate", "parts", "parts@1", "--split", split, "--json").row
    assert (row["images"], row["split"], row["dataset"]) == (images, split, "parts")


def test_evaluate_counts_labels_that_the_model_does_not_know_as_wrong(
    parts: Path, trunkline: Trunkline, pictures: Pictures
) -> None:
    pictures.folder(parts, ("a", "b", "c"), 16)
    row = trunkline("evaluate", "parts", parts, "--split", "all", "--json").row
    assert (row["images"], row["metrics"]["accuracy"]) == (48, pytest.approx(2 / 3))
    assert "does not know" in row["notes"]["accuracy"]


def test_evaluate_leaves_out_what_taught_the_model_and_says_so(parts: Path, trunkline: Trunkline) -> None:
    asked = trunkline("evaluate", "parts", parts, "--json")
    assert {key: asked.row[key] for key in ("images", "learned", "left_out", "split")} == {
        "images": 8, "learned": 24, "left_out": 24, "split": "all",
    }  # fmt: skip
    whole = trunkline("evaluate", "parts", parts, "--split", "all", "--json")
    assert (whole.row["images"], whole.row["learned"], whole.row["left_out"]) == (32, 24, 0)
    assert "24 of the 32 images taught the model" in whole.row["warnings"][0]
    assert "left out 24 images that taught the model" in trunkline("evaluate", "parts", parts).err


def test_evaluate_sees_labels_as_the_scenario_does(
    trunkline: Trunkline, write: Callable[..., Path], tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b", "c"), 16)
    mapping = "labels: {rename: {a: b, b: a}, ignore: [c]}"
    scenario = write("parts", folder, extra=mapping)
    assert trunkline("build", scenario).status == 0
    assert trunkline("data", "import", folder, "--name", "parts").status == 0
    pictures.folder(folder, ("a", "b"), 20)
    assert trunkline("build", scenario).status == 0
    # What builds kept, of any version, is renamed already; what a person imported is not, whatever its name.
    kept = {"parts@1": 32, "parts@3": 40}
    for data, images in {folder: 40, "parts@2": 32, **kept}.items():
        row = trunkline("evaluate", "parts@2", data, "--json", "--split", "all").row
        assert (row["images"], row["metrics"]["accuracy"]) == (images, 1.0)


def test_evaluate_says_what_was_not_measured(
    parts: Path, trunkline: Trunkline, pictures: Pictures, tmp_path: Path
) -> None:
    folder = pictures.folder(tmp_path / "one-class", ("a",), 2)
    said = trunkline("evaluate", "parts", folder, "--split", "all").out
    assert (
        "recall_min not measured  (no test image is of b: add some; worst of the other classes: a with 1.0000)" in said
    )
    assert "  b: recall not measured, precision not measured" in said


def test_evaluate_takes_fewer_images_than_learning_needs(
    parts: Path, trunkline: Trunkline, pictures: Pictures, tmp_path: Path
) -> None:
    folder = pictures.folder(tmp_path / "one-class", ("b",), 2)
    assert trunkline("evaluate", "parts", folder, "--split", "all", "--json").row["images"] == 2
    assert trunkline("evaluate", "parts", folder, "--split", "some").status == 2
