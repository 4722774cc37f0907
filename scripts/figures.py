"""Fill the tables of figures in README.md and docs/figures.md from benchmarks/results/*.json.

python scripts/figures.py           write them
python scripts/figures.py --check   fail when one is not up to date
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from marked import fill, update

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "README.md", ROOT / "docs" / "figures.md")
NONE_YET = "No benchmark has been run on this checkout yet; `make bench` fills this table."


def rows() -> list[dict[str, Any]]:
    """Every figure of every result, by file name; a file holds one JSON object."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]


def number(value: Any) -> str:
    """A figure with the digits that matter: four significant ones, and all of a whole number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _with_unit(row: dict[str, Any]) -> str:
    return f"{number(row['value'])} {row.get('unit', '')}".strip()


def _reference(result: dict[str, Any]) -> str:
    reference = result.get("reference")
    if not reference:
        return ""
    ratio = result.get("ratio")
    return f"{reference['what']}: {_with_unit(reference)}" + (f" ({number(ratio)} times)" if ratio else "")


def table(results: list[dict[str, Any]]) -> str:
    """One row a figure: measured, asked, reference, how to repeat it; then the machines."""
    if not results:
        return NONE_YET
    lines = ["| figure | measured | asked | reference in the same run | repeat |", "| --- | --- | --- | --- | --- |"]
    for result in results:
        for place, row in enumerate(result.get("figures", [result])):
            missed = "" if row.get("met", True) else " **(missed)**"
            cells = (
                row["figure"],
                _with_unit(row) + missed,
                str(row.get("asked", "")),
                _reference(row) or (_reference(result) if place == 0 else ""),
                f"`python -m benchmarks {result['name']}`" if place == 0 else "",
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    machines = sorted({_machine(result["machine"]) for result in results})
    return "\n".join(lines) + "\n\nMeasured on " + "; ".join(machines) + "."


def _machine(facts: dict[str, Any]) -> str:
    return f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']} GB, Python {facts['python']}"


def main() -> int:
    check = "--check" in sys.argv[1:]
    text = table(rows())
    stale = update({path: fill(path, "figures", text) for path in PAGES}, check=check)
    for path in stale:
        print(f"{path.name}: " + ("not up to date; run python scripts/figures.py" if check else "written"))
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
