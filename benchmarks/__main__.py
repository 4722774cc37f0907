"""Run benchmarks, each in a process of its own: `python -m benchmarks [NAME...] [--quick]`."""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.common import ROOT

NAMES = (
    "startup",
    "predict_start",
    "neu_accuracy",
    "fine_tuning",
    "jpeg_to_features",
    "rebuild",
    "many_scenarios",
    "anomaly_head",
    "engine_heads",
    "engine_detect",
    "detect_neu",
    "npu_int8",
    "engine_end_to_end",
    "precision",
    "server",
)


def main() -> int:
    """Print one JSON object a benchmark and keep each in `benchmarks/results/`; 1 when one did not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all run; nothing is kept")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}; known: {', '.join(NAMES)}")
    failed = []
    for name in options.names or NAMES:
        print(f"benchmark {name} ...", file=sys.stderr)
        command = [sys.executable, "-m", f"benchmarks.{name}", "--quick" if options.quick else "--write"]
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(name)
    if failed:
        print(f"benchmarks: did not run: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
