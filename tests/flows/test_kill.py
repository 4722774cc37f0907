"""Killed within each station, stopped by Ctrl-C, started twice at once: nothing is lost, done twice or torn."""

from __future__ import annotations

import json
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


POINTS = [
    ("after", "platform.data.intake:Intake.take_in"),
    ("in", "platform.engine.columns:Column.append"),
    ("after", "platform.engine.features:FeatureStore.embed"),
    ("in", "platform.data.inspect:look"),
    ("after", "platform.line.job:Job.inspect"),
    ("in", "algorithms.heads.classify:Classify.fit"),
    ("after", "platform.line.job:Job.keep_fitted"),
    ("in", "platform.line.finish:measure"),
    ("after", "platform.line.finish:measure"),
    ("after", "platform.line.finish:pack"),
    ("in", "platform.line.report.assemble:write_report"),
    ("in", "platform.registry.registry:Registry.register"),
    ("after", "platform.registry.tracking:Tracking.add"),
    ("after", "platform.registry.tracking:Tracking.set_alias"),
    ("after", "platform.registry.registry:Registry.register"),
    ("after", "platform.line.job:Job.keep_result"),
]
"""Where a build is killed, in the order in which it comes by: each station when it is entered, and when it is done."""


def test_killed_within_every_station(asked: list[Path], tmp_path: Path, trunkline: Trunkline) -> None:
    three = asked[:3]  # of each task one
    script = Path(__file__).with_name("killer.py")
    words = [sys.executable, str(script), str(tmp_path / "homes"), json.dumps(POINTS), *map(str, three)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240)
    whole, *killed, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(tuple(row["point"]), row["status"]) for row in killed] == [(p, -signal.SIGKILL) for p in POINTS]
    assert (whole["status"], last["status"]) == (0, 0), done.stderr
    assert digests(last["out"]) == digests(whole["out"])
    assert len(digests(last["out"])) == 3
    assert whole["embedded"] == [72]
    assert sum(count for row in (*killed, last) for count in row["embedded"]) == 72, "an image was embedded twice"
    home = tmp_path / "homes" / "killed"
    assert versions(trunkline, home) == [(f"m{n}", 1, 1) for n in range(3)]
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
    assert ["another build is running on this home" in err for _, err in ended].count(True) == 1
    first, second = (digests(out) for out, _ in ended)
    assert first == second
    assert versions(trunkline, home) == [(f"m{n}", 1, 1) for n in range(6)]
