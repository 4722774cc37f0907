"""Reading SQLite ourselves gives what MLflow's client gives."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from trunkline.core.settings import Settings
from trunkline.platform.registry.registry import Registry
from trunkline.platform.registry.versions import ClientReads, Reads, SqliteReads, UnknownTablesError

COPPER = "铜 copper"


def leave(_: Any) -> None:
    """Change nothing."""


def delete_version(client: Any) -> None:
    client.delete_model_version("steel", "1")


def delete_all_versions(client: Any) -> None:
    client.delete_model_version(COPPER, "1")


def delete_model(client: Any) -> None:
    client.delete_registered_model(COPPER)


def name_by_hand(client: Any) -> None:
    client.set_registered_model_alias("steel", "night", "1")
    client.set_registered_model_alias("steel", "Abend", "1")
    client.delete_registered_model_alias("steel", "champion")


def add_another_tool(client: Any) -> None:
    """Models that are not ours, with a quote in the name, without tags, and beside ours."""
    for name in ('quo"te', "plain"):
        client.create_registered_model(name)
        client.create_model_version(name, "s3://somewhere/model", tags={"stage": "trial"})
    client.create_model_version("steel", "s3://somewhere/model", tags={"trunkline.digest": "not one"})


def edit_tags(client: Any) -> None:
    client.set_model_version_tag("steel", "1", "trunkline.bytes", "many")
    client.set_model_version_tag("steel", "2", "trunkline.status", "")
    client.delete_model_version_tag("steel", "3", "trunkline.task")


def log_odd_figures(client: Any) -> None:
    run = client.get_model_version("steel", "1").run_id
    for value in (1.0, 0.25):
        client.log_metric(run, "loss", value)
    for name, value in (("a", float("nan")), ("b", float("inf")), ("c", float("-inf"))):
        client.log_metric(run, name, value)


def everything(reads: Reads) -> dict[str, Any]:
    versions = reads.versions()
    return {
        "versions": versions,
        "names": reads.names(),
        "some": reads.versions([COPPER, "nothing", 'quo"te', "it's"]),
        "none": reads.versions([]),
        "metrics": {version.ref: reads.metrics(version.run) for version in versions},
    }


CHANGES = [
    leave, delete_version, delete_all_versions, delete_model, name_by_hand, add_another_tool, edit_tags,
    log_odd_figures,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_both_ways_of_reading_give_the_same(stocked: Path, change: Callable[[Any], None]) -> None:
    tracking = Registry(Settings(home=stocked)).tracking
    change(tracking.client())
    ours = everything(SqliteReads(stocked / "mlflow.db", stocked / "bundles"))
    assert ours == everything(ClientReads(tracking.client, stocked / "bundles"))
    assert [version.ref for version in ours["versions"] if version.name == "steel"][-1] == "steel@4"


def test_a_listing_takes_as_many_calls_as_it_has_pages(stocked: Path) -> None:
    client = Registry(Settings(home=stocked)).tracking.client()
    asked = []

    class Paged:
        """Gives two rows a page."""

        def __getattr__(self, name: str) -> Callable[..., Any]:
            def call(*query: Any, **options: Any) -> Any:
                asked.append(name)
                return getattr(client, name)(*query, **{**options, "max_results": 2})

            return call

    found = ClientReads(Paged, stocked / "bundles").versions()
    assert found == SqliteReads(stocked / "mlflow.db", stocked / "bundles").versions()
    assert sorted(asked) == ["search_model_versions"] * 3 + ["search_registered_models"]


def test_there_is_nothing_where_there_is_no_file(home: Path) -> None:
    reads = SqliteReads(home / "mlflow.db", home / "bundles")
    assert (reads.versions(), reads.names(), reads.metrics("run")) == ([], [], {})


def junk(path: Path) -> None:
    path.write_bytes(b"junk" * 100)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def other_columns(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for table in ("model_versions", "model_version_tags", "latest_metrics"):
            connection.execute(f"CREATE TABLE {table} (id INTEGER)")


@pytest.mark.parametrize("spoil", [junk, empty, other_columns, Path.mkdir])
def test_other_tables_are_told(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(tmp_path / "mlflow.db")
    reads = SqliteReads(tmp_path / "mlflow.db", tmp_path)
    for call in (reads.versions, reads.names, lambda: reads.metrics("run")):
        with pytest.raises(UnknownTablesError):
            call()


def test_where_the_tables_are_other_ones_the_client_is_asked(stocked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = Registry(Settings(home=stocked))
    expected = at.ls()

    def unknown(*_: Any) -> None:
        raise UnknownTablesError

    monkeypatch.setattr(SqliteReads, "versions", unknown)
    assert at.ls() == expected


def test_a_database_on_a_disk_that_cannot_be_written_is_read_from_a_copy(
    stocked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite must write beside a write-ahead log to read it; here the last commit is in the log alone."""
    reads = SqliteReads(stocked / "mlflow.db", stocked / "bundles")
    with closing(sqlite3.connect(stocked / "mlflow.db")) as writer:
        writer.execute("DELETE FROM registered_model_aliases WHERE alias = 'challenger'")
        writer.commit()
        expected = everything(reads)
        real, opened = sqlite3.connect, []

        def connect(address: str, **options: Any) -> sqlite3.Connection:
            opened.append(address)
            if str(stocked) not in address:
                return real(address, **options)
            return real("file:/nowhere/at/all?mode=ro", uri=True)

        monkeypatch.setattr(sqlite3, "connect", connect)
        assert everything(reads) == expected
    assert [version.aliases for version in expected["versions"]][:3] == [(), ("champion",), ()]
    assert {stocked.as_uri() in address for address in opened} == {True, False}
