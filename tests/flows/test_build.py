"""From a folder of images to a model that answers, and what happens when the folder changes."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Pictures
from tests.flows.conftest import Trunkline
from trunkline.platform.line import latency

CONTRACT = {
    "scenario", "task", "status", "name", "version", "digest", "bundle", "images", "classes", "metrics", "gates",
    "seconds", "cpu_seconds", "bundle_bytes", "rung",
}  # fmt: skip
Write = Callable[..., Path]


def some(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def kinds(row: dict[str, Any]) -> list[str]:
    return [finding["kind"] for finding in row["findings"]]


def test_folder_to_answers(trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 16)
    built = trunkline("build", write("parts", folder, extra='gates: {accuracy: ">= 0.9"}'), "--json")
    assert built.status == 0, built.err
    row = built.row
    assert set(row) >= CONTRACT
    assert some(row, "status", "version", "alias", "images", "classes", "rung") == {
        "status": "passed", "version": 1, "alias": "champion", "images": 32, "classes": 2, "rung": "linear",
    }  # fmt: skip
    assert [(gate["name"], gate["verdict"]) for gate in row["gates"]] == [("accuracy", "passed")]
    assert set(row["seconds"]) == {"intake", "embed", "inspect", "fit", "gate", "pack", "report", "register"}
    assert Path(row["bundle"]).stat().st_size == row["bundle_bytes"]
    assert "<html" in Path(row["report"]).read_text()
    asked = trunkline("predict", "parts", folder / "a" / "001.png", folder / "b", "--json")
    assert asked.status == 0, asked.err
    assert [r["predictions"][0]["label"] for r in asked.rows] == ["a"] + ["b"] * 16
    assert {r["bundle"] for r in asked.rows} == {row["digest"]}
    measured = trunkline("evaluate", "parts@champion", folder, "--json")
    assert (measured.status, measured.row["metrics"]["accuracy"]) == (0, 1.0)


def test_same_thing_again_costs_nothing(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures, embedded: list[int]
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    scenario = write("parts", folder)
    first = trunkline("build", scenario, "--json").row
    again = trunkline("build", scenario, "--json").row
    assert embedded == [24]
    assert again == {**first, "status": "unchanged", "seconds": {}, "cpu_seconds": 0.0}


def test_only_new_images_are_embedded(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures, embedded: list[int]
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    scenario = write("parts", folder)
    trunkline("build", scenario)
    pictures.folder(folder, ("a", "b"), 17)
    row = trunkline("build", scenario, "--json").row
    assert embedded == [24, 10]
    assert some(row, "version", "images", "status") == {"version": 2, "images": 34, "status": "passed"}


def test_scenarios_share_what_was_embedded(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures, embedded: list[int]
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    one = write("one", folder)
    two = write("two", folder, extra="split: {seed: 5}")
    assert trunkline("build", one, two).status == 0
    three = write("three", folder, task="multilabel")
    assert trunkline("build", three).status == 0
    assert embedded == [24]


def test_names_and_places_do_not_change_the_model(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    moved = tmp_path / "elsewhere" / "other"
    shutil.copytree(folder, moved)
    for number, path in enumerate(sorted(moved.rglob("*.png"), reverse=True)):
        path.rename(path.with_name(f"renamed {number}.png"))
    monkeypatch.setenv("TRUNKLINE_RUNTIME", "onnxruntime")  # runtimes differ in the last bits
    first = trunkline("build", write("parts", folder), "--json").row
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path / "second-home"))
    second = trunkline("build", write("parts", moved), "--json").row
    assert first["digest"] == second["digest"]
    one, other = (Path(row["bundle"]).read_bytes() for row in (first, second))
    assert one != other  # each is signed with its own home's key
    keys = [tmp_path / "home" / "keys" / "ed25519.pem", tmp_path / "second-home" / "keys" / "ed25519.pem"]
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600, 0o600]


def test_a_failed_gate_is_said_and_kept(trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    built = trunkline("build", write("parts", folder, extra='gates: {bundle_kb: "<= 1"}'), "--json")
    assert built.status == 3
    assert some(built.row, "status", "alias") == {"status": "failed", "alias": ""}
    asked = trunkline("predict", "parts", folder, "--json")
    assert asked.status == 0
    assert "failed its gate (bundle_kb)" in asked.err
    refused = trunkline("models", "promote", "parts@1")
    assert refused.status == 3
    assert "cannot be champion" in refused.err
    unchanged = trunkline("build", tmp_path / "parts.yaml", "--json")
    assert (unchanged.status, unchanged.row["status"]) == (3, "unchanged")


@pytest.mark.parametrize(("later", "version", "status"), [(1.0, 2, 0), (1e6, 1, 3)])
def test_what_failed_on_a_busy_machine_is_measured_again(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch,
    later: float, version: int, status: int,
) -> None:  # fmt: skip
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    scenario = write("parts", folder, extra='gates: {latency_ms_p95: "<= 500"}')
    monkeypatch.setattr(latency, "whole_ms", lambda *_: [1e6] * 8)
    first = trunkline("build", scenario, "--json")
    assert (first.status, first.row["status"]) == (3, "failed")
    monkeypatch.setattr(latency, "whole_ms", lambda *_: [later] * 8)
    again = trunkline("build", scenario, "--json")
    assert (again.status, again.row["status"], again.row["version"]) == (
        status, ("failed" if status else "passed"), version,
    )  # fmt: skip
    shown = trunkline("models", "show", f"parts@{version}", "--json").row
    assert [(gate["name"], gate["value"]) for gate in shown["gates"]] == [("latency_ms_p95", later)]
    assert shown["report"] == again.row["report"]


def test_a_worse_model_does_not_replace_the_champion(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 24)
    scenario = write("parts", folder, extra="gates: {champion: no-worse}")
    assert trunkline("build", scenario, "--json").row["alias"] == "champion"
    for kind, label in enumerate(("b", "a")):  # much new data, with the labels exchanged
        for seed in range(100, 160):
            (folder / label / f"{seed}.png").write_bytes(pictures.encode(seed, kind=kind))
    worse = trunkline("build", scenario, "--json")
    assert worse.status == 3
    (gate,) = worse.row["gates"]
    assert some(gate, "name", "verdict") == {"name": "champion", "verdict": "failed"}
    assert gate["value"] < -0.5
    (model,) = trunkline("models", "ls", "--json").rows
    assert some(model, "champion", "latest") == {"champion": 1, "latest": 2}


def test_what_was_not_compared_waits_as_challenger(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    scenario = write("parts", folder)
    trunkline("build", scenario)
    pictures.folder(folder, ("a", "b"), 14)
    assert trunkline("build", scenario, "--json").row["alias"] == "challenger"
    assert trunkline("models", "promote", "parts@challenger", "--why", "looked at", "--who", "kim").status == 0
    (model,) = trunkline("models", "ls", "--json").rows
    assert some(model, "champion", "challenger") == {"champion": 2, "challenger": 2}
    assert trunkline("models", "rollback", "parts", "--why", "alarms", "--json").row["version"] == 1
    history = trunkline("models", "show", "parts", "--json").row["history"]
    assert [(e["action"], e["alias"], e["to"], e["why"]) for e in history] == [
        ("promote", "champion", 1, "the first; nothing was asked"),
        ("promote", "challenger", 2, "not compared with the champion"),
        ("promote", "champion", 2, "looked at"),
        ("rollback", "champion", 1, "alarms"),
    ]


def test_test_images_of_the_champion_are_never_learned_from(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    scenario = write("parts", folder, extra="gates: {champion: no-worse}")
    trunkline("build", scenario)
    pictures.folder(folder, ("a", "b"), 40)
    second = trunkline("build", scenario, "--json").row
    from trunkline.core.settings import load_settings
    from trunkline.platform.data.store import DataStore

    store = DataStore(load_settings())
    before, after = (store.load("parts", version) for version in (1, 2))
    assert {s.image for s in before.split("test")} <= {s.image for s in after.split("test")}
    assert "4 frozen test images" not in second["gates"][0]["note"] or len(before.split("test")) == 4


def test_good_images_alone_make_an_anomaly_model(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "good-only", ("good",), 24)
    built = trunkline("build", write("weld", folder, task="anomaly"), "--json")
    assert (built.status, built.row["rung"]) == (0, "memory-bank"), built.err
    (tmp_path / "strange.png").write_bytes(pictures.encode(1, kind=2))
    figures = built.row["metrics"]
    assert {name for name, value in figures.items() if value is None} == {
        "auroc", "average_precision", "recall", "balanced_accuracy",
    }  # fmt: skip
    said = trunkline("build", tmp_path / "weld.yaml").out
    assert "weld version 1: unchanged, measured, nothing asked" in said
    assert f"false_reject_rate {figures['false_reject_rate']:.4f}" in said
    assert "not measured: auroc, average_precision, balanced_accuracy, recall" in said
    assert trunkline("models", "ls", "--json").row["figure"] == f"false_reject_rate {figures['false_reject_rate']:.4f}"
    assert "  auroc: not measured" in trunkline("models", "show", "weld").out
    assert trunkline("models", "show", "weld", "--json").row["metrics"]["auroc"] is None
    page = Path(built.row["report"]).read_text()
    assert "how many of the flawed it catches was not measured" in page
    assert "imagefolder, detected" in page
    asked = trunkline("build", write("weld", folder, task="anomaly", extra='gates: {auroc: ">= 0.5"}'))
    assert (asked.status, "gate auroc >= 0.5: failed, not measured: no test image is faulty" in asked.out) == (3, True)
    good, strange = trunkline("predict", "weld", folder / "good" / "003.png", tmp_path / "strange.png", "--json").rows
    assert (good["accepted"], strange["accepted"]) == (["good"], ["anomaly"])
    assert good["anomaly_score"] < strange["anomaly_score"]


def test_the_newest_labels_of_frozen_images_count(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    from trunkline.core.settings import load_settings
    from trunkline.platform.data.store import DataStore

    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    scenario = write("parts", folder, extra="gates: {champion: no-worse}")
    trunkline("build", scenario)
    frozen = next(s for s in DataStore(load_settings()).load("parts").split("test") if s.labels == ("a",))
    shutil.move(folder / frozen.name, folder / "b" / "corrected.png")
    (gate,) = trunkline("build", scenario, "--json").row["gates"]
    assert gate["note"].endswith("1 of them was labelled otherwise then, and the newest labels count")
    assert "against 1.0000 of" not in gate["note"]  # the champion says a, as it was taught


def test_a_champion_is_not_judged_by_labels_that_were_renamed(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    gates = "gates: {champion: no-worse}"
    first = trunkline("build", write("parts", folder, extra=gates), "--json").row
    renamed = write("parts", folder, extra=f"{gates}\nlabels: {{rename: {{a: x, b: y}}}}")
    (gate,) = trunkline("build", renamed, "--json").row["gates"]
    known = f"the champion {first['digest'][:12]} knows none of the labels that its test images have now"
    assert (gate["verdict"], gate["note"]) == ("failed", f"not compared: {known}; were they renamed?")
    half = write("parts", folder, extra=f"{gates}\nlabels: {{rename: {{a: x}}}}")
    (gate,) = trunkline("build", half, "--json").row["gates"]
    assert gate["note"].endswith("whose labels it does not know")


def test_one_figure_of_cpu_stands_everywhere(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    from trunkline.platform.line.report import words

    row = trunkline("build", write("parts", pictures.folder(tmp_path / "parts", ("a", "b"), 8)), "--json").row
    shown = trunkline("models", "show", "parts", "--json").row
    cpu = row["cpu_seconds"]
    assert (row["metrics"]["cpu_seconds"], shown["metrics"]["cpu_seconds"]) == (cpu, pytest.approx(cpu))
    assert f"<dt>CPU time to make it</dt><dd>{words.seconds(cpu)}</dd>" in Path(row["report"]).read_text()


def test_lists_with_several_labels_make_a_multilabel_model(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    pictures.folder(tmp_path / "images", ("a", "b", "c"), 12)
    lines = ["path,label"]
    lines += [f"images/{label}/{n:03}.png,{label};{'even' if n % 2 else 'odd'}" for label in "abc" for n in range(12)]
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    built = trunkline("build", write("tags", tmp_path / "list.csv", task="multilabel"), "--json")
    assert (built.status, built.row["classes"]) == (0, 5), built.err
    first = trunkline("predict", "tags", tmp_path / "images" / "a" / "000.png", "--json").row
    assert "a" in first["accepted"]


def test_unreadable_files_are_listed_and_the_build_goes_on(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12, "JPEG")
    whole = (folder / "a" / "000.jpeg").read_bytes()
    (folder / "a" / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "b" / "text.jpg").write_text("no image\n")
    (folder / "b" / "nothing.png").write_bytes(b"")
    built = trunkline("build", write("parts", folder), "--json")
    assert built.status == 0, built.err
    (found,) = (f for f in built.row["findings"] if f["kind"] == "unreadable")
    assert sorted(found["names"]) == ["a/truncated.jpg", "b/nothing.png", "b/text.jpg"]
    assert built.row["images"] == 24
    assert "truncated.jpg" in Path(built.row["report"]).read_text()


def test_copies_and_wrong_labels_are_found(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 30)
    shutil.copy(folder / "a" / "000.png", folder / "a" / "copy.png")
    shutil.copy(folder / "a" / "001.png", folder / "b" / "two labels.png")
    (folder / "b" / "wrong.png").write_bytes(pictures.encode(77, kind=0))
    row = trunkline("build", write("parts", folder), "--json").row
    found = [(finding["kind"], sorted(finding["names"])) for finding in row["findings"]]
    assert ("duplicate", ["a/copy.png"]) in found
    assert ("same-picture-two-labels", ["a/001.png", "b/two labels.png"]) in found
    assert ("label-likely-wrong", ["b/wrong.png"]) in found
    shown = trunkline("data", "show", "parts").out.splitlines()
    assert {
        "    a/copy.png: copy of a/000.png",
        "    a/001.png: labelled a",
        "    b/wrong.png: labelled b, the model says a",
        f"the pictures are in the report of a build: {row['report']}",
    } <= set(shown)


def test_a_split_that_the_data_brings_is_kept(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    pictures.folder(tmp_path / "parts" / "train", ("a", "b"), 12)
    for kind, label in enumerate("ab"):
        (tmp_path / "parts" / "test" / label).mkdir(parents=True)
        for seed in range(50, 55):
            (tmp_path / "parts" / "test" / label / f"{seed}.png").write_bytes(pictures.encode(seed, kind=kind))
    shutil.copy(tmp_path / "parts" / "train" / "a" / "000.png", tmp_path / "parts" / "test" / "a" / "leak.png")
    row = trunkline("build", write("parts", tmp_path / "parts"), "--json").row
    assert some(row["metrics"], "train_images", "test_images") == {"train_images": 24, "test_images": 10}
    assert "duplicate" in kinds(row)  # the leaked copy is learned from and not tested


def test_steel_classes_on_the_default_trunk(trunkline: Trunkline, neu_det: Path, tmp_path: Path) -> None:
    for path in sorted((neu_det / "images").glob("*.jpg"))[::9]:
        place = tmp_path / "steel" / path.stem.rpartition("_")[0]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place / path.name)
    built = trunkline("build", tmp_path / "steel", "--json")
    assert built.status == 0, built.err
    assert some(built.row, "task", "images", "classes") == {"task": "classify", "images": 200, "classes": 6}
    assert built.row["metrics"]["accuracy"] >= 0.95
    assert built.row["bundle_bytes"] < 64 * 1024
