"""A registry's home: any path, moved, full, without MLflow, used by several processes at once."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trunkline.core.errors import ConfigError, MissingExtraError, StorageError
from trunkline.core.settings import Settings
from trunkline.platform.registry.registry import Registry
from trunkline.platform.registry.versions import ModelVersion

WriteBundle = Callable[..., Path]


def registry(home: Path, **options: Any) -> Registry:
    return Registry(Settings(home=home, **options))


def register(at: Registry, path: Path, **options: Any) -> ModelVersion:
    return at.register(path, metrics={"accuracy": 0.9}, params={"images": 40}, **options)


def test_a_home_may_have_spaces_and_any_letters(template: Path, tmp_path: Path, make: SimpleNamespace) -> None:
    home = tmp_path / "家 mit 'Leer' & zeichen"
    shutil.copytree(template, home)
    path = tmp_path / "a.tlb"
    path.write_bytes(make.bundle(home))
    at = registry(home / ".." / home.name)
    version = register(at, path, promote="champion")
    client = at.tracking.client()
    assert [file.path for file in client.list_artifacts(version.run)] == ["bundle.tlb"]
    assert Path(client.download_artifacts(version.run, "bundle.tlb")).read_bytes() == path.read_bytes()
    assert (home / "mlartifacts").is_dir()


def test_a_home_that_mlflow_cannot_address_is_told(tmp_path: Path, make: SimpleNamespace) -> None:
    home, path = tmp_path / "50% #1", tmp_path / "a.tlb"
    path.write_bytes(make.bundle(tmp_path))
    at = registry(home)
    with pytest.raises(ConfigError, match="without \\? # % in its path"):
        register(at, path)
    assert (at.ls(), [bundle.name for bundle in at.open_many(str(path))]) == ([], ["steel"])


def test_a_moved_home_takes_its_artifacts_along(stocked: Path, tmp_path: Path, write_bundle: WriteBundle) -> None:
    path = write_bundle(name="zinc")
    home = stocked.rename(tmp_path / "moved 家")
    at = registry(home)
    runs = [register(at, path).run, at.find("steel@2").run]
    client = at.tracking.client()
    assert [[file.path for file in client.list_artifacts(run)] for run in runs] == [
        ["bundle.tlb"],
        ["bundle.tlb", "report.html"],
    ]
    source = client.get_model_version("steel", "2").source
    assert source == f"{(home / 'mlartifacts').resolve().as_uri()}/{runs[1]}/artifacts/bundle.tlb"
    assert not stocked.exists(), "something was written to where the home was"


def test_a_full_disk_is_told_and_repeating_finishes_the_work(ready: Path, write_bundle: WriteBundle) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    opened: list[sqlite3.Connection] = []

    def full(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 1")  # no more pages than there are
        opened.append(connection)

    at, path, long = registry(ready), write_bundle(), {"note": "x" * 6000}
    event.listen(Engine, "connect", full)
    try:
        with pytest.raises(StorageError, match="no space left on the disk") as caught:
            at.register(path, metrics={}, params=long, promote="champion")
    finally:
        event.remove(Engine, "connect", full)
    assert caught.value.where == str(ready / "mlflow.db")
    assert at.ls() == []
    for connection in opened:
        connection.execute("PRAGMA max_page_count = 1000000")
    assert at.register(path, metrics={}, params=long, promote="champion").aliases == ("champion",)
    runs = at.tracking.client().search_runs([at.tracking._experiment])
    assert [(run.info.status, len(run.data.params["note"])) for run in runs] == [("FINISHED", 6000)]


LOOK_UP = """
import sys
from pathlib import Path
from trunkline.core.settings import Settings
from trunkline.platform.registry.registry import Registry
at = Registry(Settings(home=Path(sys.argv[1])))
at.ls(), at.find("steel"), at.show("steel@1"), at.compare("steel@1", "steel@2"), list(at.open_many("*"))
import trunkline.platform.registry.use, trunkline.cli.models, trunkline.cli.predict
print(sorted({"mlflow", "torch", "sqlalchemy", "pandas"} & set(sys.modules)))
"""


def test_looking_up_imports_neither_mlflow_nor_torch(stocked: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LOOK_UP, str(stocked)], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_where_mlflow_is_not_installed_it_is_said(
    stocked: Path, write_bundle: WriteBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    at = registry(stocked)
    assert at.find("steel").version == 2
    with pytest.raises(MissingExtraError, match=r"pip install 'trunkline\[build\]'"):
        register(at, write_bundle())


def test_processes_at_once_make_one_version(
    ready: Path, write_bundle: WriteBundle, in_children: Callable[..., list[int]]
) -> None:
    path = write_bundle()
    assert in_children(*3 * [lambda: register(registry(ready), path, promote="champion")]) == [0, 0, 0]
    at = registry(ready)
    assert (at.ls()[0]["versions"], at.find("steel").aliases, len(at.audit.entries()), at.audit.verify()) == (
        1,
        ("champion",),
        1,
        [],
    )
    assert len(at.tracking.client().search_runs([at.tracking._experiment])) == 1
