"""The commands on models: one JSON object a result, and exit statuses that scripts can rely on."""

from __future__ import annotations

import errno
import fcntl
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner

from trunkline.cli import models
from trunkline.cli.app import app, run
from trunkline.core import files
from trunkline.core.digest import canonical_json, digest_bytes
from trunkline.core.settings import Settings
from trunkline.core.types.dataset import Dataset, Sample
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.observation import Observation, Prediction
from trunkline.platform.data.store import DataStore, ImageStore
from trunkline.platform.registry import bundle as bundles
from trunkline.platform.registry.keys import signing_key
from trunkline.platform.registry.registry import Registry


class Result(NamedTuple):
    """What a command gave."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture
def trunkline(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `trunkline ARGS` in this process, as the installed command does."""
    monkeypatch.setenv("TRUNKLINE_RUNTIME", "fake")
    monkeypatch.setattr(models, "_LONG", 60.0)  # however busy this machine is

    def call(*args: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["trunkline", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            run()
        return Result(int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def at(stocked: Path) -> Registry:
    return Registry(Settings(home=stocked))


def test_ls(trunkline: Run, at: Registry) -> None:
    done = trunkline("models", "ls", "--json")
    assert (done.status, done.rows, done.err) == (0, at.ls(), "")
    table = trunkline("models", "ls").out.splitlines()
    assert [line.split()[:6] for line in table] == [
        ["name", "task", "versions", "champion", "challenger", "status"],
        ["steel", "classify", "4", "2", "3", "passed"],
        ["铜", "copper", "classify", "1", "-", "-"],
    ]


def test_a_model_of_which_nothing_was_asked_did_not_pass(trunkline: Run, at: Registry, make: SimpleNamespace) -> None:
    packed = bundles.candidate(
        make.head(7), name="bare", trunk=make.card, scenario=make.scenario, dataset=make.dataset
    )  # fmt: skip
    report = replace(make.report(bundles.open_candidate(packed).digest()), checks=())
    key = signing_key(at.home)
    sealed = bundles.seal(packed, key=key, report=report, test_images=4, preview=make.png(), report_json={})
    at.register(sealed, metrics={}, params={})
    rows = {row["name"]: row["status"] for row in trunkline("models", "ls", "--json").rows}
    assert rows == {"bare": "measured", "steel": "passed", "铜 copper": "passed"}
    assert "measured, nothing asked" in trunkline("models", "ls").out.splitlines()[1]
    assert "status: measured, nothing asked" in trunkline("models", "show", "bare").out.splitlines()


@pytest.mark.parametrize(("words", "told"), [([], "opening MLflow, which takes a few seconds ...\n"), (["--json"], "")])
def test_a_long_wait_is_told_of(
    trunkline: Run, at: Registry, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    real = Registry.promote

    def slow(self: Registry, *args: Any, **options: Any) -> Any:
        time.sleep(0.2)
        return real(self, *args, **options)

    monkeypatch.setattr(models, "_LONG", 0.01)
    monkeypatch.setattr(Registry, "promote", slow)
    assert trunkline("models", "promote", "steel@3", *words).err == told


def test_ls_of_an_empty_home(trunkline: Run) -> None:
    assert trunkline("models", "ls", "--json") == (0, "", "")
    assert trunkline("models", "ls") == (0, "no model yet; `trunkline build FOLDER` makes one\n", "")


def test_ls_through_typers_runner(at: Registry) -> None:
    done = CliRunner().invoke(app, ["models", "ls", "--json", "--home", str(at.home)])
    assert (done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]) == (0, at.ls())


def test_show(trunkline: Run, at: Registry) -> None:
    done = trunkline("models", "show", "steel@champion", "--json")
    assert (done.status, done.rows, done.err) == (0, [at.show("steel@2")], "")
    lines = trunkline("models", "show", "steel").out.splitlines()
    shown = {line.strip() for line in lines}
    assert {"name: steel", "version: 2", "status: passed", "metrics:", "accuracy: 0.9500", "aliases: champion"} <= shown
    assert "labels: crack, 划痕" in shown


def test_compare(trunkline: Run, at: Registry) -> None:
    done = trunkline("models", "compare", "steel@1", "steel@champion", "--json")
    assert (done.status, done.rows, done.err) == (0, [at.compare("steel@1", "steel@2")], "")
    table = trunkline("models", "compare", "steel@1", at.resolve("steel@4")).out.splitlines()
    assert [line.split()[-3:] for line in table[1:]] == [
        ["0.9100", "0.8000", "-0.1100"],
        ["latency_ms_p95", "3.5000", "-"],
        ["recall_min", "-", "-"],
    ]


def test_compare_says_when_the_test_images_differ(
    trunkline: Run, at: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = at.compare("steel@1", "steel@2")
    monkeypatch.setattr(Registry, "compare", lambda *_: {**same, "same_test": False})
    done = trunkline("models", "compare", "steel@1", "steel@2")
    assert "not measured on the same test images" in done.out


def test_promoting_the_champion_says_that_nothing_was_written(trunkline: Run, at: Registry) -> None:
    done = trunkline("models", "promote", "steel@2", "--why", "again")
    assert (done.status, done.out) == (0, "steel: champion was already, so nothing was written: version 2\n")
    assert "again" not in [entry.why for entry in at.audit.entries("steel")]


def test_promote_and_rollback(trunkline: Run, at: Registry) -> None:
    target, old = at.find("steel@3"), at.find("steel@2")
    row = {"name": "steel", "alias": "champion"}
    done = trunkline("models", "promote", "steel@3", "--why", "better", "--who", "ann", "--json")
    expected = {**row, "version": 3, "digest": target.digest, "bundle": str(target.path), "previous": 2}
    assert (done.status, done.rows, done.err) == (0, [expected], "")
    done = trunkline("models", "rollback", "steel", "--why", "alarms", "--who", "ann", "--json")
    expected = {**row, "version": 2, "digest": old.digest, "bundle": str(old.path), "previous": 3}
    assert (done.status, done.rows, done.err) == (0, [expected], "")
    assert [(e.action, e.who, e.why) for e in at.audit.entries("steel")[3:]] == [
        ("promote", "ann", "better"),
        ("rollback", "ann", "alarms"),
    ]
    assert trunkline("models", "promote", "steel@3") == (0, "steel: champion is now version 3\n", "")
    assert trunkline("models", "rollback", "steel") == (0, "steel: champion is again version 2\n", "")


def test_a_failed_model_needs_an_override(trunkline: Run, at: Registry) -> None:
    refused = trunkline("models", "promote", "steel@4", "--json")
    assert (refused.status, refused.out) == (3, "")
    assert refused.err == (
        "trunkline: steel@4: a model whose gate failed cannot be champion\n"
        "  fix: trunkline models promote steel@4 --override --why REASON (it is signed and kept)\n"
    )
    done = trunkline("models", "promote", "steel@4", "--override", "--why", "tonight", "--json")
    assert (done.status, done.rows[0]["version"], at.find("steel").status) == (0, 5, "overridden")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("show", "stel"), "no model named 'stel'\n  fix: did you mean 'steel'?"),
        (("show", "steel@9"), "no model version named 'steel@9'"),
        (("show", "nothing.tlb"), "nothing.tlb: no such bundle file"),
        (("compare", "steel", "x"), "no model named 'x'"),
        (("promote", "steel@3", "--alias", "best"), "no alias named 'best'"),
        (("promote", "steel@4", "--override"), "expected a name and a reason"),
        (("promote", "steel@3", "--why", "x" * 2001), "--why: expected at most 2000 characters, got 2001"),
        (("rollback", "铜 copper"), "no earlier champion named '铜 copper'"),
        (("rollback", "stel"), "no model named 'stel'"),
    ],
)
def test_wrong_input_has_status_2_and_nothing_on_standard_output(
    trunkline: Run, at: Registry, args: tuple[str, ...], said: str
) -> None:
    done = trunkline("models", *args, "--json")
    assert (done.status, done.out, said in done.err, "Traceback" in done.err) == (2, "", True, False)
    assert at.find("steel").version == 2


@pytest.fixture
def asked(make: SimpleNamespace, ready: Path, tmp_path: Path, pictures: Any) -> Path:
    """A home with the models a and b on two trunks; a folder with two pictures and one that cannot be read."""
    labels = ("crack [1]", "good")
    for seed, name in enumerate("ab"):
        card = replace(make.card, weights=str(seed) * 64)
        folder = ready / "trunks" / card.digest
        folder.mkdir(parents=True)
        (folder / "trunk.onnx").write_bytes(b"graph")
        files = {"trunk.onnx": digest_bytes(b"graph")}
        (folder / "card.json").write_bytes(canonical_json({**card.to_json(), "files": files}))
        weight = np.zeros((12, 2), np.float32)
        weight[:, 0] = 9 - 18 * seed
        head = TrainedHead(
            task="classify", labels=labels, trunk=card.digest,
            weights={"weight": weight, "bias": np.zeros(2, np.float32)}, config={"channels": []},
            thresholds=dict.fromkeys(labels, 0.5), unsure=dict.fromkeys(labels, (0.0, 0.5)),
            calibration={"temperature": 1.0},
        )  # fmt: skip
        packed = bundles.candidate(head, name=name, trunk=card, scenario=make.scenario, dataset=make.dataset)
        report = make.report(bundles.open_candidate(packed).digest())
        given = {"test_images": 4, "preview": make.png(), "report_json": {}}
        path = tmp_path / f"{name}.tlb"
        path.write_bytes(bundles.seal(packed, key=signing_key(ready), report=report, **given))
        Registry(Settings(home=ready)).register(path, metrics={}, params={})
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "1.png").write_bytes(pictures.encode(1))
    (parts / "2.png").write_bytes(b"junk")
    (parts / "3 [x].png").write_bytes(pictures.encode(3))
    return parts


def test_predict_answers_image_by_image(trunkline: Run, asked: Path) -> None:
    done = trunkline("predict", "*", asked, "--json")
    assert [(Path(row["source"]).name, row["model"], row["accepted"]) for row in done.rows] == [
        ("1.png", "a", ["crack [1]"]),
        ("1.png", "b", ["good"]),
        ("3 [x].png", "a", ["crack [1]"]),
        ("3 [x].png", "b", ["good"]),
    ]
    assert set(done.rows[0]) == {
        "model", "source", "frame", "time", "predictions", "accepted", "unsure", "bundle",
    }  # fmt: skip
    assert (done.status, done.err.count("2.png")) == (2, 1), "an image that cannot be read is told once"


def test_predict_for_people(trunkline: Run, asked: Path) -> None:
    done = trunkline("predict", "*", asked / "3 [x].png")
    scores = [row["predictions"][0]["score"] for row in trunkline("predict", "*", asked / "3 [x].png", "--json").rows]
    assert done == (
        0,
        f"{asked}/3 [x].png: a: crack [1] {scores[0]:.3f}\n{asked}/3 [x].png: b: good {scores[1]:.3f}\n",
        "",
    )
    assert trunkline("predict", "a", asked / "3 [x].png").out == f"{asked}/3 [x].png: crack [1] {scores[0]:.3f}\n"


@pytest.mark.parametrize(
    ("accepted", "unsure", "line"),
    [
        (("a",), False, "x.png: a 0.900"),
        (("a", "b"), False, "x.png: a 0.900, b 0.700"),
        (("a",), True, "x.png: a 0.900  (unsure)"),
        ((), True, "x.png: a 0.900, b 0.700, c 0.200  (unsure)"),
        ((), False, "x.png: no label (nearest a 0.900, b 0.700, c 0.200)"),
    ],
)
def test_a_label_is_said_only_where_the_model_stands_for_it(accepted: tuple[str, ...], unsure: bool, line: str) -> None:
    from trunkline.cli.predict import _line

    scores = (("a", 0.9), ("b", 0.7), ("c", 0.2), ("d", 0.1))
    predictions = tuple(Prediction(label, score) for label, score in scores)
    assert _line(Observation("x.png", 0, 0.0, predictions, accepted, unsure, "b" * 64), "") == line


def test_what_only_looks_works_on_a_home_that_can_only_be_read(
    trunkline: Run, asked: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = (asked / "1.png").read_bytes()
    ImageStore(home).add([(digest_bytes(data), data)])
    DataStore(Settings(home=home)).save(Dataset("parts", 0, (Sample(digest_bytes(data), "1.png", ("a",)),)))

    def refused(*_: Any, **options: Any) -> Any:
        raise OSError(errno.EROFS, "Read-only file system")

    for owner, name in ((tempfile, "TemporaryFile"), (files, "write_atomic"), (fcntl, "flock")):
        monkeypatch.setattr(owner, name, refused)
    words = [("models", "ls"), ("models", "show", "a"), ("models", "compare", "a", "b"), ("data", "ls")]
    words += [("trunks", "ls"), ("data", "export", "parts", "--out", str(tmp_path / "out"))]
    done = [trunkline(*line) for line in [*words, ("predict", "a", asked / "1.png")]]
    assert [(one.status, one.err) for one in done] == [(0, "")] * 7
    refusal = trunkline("models", "promote", "a@1")
    assert (refusal.status, "this disk cannot be written, only read" in refusal.err) == (2, True)


@pytest.mark.parametrize("words", [("predict",), ("evaluate", "--split", "all")])
def test_a_task_that_there_is_not_is_told(
    words: tuple[str, ...], trunkline: Run, asked: Path, sealed: bytes, reseal: Callable[..., bytes], tmp_path: Path
) -> None:
    found = bundles.read(sealed)
    row = found.manifest.model_dump(mode="json") | {"task": "nope"}
    row["lineage"]["head"] = replace(found.head, task="nope").digest()
    path = tmp_path / "nope.tlb"
    path.write_bytes(reseal({"bundle.json": canonical_json(row)}))
    done = trunkline(words[0], path, asked, *words[1:])
    assert (done.status, "no head named 'nope'" in done.err) == (2, True), done.err


def test_ls_says_that_the_database_is_gone(trunkline: Run, at: Registry) -> None:
    (at.home / "mlflow.db").unlink()
    done = trunkline("models", "ls", "--json")
    assert (done.status, done.out) == (0, "")
    assert "this file is gone, and with it all versions; by the audit log these were champions: steel@2" in done.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("a", "nothing"), "nothing: expected an image or a folder of images"),
        (("c", "parts"), "no model named 'c'"),
        (("c*", "parts"), r"no model named 'c*'"),
        (("c.tlb", "parts"), "c.tlb: no such bundle file"),
    ],
)
def test_predict_of_what_is_not_there(
    trunkline: Run, asked: Path, args: tuple[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(asked.parent)
    done = trunkline("predict", *args, "--json")
    assert (done.status, done.out, said in done.err) == (2, "", True)
