"""Killed at any moment, the registry is whole after the next call; each step is killed in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from trunkline.core.errors import StorageError
from trunkline.core.settings import Settings
from trunkline.platform.registry.registry import Registry
from trunkline.platform.registry.versions import ModelVersion

REGISTER_STEPS = 18
PROMOTE_STEPS = 10
"""Steps that reach the disk or MLflow; the step after the last is one at which nothing is killed."""
InChildren = Callable[..., list[int]]


@contextmanager
def killed_before(step: int) -> Iterator[None]:
    """Kill this process before a step."""
    from mlflow.tracking import MlflowClient

    left = step

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal left
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return call(*args, **options)

        return wrapped

    steps = [
        *((os, name) for name in ("fsync", "link", "write")),
        *((Path, name) for name in ("replace", "unlink")),
        *((MlflowClient, name) for name in ("create_run", "log_batch", "set_terminated", "set_registered_model_alias")),
        *((MlflowClient, name) for name in ("create_registered_model", "create_model_version")),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in steps:
            patch.setattr(owner, name, deadly(getattr(owner, name)))
        yield


def registry(home: Path) -> Registry:
    return Registry(Settings(home=home))


def register(at: Registry, path: Path) -> ModelVersion:
    page = path.with_name("page.html")
    return at.register(
        path, page, metrics={"accuracy": 0.9}, params={"images": 40}, promote="champion", who="ann", why="first"
    )


def runs(at: Registry) -> list[tuple[str, list[str]]]:
    """Status and artifacts of each run that is not deleted."""
    client = at.tracking.client()
    found = client.search_runs([at.tracking._experiment])
    return [(run.info.status, [file.path for file in client.list_artifacts(run.info.run_id)]) for run in found]


@pytest.mark.parametrize("step", range(REGISTER_STEPS + 1))
def test_a_killed_registration_is_finished_by_the_same_call(
    ready: Path, write_bundle: Callable[..., Path], in_children: InChildren, step: int
) -> None:
    path = write_bundle(name="zinc")
    path.with_name("page.html").write_text("<p>zinc</p>")

    def work() -> None:
        at = registry(ready)
        at.tracking.client()
        with killed_before(step):
            register(at, path)

    assert in_children(work) == [-signal.SIGKILL if step < REGISTER_STEPS else 0]
    at = registry(ready)
    version = register(at, path)
    assert (version.ref, version.aliases, at.ls()[0]["versions"]) == ("zinc@1", ("champion",), 1)
    assert version.path.read_bytes() == path.read_bytes()
    assert [(e.action, e.alias, e.old, e.new, e.who, e.why) for e in at.audit.entries()] == [
        ("promote", "champion", None, 1, "ann", "first")
    ]
    assert (at.audit.verify(), (ready / "registry.pending.json").exists()) == ([], False)
    assert runs(at) == [("FINISHED", ["bundle.tlb", "report.html"])]


@pytest.mark.parametrize("step", range(PROMOTE_STEPS + 1))
def test_a_killed_promotion_is_finished_by_the_next_call(stocked: Path, in_children: InChildren, step: int) -> None:
    def work() -> None:
        at = registry(stocked)
        at.tracking.client()
        with killed_before(step):
            at.promote("steel@3", who="bob", why="compared")

    assert in_children(work) == [-signal.SIGKILL if step < PROMOTE_STEPS else 0]
    at = registry(stocked)
    begun = (stocked / "registry.pending.json").exists() or len(at.audit.entries("steel")) > 3
    at.promote("铜 copper@1", who="ann", why="another model")
    champion = at.champion("steel")
    assert champion is not None
    told = [(e.old, e.new, e.who, e.why) for e in at.audit.entries("steel")[3:]]
    assert (champion.version, told) == ((3, [(2, 3, "bob", "compared")]) if begun else (2, []))
    assert (at.audit.verify(), (stocked / "registry.pending.json").exists()) == ([], False)


def test_a_promotion_that_cannot_be_read_stops_with_a_way_out(stocked: Path) -> None:
    pending = stocked / "registry.pending.json"
    pending.write_text("{")
    with pytest.raises(StorageError, match="expected the promotion that was begun") as caught:
        registry(stocked).promote("steel@3")
    assert caught.value.where == str(pending)
    pending.unlink()
    assert registry(stocked).promote("steel@3")["version"] == 3
