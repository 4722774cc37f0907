"""CPU seconds until Trunkline is imported, and until `trunkline --help` has printed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from statistics import median

from benchmarks.common import ROOT, Figure, Reference, Result, main

IMPORT_LIMIT, HELP_LIMIT = 0.15, 0.5
RUNS = 15
HEAVY = ("torch", "mlflow", "openvino", "datumaro", "lance", "onnxruntime", "onnx", "numpy")
"""What must not be loaded; with any of them a start costs whole seconds."""
HELP = "import sys; sys.argv = ['trunkline', '--help']; from trunkline.cli import main; main()"
PROGRAMS = {
    "python": "pass",
    "typer": "import typer",
    "import": "import trunkline",
    "help": HELP,
}


def run(quick: bool) -> Result:
    """Every program in turn, in processes of its own, so that a slow moment hits all alike."""
    counts = 2 if quick else RUNS
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for name, code in PROGRAMS.items():  # the first run of each reads files that the others find in memory
        cpu_seconds(code)
        loaded = loaded_by(code)
        assert not loaded, f"{name} loads {loaded}"
    for _ in range(counts):
        for name, code in PROGRAMS.items():
            seconds[name].append(cpu_seconds(code))
    typical = {name: median(values) for name, values in seconds.items()}
    bare = Reference("python -c pass", round(typical["python"], 3), "s CPU")
    typer = Reference(
        "python -c 'import typer', the library that reads the command line", round(typical["typer"], 3), "s CPU"
    )
    return Result(
        figures=[
            figure("import trunkline", typical["import"], IMPORT_LIMIT, bare),
            figure("trunkline --help", typical["help"], HELP_LIMIT, typer),
        ],
        method=f"median of {counts} processes each, in turn; user and system CPU seconds of the process, "
        "all threads, with the interpreter's own start; bytecode compiled and files in memory",
        detail={
            "not_loaded": list(HEAVY),
            "spread": {name: [round(min(values), 4), round(max(values), 4)] for name, values in seconds.items()},
        },
    )


def figure(name: str, value: float, limit: float, reference: Reference) -> Figure:
    """A start that may cost so much CPU; the ratio is the reference's cost against its own."""
    return Figure(
        name, round(value, 3), "s CPU", f"< {limit} s CPU", value < limit, reference, reference.value / max(value, 1e-9)
    )


def cpu_seconds(code: str) -> float:
    """User and system seconds of a Python process that runs a program."""
    process = subprocess.Popen(python(code), cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"benchmarks: {code!r} ended with status {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def loaded_by(code: str) -> list[str]:
    """Which of the heavy packages a program loads."""
    tell = f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    at_exit = f"import atexit, json, sys\natexit.register(lambda: {tell})"
    done = subprocess.run(python(f"{at_exit}\n{code}"), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return names


def python(code: str) -> Sequence[str]:
    """The command line of a program."""
    return [sys.executable, "-c", code]


if __name__ == "__main__":
    main(run)
