"""Models of a home: registered once, promoted, rolled back, found by what people write."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trunkline.core.errors import (
    BundleError,
    ConfigError,
    GateFailedError,
    NotFoundError,
    StorageError,
)
from trunkline.core.settings import Settings
from trunkline.platform.registry import bundle as bundles
from trunkline.platform.registry.registry import Registry
from trunkline.platform.registry.versions import ModelVersion

WriteBundle = Callable[..., Path]


def registry(home: Path, **options: Any) -> Registry:
    return Registry(Settings(home=home, **options))


def register(at: Registry, path: Path, **options: Any) -> ModelVersion:
    return at.register(path, metrics={"accuracy": 0.9}, params={"images": 40}, **options)


def aliases(at: Registry, name: str = "steel") -> dict[int, tuple[str, ...]]:
    """The versions that an alias names."""
    found = [at.find(f"{name}@{row}") for row in range(1, at_most(at, name) + 1)]
    return {version.version: version.aliases for version in found if version.aliases}


def at_most(at: Registry, name: str) -> int:
    return next(int(row["latest"]) for row in at.ls() if row["name"] == name)


def moves(at: Registry, name: str = "steel") -> list[tuple[str, str, int | None, int | None, str, str]]:
    return [(e.action, e.alias, e.old, e.new, e.who, e.why) for e in at.audit.entries(name)]


STOCK_MOVES = [
    ("promote", "champion", None, 1, "ann", "first"),
    ("promote", "champion", 1, 2, "ann", "better"),
    ("promote", "challenger", None, 3, "ann", "to compare"),
]


def test_a_bundle_is_one_version_however_often_it_is_registered(ready: Path, write_bundle: WriteBundle) -> None:
    at, path = registry(ready), write_bundle()
    digest = bundles.read(path).digest
    first = register(at, path, promote="champion", who="ann", why="first")
    kept = ready / "bundles" / f"{digest}.tlb"
    assert first == ModelVersion(
        name="steel", version=1, digest=digest, path=kept, task="classify", status="passed", figure="accuracy 0.9500",
        bundle_bytes=path.stat().st_size, run=first.run, created=first.created, aliases=("champion",),
    )  # fmt: skip
    assert kept.read_bytes() == path.read_bytes()
    assert [register(at, kept, promote="champion"), register(registry(ready), path)] == [first, first]
    assert moves(at) == [("promote", "champion", None, 1, "ann", "first")]
    assert len(at.tracking.client().search_runs([at.tracking._experiment])) == 1


def test_another_bundle_is_another_version(ready: Path, write_bundle: WriteBundle) -> None:
    at = registry(ready)
    found = [register(at, write_bundle(seed=seed)) for seed in (1, 2)] + [register(at, write_bundle(name="铜 it's"))]
    assert [version.ref for version in found] == ["steel@1", "steel@2", "铜 it's@1"]
    assert [at.find(version.ref) for version in found] == found


def test_the_same_bundle_from_another_home_is_the_same_version(
    stocked: Path, make: SimpleNamespace, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs.tlb"
    theirs.write_bytes(make.bundle(tmp_path / "other", name="铜 copper", seed=5, accuracy=0.9))
    assert theirs.read_bytes() != registry(stocked).resolve("铜 copper").read_bytes()
    assert register(registry(stocked), theirs).ref == "铜 copper@1"


def test_a_damaged_copy_in_the_home_is_mended(stocked: Path, tmp_path: Path) -> None:
    at = registry(stocked)
    kept = at.resolve("steel@1")
    whole = tmp_path / "whole.tlb"
    shutil.copyfile(kept, whole)
    shutil.rmtree(stocked / "mlartifacts")
    kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"steel@1: its file is damaged \(.*truncated.*\), and MLflow cannot give it"):
        at.resolve("steel@1")
    register(at, whole)
    assert at.resolve("steel@1").read_bytes() == whole.read_bytes()


def test_what_is_no_bundle_is_not_registered(ready: Path, write_bundle: WriteBundle) -> None:
    at, path = registry(ready), write_bundle()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleError) as caught:
        register(at, path)
    assert (caught.value.where, at.ls(), (ready / "bundles").exists()) == (str(path), [], False)


def test_a_failed_model_is_kept_and_cannot_be_champion(
    ready: Path, make: SimpleNamespace, write_bundle: WriteBundle
) -> None:
    at, path = registry(ready), write_bundle(make.check("failed", value=0.8), name="a b")
    with pytest.raises(GateFailedError) as caught:
        register(at, path, promote="champion")
    assert (caught.value.exit_status, at.ls()) == (3, [])
    assert caught.value.fix == "trunkline models promote 'a b' --override --why REASON (it is signed and kept)"
    assert register(at, path).status == "failed"
    with pytest.raises(GateFailedError):
        at.promote("a b@1", why="why not")
    assert at.promote("a b@1", alias="challenger")["version"] == 1
    assert aliases(at, "a b") == {1: ("challenger",)}


def test_a_tag_that_was_edited_does_not_make_a_failed_model_pass(stocked: Path) -> None:
    at = registry(stocked)
    at.tracking.client().set_model_version_tag("steel", "4", "trunkline.status", "passed")
    assert at.find("steel@4").status == "passed"
    with pytest.raises(GateFailedError):
        at.promote("steel@4")
    assert aliases(at) == {2: ("champion",), 3: ("challenger",)}


def test_ls(stocked: Path) -> None:
    at = registry(stocked)
    steel, copper = at.find("steel"), at.find("铜 copper")
    assert at.ls() == [
        {
            "name": "steel", "task": "classify", "versions": 4, "latest": 4, "champion": 2, "challenger": 3,
            "status": "passed", "figure": "accuracy 0.9500", "bundle_bytes": steel.bundle_bytes,
            "digest": steel.digest,
        },
        {
            "name": "铜 copper", "task": "classify", "versions": 1, "latest": 1, "champion": None, "challenger": None,
            "status": "passed", "figure": "accuracy 0.9000", "bundle_bytes": copper.bundle_bytes,
            "digest": copper.digest,
        },
    ]  # fmt: skip


def test_a_home_without_models(home: Path) -> None:
    at = registry(home)
    assert (at.ls(), at.champion("steel")) == ([], None)
    with pytest.raises(NotFoundError, match="there is no model yet"):
        at.find("steel")
    assert not home.exists(), "looking up wrote something"


def test_show(stocked: Path) -> None:
    at = registry(stocked)
    version, shown = at.find("steel@2"), at.show("steel@champion")
    bundle = bundles.read(version.path)
    history = [{key: row[key] for key in ("action", "alias", "from", "to", "who", "why")} for row in shown["history"]]
    assert [tuple(row.values()) for row in history] == STOCK_MOVES
    expected = {
        "name": "steel", "version": 2, "aliases": ["champion"], "created": version.created, "mlflow_run": version.run,
        "task": "classify", "status": "passed", "labels": ["crack", "划痕"], "digest": version.digest,
        "bundle": str(version.path), "bundle_bytes": version.bundle_bytes, "signer": bundle.signer, "trusted": True,
        "metrics": {"accuracy": 0.95, "latency_ms_p95": 3.5, "recall_min": None}, "override": None, "warnings": [],
        "data_licence": "CC0-1.0",
    }  # fmt: skip
    assert {key: shown[key] for key in expected} == expected
    assert (shown["test"], shown["gates"][0]["name"], shown["trunk"]["name"]) == (
        {"dataset": bundle.manifest.lineage.dataset, "images": 40}, "accuracy", "test-trunk",
    )  # fmt: skip
    json.dumps(shown, allow_nan=False)


def test_show_a_file_that_is_not_registered(home: Path, write_bundle: WriteBundle) -> None:
    shown = registry(home).show(str(write_bundle()))
    assert (shown["name"], shown["metrics"], shown["history"], "version" in shown) == (
        "steel", {"accuracy": 0.95, "recall_min": None}, [], False,
    )  # fmt: skip


def test_compare(stocked: Path) -> None:
    at = registry(stocked)
    assert at.compare("steel@1", "steel@champion") == {
        "first": "steel@1", "second": "steel@2",
        "digests": [at.find("steel@1").digest, at.find("steel@2").digest],
        "status": ["passed", "passed"], "same_test": True, "same_trunk": True,
        "metrics": {"accuracy": [0.91, 0.95], "latency_ms_p95": [3.5, 3.5]},
    }  # fmt: skip
    file = str(at.resolve("steel@4"))
    other = at.compare("steel@1", file)
    assert (other["second"], other["status"]) == (file, ["passed", "failed"])
    assert other["metrics"] == {"accuracy": [0.91, 0.8], "latency_ms_p95": [3.5, None], "recall_min": [None, None]}


def test_promote(stocked: Path) -> None:
    at = registry(stocked)
    moved = at.promote("steel@challenger", who="bob", why="比较过")
    target = at.find("steel@3")
    assert moved == {
        "name": "steel", "version": 3, "alias": "champion", "digest": target.digest, "bundle": str(target.path),
        "previous": 2,
    }  # fmt: skip
    assert aliases(at) == {3: ("challenger", "champion")}
    assert moves(at) == [*STOCK_MOVES, ("promote", "champion", 2, 3, "bob", "比较过")]
    assert at.promote("steel@3")["previous"] == 3
    assert len(moves(at)) == 4, "nothing moved, so nothing is written down"


@pytest.mark.parametrize("override", [False, True])
def test_an_alias_that_is_not_known_is_refused(stocked: Path, override: bool) -> None:
    at = registry(stocked)
    with pytest.raises(NotFoundError, match="no alias named 'champoin'"):
        at.promote("steel@4", alias="champoin", why="x", override=override)
    assert moves(at) == STOCK_MOVES


def test_rollback_goes_back_one_champion_each_time(stocked: Path) -> None:
    at = registry(stocked)
    at.promote("steel@3", who="bob")
    assert [at.rollback("steel", who="bob", why="alarms")["version"] for _ in range(2)] == [2, 1]
    assert aliases(at) == {1: ("champion",), 3: ("challenger",)}
    assert moves(at)[3:] == [
        ("promote", "champion", 2, 3, "bob", ""),
        ("rollback", "champion", 3, 2, "bob", "alarms"),
        ("rollback", "champion", 2, 1, "bob", "alarms"),
    ]
    with pytest.raises(NotFoundError, match="no earlier champion named 'steel'"):
        at.rollback("steel")
    assert at.audit.verify() == []


def test_rollback_passes_over_deleted_and_failed_versions(stocked: Path) -> None:
    at = registry(stocked)
    client = at.tracking.client()
    client.set_registered_model_alias("steel", "champion", "4")  # by hand, past the gate
    at.promote("steel@3")
    client.delete_model_version("steel", "2")
    assert at.rollback("steel")["version"] == 1


@pytest.mark.parametrize("name", ["stel", "铜 copper"])
def test_rollback_where_there_is_nothing_to_go_back_to(stocked: Path, name: str) -> None:
    with pytest.raises(NotFoundError):
        registry(stocked).rollback(name)


def test_a_model_that_was_deleted_and_made_anew_has_no_past(stocked: Path) -> None:
    at = registry(stocked)
    files = [at.resolve(f"steel@{number}") for number in (3, 1)]
    at.tracking.client().delete_registered_model("steel")
    found = [register(at, path, promote="champion").version for path in files]
    assert (found, at.rollback("steel")["version"]) == ([1, 2], 1)
    with pytest.raises(NotFoundError):
        at.rollback("steel")


def test_override(stocked: Path) -> None:
    at = registry(stocked)
    before = at.find("steel@4")
    moved = at.promote("steel@4", who="bob", why="needed tonight", override=True)
    found = at.find("steel@5")
    bundle = bundles.read(found.path)
    assert (moved["version"], moved["previous"], moved["digest"]) == (5, 2, found.digest)
    assert (found.status, found.figure, found.aliases) == ("overridden", "accuracy 0.8000", ("champion",))
    assert bundle.manifest.override is not None
    assert bundle.manifest.override.model_dump() == {"who": "bob", "why": "needed tonight", "bundle": before.digest}
    assert moves(at)[3:] == [("override", "champion", 2, 5, "bob", "needed tonight")]
    assert at.show("steel@5")["metrics"] == at.show("steel@4")["metrics"]
    assert at.tracking.params(found.run) == {"images": "40", "override_of": "steel@4"}
    assert at.promote("steel@4", who="bob", why="needed tonight", override=True)["version"] == 5


def test_an_override_without_a_reason_is_refused(stocked: Path) -> None:
    at = registry(stocked)
    with pytest.raises(BundleError, match="expected a name and a reason"):
        at.promote("steel@4", who="bob", why=" ", override=True)
    assert (at_most(at, "steel"), moves(at)) == (4, STOCK_MOVES)


def test_a_model_that_passed_needs_no_override(stocked: Path) -> None:
    at = registry(stocked)
    assert at.promote("steel@3", who="bob", override=True)["version"] == 3
    assert moves(at)[3:] == [("promote", "champion", 2, 3, "bob", "")]


@pytest.mark.parametrize("words", [{"who": "x" * 2001}, {"why": "x" * 2001}, {"why": "\udcff"}])
def test_words_that_cannot_be_kept_are_refused_first(
    stocked: Path, write_bundle: WriteBundle, words: dict[str, str]
) -> None:
    at = registry(stocked)
    for call in (
        lambda: register(at, write_bundle(name="zinc"), promote="champion", **words),
        lambda: at.promote("steel@3", **words),
        lambda: at.rollback("steel", **words),
    ):
        with pytest.raises(ConfigError, match=f"--{next(iter(words))}"):
            call()
    assert ([row["name"] for row in at.ls()], moves(at)) == (["steel", "铜 copper"], STOCK_MOVES)


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("steel", "steel@2"),
        ("steel@1", "steel@1"),
        ("steel@challenger", "steel@3"),
        ("铜 copper", "铜 copper@1"),
    ],
)
def test_find(stocked: Path, ref: str, found: str) -> None:
    at = registry(stocked)
    assert at.find(ref).ref == found
    assert at.resolve(ref) == at.find(found).path


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ("stel", "did you mean 'steel'?"),
        ("steel@9", "no model version named 'steel@9'"),
        ("铜 copper@champion", "did you mean '铜 copper@1'"),
        ("steel*", r"no model named 'steel\*'"),
        ("", "known model names: steel, 铜 copper"),
    ],
)
def test_near_names_are_given(stocked: Path, ref: str, message: str) -> None:
    with pytest.raises(NotFoundError, match=message):
        registry(stocked).find(ref)


@pytest.mark.parametrize(
    ("ref", "found"),
    [
        ("*", ["steel@2", "铜 copper@1"]),
        ("st*l", ["steel@2"]),
        ("*@1", ["steel@1", "铜 copper@1"]),
        ("*@champion", ["steel@2"]),
        ("steel@3", ["steel@3"]),
    ],
)
def test_patterns(stocked: Path, ref: str, found: list[str]) -> None:
    at = registry(stocked)
    assert [bundle.digest for bundle in at.open_many(ref)] == [at.find(one).digest for one in found]


@pytest.mark.parametrize("ref", ["x*", "*@champoin", "*@9"])
def test_a_pattern_that_matches_nothing_is_refused(stocked: Path, ref: str) -> None:
    with pytest.raises(NotFoundError, match="known model names: steel, 铜 copper"):
        list(registry(stocked).open_many(ref))


def test_a_file_opens_without_a_registry(home: Path, write_bundle: WriteBundle) -> None:
    path = write_bundle()
    assert [bundle.name for bundle in registry(home).open_many(str(path))] == ["steel"]
    with pytest.raises(BundleError, match="no such bundle file"):
        registry(home).resolve("nothing.tlb")


def test_a_file_that_was_replaced_is_refused(stocked: Path) -> None:
    at = registry(stocked)
    shutil.rmtree(stocked / "mlartifacts")
    shutil.copyfile(at.resolve("steel@1"), at.resolve("steel@2"))
    for call in (at.resolve, at.show, at.promote, lambda ref: list(at.open_many(ref))):
        with pytest.raises(BundleError, match=r"steel@2: its file is damaged \(it holds the bundle \w+\)"):
            call("steel@2")


@pytest.mark.parametrize(
    "spoil",
    [
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: shutil.copyfile(registry(path.parents[1]).resolve("steel@2"), path),
    ],
    ids=["gone", "empty", "torn", "another bundle"],
)
def test_a_file_that_is_gone_or_damaged_is_brought_from_the_artifacts(
    stocked: Path, spoil: Callable[[Path], object]
) -> None:
    at = registry(stocked)
    kept = at.resolve("steel@1")
    whole = kept.read_bytes()
    spoil(kept)
    assert (at.resolve("steel@1"), kept.read_bytes()) == (kept, whole)
    assert [path.name for path in (stocked / "bundles").iterdir() if path.suffix != ".tlb"] == []


def test_a_tag_of_the_digest_that_was_edited_is_told(stocked: Path) -> None:
    at = registry(stocked)
    right = at.find("steel@1").digest
    at.tracking.client().set_model_version_tag("steel", "1", "trunkline.digest", "f" * 64)
    with pytest.raises(BundleError) as caught:
        at.show("steel@1")
    assert str(caught.value) == (
        f"steel@1: expected MLflow's tag trunkline.digest to name the bundle that MLflow keeps, {right[:12]}, "
        "got ffffffffffff: one of the two was edited\n"
        f"  fix: in MLflow, set the tag of this version to {right}; or build the model again"
    )


@pytest.mark.parametrize(
    ("promoted", "over", "alias"),
    [
        ("steel@2", 2, "champion"),
        ("steel@1", 2, "challenger"),
        ("steel@2", None, "challenger"),
        ("steel@1", "any", "champion"),
    ],
)
def test_a_person_who_promotes_meanwhile_is_not_overruled(
    stocked: Path, write_bundle: WriteBundle, promoted: str, over: Any, alias: str
) -> None:
    at = registry(stocked)
    at.promote(promoted, who="bob", why="by hand")
    made = register(at, write_bundle(seed=9), promote="champion", over=over, who="ann", why="no worse")
    champion = at.champion("steel")
    assert (made.ref, made.alias, champion and champion.ref) == (
        "steel@5", alias, "steel@5" if alias == "champion" else promoted,
    )  # fmt: skip
    why = {"champion": "no worse", "challenger": "no worse; the champion was changed while it was built"}[alias]
    assert (moves(at)[-1][1], moves(at)[-1][5]) == (alias, why)


def test_a_database_that_is_gone_is_told(stocked: Path) -> None:
    assert (registry(stocked).lost(), registry(stocked / "fresh").lost()) == (None, None)
    (stocked / "mlflow.db").unlink()
    for call in (registry(stocked).show, registry(stocked).resolve):
        with pytest.raises(StorageError) as caught:
            call("steel")
        assert str(caught.value) == (
            f"{stocked / 'mlflow.db'}: this file is gone, and with it all versions; by the audit log these were "
            "champions: steel@2\n  fix: put a copy of it back; else build again, which begins with version 1 "
            f"({stocked / 'bundles'} has the bundles)"
        )
    with pytest.raises(NotFoundError):
        registry(stocked).find("steel")


def test_a_file_that_is_gone_everywhere_is_named(stocked: Path) -> None:
    at = registry(stocked)
    version = at.find("steel@1")
    version.path.unlink()
    shutil.rmtree(stocked / "mlartifacts")
    with pytest.raises(BundleError, match="steel@1: its file is gone"):
        at.resolve("steel@1")
    assert [path.name for path in (stocked / "bundles").iterdir() if path.suffix != ".tlb"] == []


def test_a_promotion_of_a_version_that_is_gone_is_abandoned(stocked: Path) -> None:
    at = registry(stocked)
    client = at.tracking.client()
    version = at.find("steel@3")
    client.delete_model_version("steel", "3")
    with pytest.raises(StorageError, match="MLflow refused"):
        at._moves.move(version, "champion", "promote", "bob", "late")
    at.promote("steel@1", who="bob")
    assert moves(at)[3:] == [
        ("abandoned", "champion", 2, 2, "bob", "late"),
        ("promote", "champion", 2, 1, "bob", ""),
    ]
