"""Killed at any moment, stopped by Ctrl-C, started twice at once: nothing is lost, nothing is done twice or torn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Pictures
from tests.flows.conftest import Trunkline

COMMAND = (sys.executable, "-m", "trunkline.cli", "build")


@pytest.fixture
def asked(tmp_path: Path, pictures: Pictures, write: Callable[..., Path]) -> list[Path]:
    """Six scenarios on the same images, of all tasks."""
    folder = pictures.folder(tmp_path / "parts", ("good", "b", "c"), 24)
    tasks = ("classify", "multilabel", "anomaly", "classify", "classify", "multilabel")
    return [
        write(f"m{number}", folder, task=task, extra=f"split: {{seed: {number}}}") for number, task in enumerate(tasks)
    ]


def start(asked: list[Path], home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, asked), "--json", "--home", str(home), "--runtime", "onnxruntime"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def digests(out: str) -> dict[str, str]:
    return {row["name"]: row["digest"] for row in map(json.loads, out.splitlines())}


def versions(trunkline: Trunkline, home: Path) -> list[tuple[str, int, int | None]]:
    rows = trunkline("models", "ls", "--json", "--home", home).rows
    return [(row["name"], row["versions"], row["champion"]) for row in rows]


def test_killed_again_and_again(asked: list[Path], tmp_path: Path, trunkline: Trunkline) -> None:
    whole, _ = start(asked, tmp_path / "unbroken").communicate(timeout=120)
    home = tmp_path / "killed"
    kills = 0
    for seconds in [1.6 + 0.45 * n for n in range(30)]:
        process = start(asked, home)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            kills += 1
            continue
        break
    assert process.returncode == 0, err
    assert kills > 0
    assert digests(out) == digests(whole)
    assert len(digests(out)) == 6
    assert versions(trunkline, home) == [(f"m{n}", 1, 1) for n in range(6)]
    left = [path for path in home.rglob("*") if path.name.startswith(".") and path.stat().st_mtime > time.time() - 5]
    assert left == []
    assert trunkline("doctor", "--home", home).status == 0


def test_interrupted(asked: list[Path], tmp_path: Path) -> None:
    home = tmp_path / "stopped"
    process = start(asked, home)
    deadline = time.monotonic() + 60
    while not (home / "images.lance").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "nothing is lost" in err
    assert "Traceback" not in err
    out, err = start(asked, home).communicate(timeout=120)
    assert len(digests(out)) == 6, err


def test_two_at_once(asked: list[Path], tmp_path: Path, trunkline: Trunkline) -> None:
    home = tmp_path / "shared-home"
    running = [start(asked, home), start(list(reversed(asked)), home)]
    ended = [process.communicate(timeout=240) for process in running]
    assert [process.returncode for process in running] == [0, 0], [err for _, err in ended]
    first, second = (digests(out) for out, _ in ended)
    assert first == second
    assert versions(trunkline, home) == [(f"m{n}", 1, 1) for n in range(6)]
