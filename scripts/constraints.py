"""Resolve every extra anew and pin the whole tree in constraints.txt.

Versions carry no local part (`torch==2.13.0` also takes `2.13.0+cpu`), and the file names no package index:
where packages come from is the business of the machine's own pip settings.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = "build,samples,serve,litert,int8,npu,dev,timm"
TORCH = "torch==2.13.0"
HEADER = f"""\
# Every package that Trunkline's extras ({EXTRAS}) bring, at the version that the tests pass with.
# Made by `make constraints`. Ranges are in pyproject.toml.
"""


def pins(report: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    """`name==version` of each package in a report of `pip install --report`, sorted, Trunkline itself left out."""
    found = {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in report["install"]}
    return [f"{name}=={version.partition('+')[0]}" for name, version in sorted(found.items()) if name != "trunkline"]


def main() -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    done = subprocess.run([*command, TORCH, f".[{EXTRAS}]"], cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603
    lines = pins(json.loads(done.stdout))
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n")
    print(f"constraints.txt: {len(lines)} packages")


if __name__ == "__main__":
    main()
