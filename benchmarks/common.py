"""What all benchmarks share: data laid out as folders, CPU seconds, children, and one JSON object a run."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
NEU = ROOT.parent / "shared" / "data" / "neu-det" / "images"
THREADS = len(os.sched_getaffinity(0))
Classes = Mapping[str, Sequence[Path]]
"""Label -> image files."""


@dataclass(frozen=True)
class Reference:
    """What a figure is compared with, measured in the same run."""

    what: str
    value: float
    unit: str


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        figure: What is measured, in words.
        value: What came out.
        unit: Its unit.
        asked: What was asked for, in words; "" for figures that only inform.
        met: Whether the value is what was asked for.
        reference: What it is compared with.
        ratio: Value against reference, in the sense in which more is better.
    """

    figure: str
    value: float
    unit: str = ""
    asked: str = ""
    met: bool = True
    reference: Reference | None = None
    ratio: float | None = None

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = {"figure": self.figure, "value": self.value, "unit": self.unit, "asked": self.asked}
        row["met"] = self.met
        if self.reference is not None:
            row["reference"] = vars(self.reference)
        if self.ratio is not None:
            row["ratio"] = round(self.ratio, 3)
        return row


@dataclass(frozen=True)
class Result:
    """What one benchmark found: its figures, the seeds used, and how it was done."""

    figures: Sequence[Figure]
    method: str
    seeds: Sequence[int] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


def main(run: Callable[[bool], Result]) -> None:
    """The command line of one benchmark: prints one JSON object; `--write` keeps it in `benchmarks/results/`."""
    name = Path(sys.modules[run.__module__].__file__ or "").stem
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=sys.modules[run.__module__].__doc__
    )
    parser.add_argument("--write", action="store_true", help="keep the result in benchmarks/results/")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs; says so, is never kept")
    options = parser.parse_args()
    started = time.monotonic()
    result = run(options.quick)
    row = to_json(name, result, seconds=time.monotonic() - started, quick=options.quick)
    print(json.dumps(row))
    if options.write and not options.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(row, indent=2) + "\n")


def to_json(name: str, result: Result, *, seconds: float, quick: bool) -> dict[str, Any]:
    """A result with the machine and versions it was measured on."""
    from trunkline import __version__
    from trunkline.compute.chips.machine import machine

    facts = machine()
    return {
        "name": name,
        **({"quick": True} if quick else {}),
        "figures": [figure.to_json() for figure in result.figures],
        "method": result.method,
        "seeds": list(result.seeds),
        "threads": THREADS,
        "detail": dict(result.detail),
        "machine": {key: value for key, value in facts.items() if key != "versions"},
        "versions": {"trunkline": __version__, **facts["versions"]},
        "seconds": round(seconds, 1),
    }


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that goes away afterwards."""
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        yield Path(folder)


def neu_classes() -> dict[str, list[Path]]:
    """NEU-DET by the class that the file name says.

    Raises:
        SystemExit: When it is not beside the checkout.
    """
    if not NEU.is_dir():
        raise SystemExit("benchmarks: NEU-DET is not beside the checkout (../shared/data/neu-det)")
    classes: dict[str, list[Path]] = {}
    for path in sorted(NEU.glob("*.jpg")):
        classes.setdefault(path.stem.rpartition("_")[0], []).append(path)
    return classes


def garments(into: Path) -> dict[str, list[Path]]:
    """Fashion-MNIST, 200 pictures a garment, collected as `trunkline demo` does.

    Raises:
        SystemExit: When it cannot be had, with the reason.
    """
    from trunkline.platform.samples import collect_all

    collected = collect_all(into, ["fashion-mnist"])
    if collected.missing:
        raise SystemExit(f"benchmarks: {collected.missing[0][1]}")
    folder = next(s.path for s in collected.sets if s.name == "garments")
    return {path.name: sorted(path.glob("*.png")) for path in sorted(folder.iterdir())}


def draw(classes: Classes, counts: Sequence[int], seed: int) -> list[dict[str, list[Path]]]:
    """Disjoint parts with so many images a class each; a last part with all the rest where a count is -1."""
    parts: list[dict[str, list[Path]]] = [{} for _ in counts]
    for label, paths in classes.items():
        order = random.Random(f"{seed} {label}").sample(list(paths), len(paths))  # the same for the same seed and class
        start = 0
        for part, count in zip(parts, counts, strict=True):
            end = len(order) if count < 0 else start + count
            if end > len(order):
                raise ValueError(f"expected at least {end} images of {label}, got {len(order)}")
            part[label] = order[start:end]
            start = end
    return parts


def lay_out(folder: Path, classes: Classes) -> Path:
    """An ImageFolder of hard links, or of copies where links cannot be made."""
    for label, paths in classes.items():
        place = folder / label
        place.mkdir(parents=True, exist_ok=True)
        for path in paths:
            try:
                os.link(path, place / path.name)
            except OSError:
                shutil.copy2(path, place / path.name)
    return folder


@dataclass
class Cost:
    """Wall seconds, and CPU seconds of all threads of this process."""

    wall: float = 0.0
    cpu: float = 0.0


@contextmanager
def cost() -> Iterator[Cost]:
    """Measure a block."""
    spent = Cost()
    wall, cpu = time.perf_counter(), time.process_time()
    yield spent
    spent.wall, spent.cpu = time.perf_counter() - wall, time.process_time() - cpu


def in_child(function: str, *arguments: str) -> dict[str, Any]:
    """Call `module:function` with words in a process of its own.

    Returns:
        What it returned, JSON only, with `max_rss_mb`, the most memory that the process held.
    """
    command = [sys.executable, "-m", "benchmarks.common", function, *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"benchmarks: {function} ended with status {done.returncode}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def _child(function: str, *arguments: str) -> None:
    import resource

    module, _, name = function.partition(":")
    row = getattr(import_module(module), name)(*arguments)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({**row, "max_rss_mb": round(kilobytes / 1024, 1)}))


if __name__ == "__main__":
    _child(*sys.argv[1:])
