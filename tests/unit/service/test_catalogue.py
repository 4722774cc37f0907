"""What is served follows from references, loads and unloads; a request keeps its bundle to its end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.unit.service.conftest import PLAIN, sealed
from trunkline.algorithms.trunks import Trunk
from trunkline.compute.chips.base import Way
from trunkline.core.errors import BundleError, InputError, NotFoundError
from trunkline.core.settings import Settings
from trunkline.platform.engine.engine import Engine
from trunkline.platform.registry.registry import Registry
from trunkline.service import catalogue as module
from trunkline.service.catalogue import Catalogue

Make = Callable[..., Catalogue]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def make(stocked: Path, settings: Settings, said: list[str]) -> Iterator[Make]:
    made: list[Catalogue] = []

    def call(*refs: str) -> Catalogue:
        made.append(Catalogue(settings, refs, Engine(settings), say=said.append))
        made[-1].refresh()
        return made[-1]

    yield call
    for one in made:
        one.close()


@pytest.fixture
def registry(settings: Settings) -> Registry:
    return Registry(settings)


def table(catalogue: Catalogue) -> dict[str, list[str]]:
    return {name: [one.version for one in versions] for name, versions in catalogue.table.items()}


@pytest.mark.parametrize(
    ("refs", "served"),
    [
        ((), {"steel": ["1"], "wood": ["1"]}),
        (("*",), {PLAIN: ["1"], "steel": ["1"], "wood": ["1"]}),
        (("st*@challenger",), {"steel": ["2"]}),
        (("steel@2", "steel"), {"steel": ["1", "2"]}),
        (("steel@2", "steel@1"), {"steel": ["2", "1"]}),
        (("steel", "steel@champion"), {"steel": ["1"]}),
    ],
)
def test_references_name_what_is_served(make: Make, refs: tuple[str, ...], served: dict[str, list[str]]) -> None:
    catalogue = make(*refs)
    assert table(catalogue) == served
    digests = {one.digest for versions in catalogue.table.values() for one in versions}
    assert catalogue.engine.models.keys() == digests


def test_bundle_file_is_served_by_its_digest(make: Make, stocked: Path, tmp_path: Path) -> None:
    path = tmp_path / "glass.tlb"
    path.write_bytes(sealed(stocked, "glass", 9))
    catalogue = make(str(path), "steel")
    (glass,) = catalogue.table["glass"]
    assert (glass.version, glass.digest.startswith(glass.version)) == (glass.digest[:12], True)
    path.unlink()
    catalogue.refresh()
    assert table(catalogue).keys() == {"glass", "steel"}


def test_what_cannot_be_loaded_keeps_nobody_else_from_being_served(
    make: Make, registry: Registry, said: list[str], tmp_path: Path
) -> None:
    broken = tmp_path / "x.tlb"
    broken.write_bytes(b"no bundle")
    catalogue = make("steel", "wod", str(broken))
    assert table(catalogue) == {"steel": ["1"]}
    assert catalogue.failed.keys() == {"wod", str(broken)}
    assert ["did you mean 'wood'?" in line for line in said] == [True, False]
    catalogue.refresh()
    assert len(said) == 2  # once is enough


def test_trunk_that_does_not_run_is_told_and_its_models_are_not_served(
    make: Make, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no such instruction")

    monkeypatch.setattr("trunkline.algorithms.trunks.open_trunk", broken)
    catalogue = make("steel")
    assert (table(catalogue), catalogue.engine.models) == ({}, {})
    assert catalogue.failed == {"steel": "its trunk does not run: no such instruction"}


def test_champion_that_moved_is_swapped_and_one_that_is_new_is_added(make: Make, registry: Registry) -> None:
    catalogue = make()
    registry.promote("steel@2")
    registry.promote(f"{PLAIN}@1")
    catalogue.refresh()
    assert table(catalogue) == {PLAIN: ["1"], "steel": ["2"], "wood": ["1"]}
    assert len(catalogue.engine.models) == 3


def test_next_champion_that_cannot_be_loaded_leaves_the_one_before(
    make: Make, registry: Registry, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    catalogue = make()
    registry.promote("steel@2")

    def damaged(*_: Any, **__: Any) -> Any:
        raise BundleError("it is damaged", where="steel@2")

    monkeypatch.setattr(Registry, "open", damaged)
    catalogue.refresh()
    assert table(catalogue) == {"steel": ["1"], "wood": ["1"]}
    assert (catalogue.failed, said) == ({"steel": "steel@2: it is damaged"}, ["not served: steel@2: it is damaged"])
    with pytest.raises(InputError, match="it is damaged"):
        catalogue.load("wood")
    assert table(catalogue) == {"steel": ["1"], "wood": ["1"]}


def test_registry_that_cannot_be_read_changes_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = make()

    def away(*_: Any) -> Any:
        raise InputError("the disk is away")

    monkeypatch.setattr(Registry, "look", away)
    catalogue.refresh()
    assert table(catalogue) == {"steel": ["1"], "wood": ["1"]}


def test_what_was_loaded_by_number_stays_and_what_was_unloaded_stays_away(make: Make, registry: Registry) -> None:
    catalogue = make()
    catalogue.load("steel", "1")
    catalogue.unload("wood")
    registry.promote("steel@2")
    registry.rollback("steel")
    registry.promote("steel@2")
    catalogue.refresh()
    assert table(catalogue) == {"steel": ["1"]}
    assert [catalogue.load("steel").version, catalogue.load("wood").version] == ["2", "1"]
    registry.rollback("steel")
    catalogue.refresh()
    assert table(catalogue) == {"steel": ["1"], "wood": ["1"]}


@pytest.mark.parametrize(("name", "version"), [("x/y", None), ("x", "../../y.tlb"), ("*", None), ("steel", "9")])
def test_clients_load_what_the_registry_has_and_no_files(make: Make, name: str, version: str | None) -> None:
    catalogue = make()
    with pytest.raises(NotFoundError):
        catalogue.load(name, version)


def test_request_keeps_its_bundle_until_its_lease_ends(make: Make) -> None:
    catalogue = make("steel")
    before = catalogue.table["steel"][0].digest
    first, second = catalogue.lease("steel"), catalogue.lease("steel", "1")
    assert first and second
    with first:
        with second:
            after = catalogue.load("steel", "2").digest
            assert catalogue.engine.models.keys() == {before, after}
        assert catalogue.engine.ask(Image.new("RGB", (9, 9)), [before]).result(20).models[before].bundle == before
    catalogue._janitor.shutdown()
    assert catalogue.engine.models.keys() == {after}


def test_bundle_that_comes_back_before_its_last_lease_ends_stays(make: Make) -> None:
    catalogue = make("steel")
    before = catalogue.table["steel"][0].digest
    lease = catalogue.lease("steel")
    assert lease
    with lease:
        catalogue.load("steel", "2")
        catalogue.load("steel", "1")
    catalogue._janitor.shutdown()
    assert catalogue.engine.models.keys() == {before}


def test_names_that_are_not_served(make: Make) -> None:
    catalogue = make()
    assert [catalogue.lease("stel"), catalogue.lease("steel", "9"), catalogue.get("steel", "9")] == [None, None, None]
    assert "did you mean 'steel'?" in str(catalogue.missing("stel"))
    assert "known version names: 1" in str(catalogue.missing("steel", "9"))


def test_warnings_of_models_are_said(make: Make, stocked: Path, said: list[str], tmp_path: Path) -> None:
    path = tmp_path / "glass.tlb"
    path.write_bytes(sealed(stocked, "glass", 9, verdict="failed"))
    make(str(path))
    assert said == ["glass: this model failed its gate (accuracy)"]


def test_models_run_in_the_way_that_was_chosen_for_them(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[set[str]] = []

    def chosen(trunk: Trunk, bundles: Collection[str], settings: Settings, *, say: Callable[[str], None]) -> Way:
        asked.append(set(bundles))
        return Way("onnxruntime")

    monkeypatch.setattr(module, "way_for", chosen)
    catalogue = make()
    assert asked == [{one.digest for versions in catalogue.table.values() for one in versions}]
    assert {way for _, way in catalogue.engine._lanes} == {Way("onnxruntime")}
