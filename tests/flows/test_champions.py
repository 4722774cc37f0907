"""A champion that is damaged, lost or replaced while its successor is built."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Pictures
from tests.flows.conftest import Trunkline
from trunkline.core.errors import BundleError
from trunkline.core.settings import load_settings
from trunkline.platform.line import runner
from trunkline.platform.line.workshop import Workshop
from trunkline.platform.registry.registry import Registry

NO_WORSE = "gates: {champion: no-worse}"
Write = Callable[..., Path]


@pytest.fixture
def built(trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures) -> Path:
    """A scenario with the champion parts@1, and two images a class more than it was built from."""
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    scenario = write("parts", folder, extra=NO_WORSE)
    assert trunkline("build", scenario).status == 0
    pictures.folder(folder, ("a", "b"), 14)
    return scenario


def kept(home: Path) -> Path:
    """The file of the champion's bundle."""
    champion = Registry(load_settings(home)).champion("parts")
    assert champion is not None
    return champion.path


def test_a_damaged_bundle_is_mended_from_mlflows_copy(built: Path, trunkline: Trunkline, home: Path) -> None:
    champion = kept(home)
    whole = champion.read_bytes()
    champion.write_bytes(whole[:-1])
    done = trunkline("build", built, "--json")
    assert (done.status, done.row["alias"], [gate["verdict"] for gate in done.row["gates"]]) == (
        0,
        "champion",
        ["passed"],
    )
    assert champion.read_bytes() == whole


def test_a_lost_bundle_fails_its_own_check_alone(built: Path, trunkline: Trunkline, home: Path, write: Write) -> None:
    champion = kept(home)
    champion.unlink()
    shutil.rmtree(home / "mlartifacts")
    done = trunkline("build", built, "--json")
    (gate,) = done.row["gates"]
    assert (done.status, gate["verdict"]) == (3, "failed")
    assert gate["note"] == f"not compared: the bundle of the champion {champion.stem[:12]} is damaged or lost"
    assert (
        "parts: the champion parts@1 cannot be used: parts@1: its file is gone, and MLflow cannot give it" in done.err
    )
    without = write("parts", built.parent / "parts")
    assert (trunkline("build", without, "--json").row["alias"], kept(home)) == ("challenger", champion)


def test_a_champion_whose_trunk_is_lost_fails_the_check_alone(
    built: Path, trunkline: Trunkline, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> Any:
        raise BundleError("the trunk is not on this machine")

    monkeypatch.setattr(Workshop, "trunk_of", lost)
    done = trunkline("build", built, "--json")
    (gate,) = done.row["gates"]
    assert (done.status, gate["verdict"]) == (3, "failed")
    assert gate["note"] == (
        f"not compared: the trunk of the champion {kept(home).stem[:12]} is not on this machine, or does not go with it"
    )


def test_a_promotion_by_a_person_meanwhile_stands(
    built: Path, trunkline: Trunkline, write: Write, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = built.parent / "parts"
    assert trunkline("build", write("parts", folder), "--json").row["alias"] == "challenger"
    pictures.folder(folder, ("a", "b"), 16)
    real = runner.finish

    def finish(job: Any, registry: Registry, who: str) -> Any:
        registry.promote("parts@2", who="kim", why="looked at")
        return real(job, registry, who)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "finish", finish)
        done = trunkline("build", write("parts", folder, extra=NO_WORSE), "--json")
    assert (done.status, done.row["version"], done.row["alias"]) == (0, 3, "challenger")
    assert "parts: the champion was changed while version 3 was built; version 3 waits as the challenger" in done.err
    (model,) = trunkline("models", "ls", "--json").rows
    assert (model["champion"], model["challenger"]) == (2, 3)


@pytest.mark.parametrize("asked", [NO_WORSE, 'gates: {champion: no-worse, bundle_kb: "<= 900"}'])
def test_a_champion_that_a_person_took_off_comes_back_as_challenger(
    built: Path, trunkline: Trunkline, write: Write, asked: str
) -> None:
    """The same bundle, or another one of the same head."""
    assert trunkline("build", built, "--json").row["alias"] == "champion"
    assert trunkline("models", "rollback", "parts", "--why", "alarms at night").status == 0
    os.utime(built.parent / "parts" / "a" / "000.png", ns=(1, 1))
    done = trunkline("build", write("parts", built.parent / "parts", extra=asked), "--json")
    assert (done.status, done.row["alias"]) == (0, "challenger")
    said = "version 2, which has the same head, was taken off as champion"
    assert f"parts: {said}; version {done.row['version']} waits as the challenger" in done.err
    shown = trunkline("models", "show", "parts", "--json").row
    assert (shown["version"], shown["history"][-1]["why"]) == (1, f"passed its gate; {said}")


def test_an_unchanged_model_has_the_alias_that_it_has_now(built: Path, trunkline: Trunkline, write: Write) -> None:
    scenario = write("parts", built.parent / "parts")
    assert trunkline("build", scenario, "--json").row["alias"] == "challenger"
    trunkline("models", "promote", "parts@2")
    again = trunkline("build", scenario, "--json").row
    assert (again["status"], again["alias"]) == ("unchanged", "champion")


def test_the_champions_number_does_not_change_the_digest(
    built: Path, trunkline: Trunkline, write: Write, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the second home the same champion is version 2."""
    monkeypatch.setenv("TRUNKLINE_RUNTIME", "onnxruntime")  # runtimes differ in the last bits
    rows = []
    for number, spoilt in enumerate([False, True]):
        monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path / f"home-{number}"))
        folder = pictures.folder(tmp_path / f"data-{number}" / "parts", ("a", "b"), 12)
        if spoilt:
            assert trunkline("build", write("parts", folder, extra='gates: {bundle_kb: "<= 1"}')).status == 3
        first = trunkline("build", write("parts", folder, extra=NO_WORSE), "--json").row
        pictures.folder(folder, ("a", "b"), 14)
        rows.append((first, trunkline("build", write("parts", folder, extra=NO_WORSE), "--json").row))
    (first, second), (other_first, other_second) = rows
    assert (first["version"], other_first["version"]) == (1, 2)
    assert (second["gates"][0]["verdict"], second["digest"]) == ("passed", other_second["digest"])
