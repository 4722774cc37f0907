"""The plan file of a scenario: what was decided and why, as YAML that can be put under `plan:` and changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trunkline.core.files import write_atomic

_HEAD = """\
# How {name} is fitted. To change a line, put it under `plan:` in the scenario and build again.
"""


def plan_file(home: Path, name: str) -> Path:
    """Where the plan of a scenario is."""
    return home / "plans" / f"{name}.yaml"


def write_plan(home: Path, name: str, plan: Mapping[str, Any], reasons: Mapping[str, str]) -> Path:
    """Write a plan and the reason of each key.

    Raises:
        StorageError: When the home cannot be written.
    """
    rows = [f"  {key}: {value}" for key, value in plan.items()]
    wide = max(map(len, rows))
    lines = [f"{row:<{wide}}  # {reasons[key]}" for row, key in zip(rows, plan, strict=True)]
    path = plan_file(home, name)
    write_atomic(path, (_HEAD.format(name=name) + "plan:\n" + "\n".join(lines) + "\n").encode(), durable=False)
    return path
