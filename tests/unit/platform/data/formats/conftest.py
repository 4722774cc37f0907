"""Small folders written from a table: name -> text, bytes, or None for an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from trunkline.platform.data.formats import parse

Make = Callable[[Mapping[str, str | bytes | None]], Path]


@pytest.fixture
def make(tmp_path: Path, pictures: Any) -> Make:
    """Writes files below a folder and gives the folder."""

    def written(files: Mapping[str, str | bytes | None]) -> Path:
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        for number, (name, content) in enumerate(files.items()):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = pictures.encode(number) if content is None else content
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        return folder

    return written


Seen = dict[str, tuple[tuple[str, ...], list[tuple[str, float, float, float, float]], str]]


@pytest.fixture
def read() -> Callable[..., tuple[Seen, dict[str, list[str]]]]:
    """Reads a source; gives labels, boxes and split of each image, and the names in each kind of finding."""

    def parsed(path: Path, layout: str) -> tuple[Seen, dict[str, list[str]]]:
        whole = parse(path, layout)
        seen = {
            item.name: (item.labels, [(b.label, b.x1, b.y1, b.x2, b.y2) for b in item.boxes], item.split)
            for item in whole.items
        }
        return seen, {finding.kind: list(finding.names) for finding in whole.findings}

    return parsed
