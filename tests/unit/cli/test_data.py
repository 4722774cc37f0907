"""What `trunkline data show` says of findings: names, what is wrong with each, and how many there are."""

from __future__ import annotations

from typing import Any

import pytest

from trunkline.cli.data import _show
from trunkline.core.types.dataset import Finding

NAMES = tuple(f"{number}.png" for number in range(9))
SAID = {"given": ["dent", *[""] * 8], "said": ["scratch"] * 9}


@pytest.mark.parametrize(
    ("names", "detail", "lines"),
    [
        (NAMES, SAID, ["    0.png: labelled dent, the model says scratch",
                       *(f"    {number}.png: labelled none, the model says scratch" for number in (1, 2, 3, 4)),
                       "    and 4 more"]),
        (NAMES[:2], {"of": ["9.png"] * 2, "labels": ["dent"] * 2}, [f"    {i}.png: copy of 9.png" for i in (0, 1)]),
        (NAMES[:1], {"labels": ["dent, [i]"]}, ["    0.png: labelled dent, [i]"]),
        (NAMES[:1], {"reasons": ["truncated"]}, ["    0.png: truncated"]),
        (NAMES[:6], {"count": 1200}, [*(f"    {number}.png" for number in range(5)), "    and 1,195 more"]),
        ((), {"counts": {"dent": 9}}, []),
    ],
)  # fmt: skip
def test_names_of_a_finding(
    names: tuple[str, ...], detail: dict[str, Any], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    finding = Finding("odd", "warning", "a message", names=names, detail=detail)
    row = {"name": "parts", "version": 1, "format": "voc", "digest": "d" * 64, "images": 9, "labels": {}, "splits": {}}
    _show({**row, "findings": [finding.to_json()]}, as_json=False)
    assert capsys.readouterr().out.splitlines()[2:] == ["  warning: a message", *lines]
