"""Builds undisturbed, then on another home again and again, each time killed at another point, then to the end.

    python killer.py FOLDER POINTS SCENARIO...

`test_kill.py` starts it. Every build is a process of its own, forked from this one, which has imported everything that
takes seconds. For each it writes one JSON object on a line: the point, the status (minus the signal's number), images
embedded, and what the build printed.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HEAVY = ("lance", "mlflow.tracking", "onnx", "onnxruntime", "PIL.Image", "rich.table", "safetensors.numpy")
TABLES = (("algorithms.heads", "HEADS"), ("algorithms.trunks", "TRUNKS"), ("compute.runtimes", "RUNTIMES"))
OURS = ("data.inspect", "engine.features", "line.finish", "line.report.assemble", "line.runner", "registry.registry")


def main(folder: Path, points: list[tuple[str, str]], scenarios: list[str]) -> None:
    from trunkline.cli import app

    for name in (*HEAVY, *(f"trunkline.platform.{part}" for part in OURS)):
        importlib.import_module(name)
    tables = [getattr(importlib.import_module(f"trunkline.{module}"), name) for module, name in TABLES]
    assert all(table.targets for table in tables), "plugins are looked for once, here"
    folder.mkdir()
    builds = [("unbroken", "", ""), *(("killed", *point) for point in points), ("killed", "", "")]
    for number, (home, when, target) in enumerate(builds):
        log, out = folder / f"{number}.log", folder / f"{number}.out"
        child = os.fork()
        if not child:
            os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT), 1)
            sys.stdout = io.TextIOWrapper(io.FileIO(1, "w"), line_buffering=True)
            sys.argv = ["trunkline", "build", *scenarios, "--json", "--home", str(folder / home)]
            sys.argv += ["--runtime", "onnxruntime"]
            count_embedded(log)
            if when:
                wrap(target, deadly(when))
            try:
                app.run()
            except SystemExit as end:
                sys.stdout.flush()
                os._exit(int(end.code or 0))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        embedded = [int(line) for line in log.read_text().split()] if log.exists() else []
        row = {"point": [when, target], "status": status, "embedded": embedded, "out": out.read_text()}
        sys.__stdout__.write(json.dumps(row) + "\n")  # type: ignore[union-attr]
        sys.__stdout__.flush()  # type: ignore[union-attr]


def wrap(target: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put something around a function, given as MODULE:NAME or MODULE:CLASS.NAME."""
    module, _, names = target.partition(":")
    owner: Any = importlib.import_module(f"trunkline.{module}")
    *classes, name = names.split(".")
    for one in classes:
        owner = getattr(owner, one)
    setattr(owner, name, around(getattr(owner, name)))


def deadly(when: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Killed when a function is entered ("in") or has done its work ("after")."""

    def around(call: Callable[..., Any]) -> Callable[..., Any]:
        def killed(*args: Any, **options: Any) -> Any:
            if when == "after":
                call(*args, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        return killed

    return around


def count_embedded(log: Path) -> None:
    """Write down how many images each call of the trunk kept."""

    def around(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(store: Any, *args: Any, **options: Any) -> None:
            before = store.embedded
            call(store, *args, **options)
            with log.open("a") as stream:
                stream.write(f"{store.embedded - before}\n")

        return counted

    wrap("platform.engine.features:FeatureStore.embed", around)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:])
