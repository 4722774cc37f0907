"""Damaged files of a home: what can be made again is, with a warning; what cannot is named, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Pictures


def cut(folder: Path, pattern: str) -> None:
    for file in folder.glob(pattern):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(folder: Path, pattern: str) -> None:
    """Change some bytes in the middle of each file, where the values are; the file can still be read."""
    for file in folder.glob(pattern):
        data = bytearray(file.read_bytes())
        middle = slice(len(data) // 4, len(data) // 2)
        data[middle] = bytes(byte ^ 1 for byte in data[middle])
        file.write_bytes(data)


@pytest.fixture
def built(trunkline: Any, write: Any, tmp_path: Path, pictures: Pictures) -> list[Path]:
    """Two scenarios, both built, the first of which has a new image since."""
    scenarios = [
        write(name, pictures.folder(tmp_path / name, labels, 10))
        for name, labels in (("parts", ("a", "b")), ("others", ("c", "a")))
    ]
    assert trunkline("build", *scenarios).status == 0
    (tmp_path / "parts" / "a" / "new.png").write_bytes(pictures.encode(99))
    return scenarios


DAMAGE: dict[str, Callable[[Path], object]] = {
    "images": lambda home: cut(home / "images.lance", "data/*"),
    "features": lambda home: cut(home, "features/*.lance/data/*"),
    "the manifests of features": lambda home: cut(home, "features/*.lance/_versions/*"),
    "all data sets": lambda home: cut(home, "datasets/*.lance/*/*"),
    "what intake remembers": lambda home: cut(home, "intake/*.json"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_build_on_a_damaged_home_goes_on(case: str, built: list[Path], trunkline: Any, home: Path) -> None:
    DAMAGE[case](home)
    again = trunkline("build", *built, "--json")
    assert again.status == 0, again.err
    assert [(row["scenario"], row["status"]) for row in again.rows] == [("parts", "passed"), ("others", "unchanged")]


@pytest.mark.parametrize("patterns", [["images.lance"], ["features/*.lance"], ["features/*.lance", "images.lance"]])
def test_a_build_on_bytes_that_were_changed_makes_them_again(
    patterns: list[str], built: list[Path], trunkline: Any, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "others" / "a" / "new.png").write_bytes((tmp_path / "parts" / "a" / "new.png").read_bytes())
    for pattern in patterns:
        flip(home, f"{pattern}/data/*")
    again = trunkline("build", *built, "--json")
    assert again.status == 0, again.err
    assert [(row["scenario"], row["status"]) for row in again.rows] == [("parts", "passed"), ("others", "passed")]
    assert [len(list(home.glob(pattern.replace(".lance", "-damaged-*")))) for pattern in patterns] == [1] * len(
        patterns
    )


def test_a_damaged_data_set_is_named_and_the_others_are_listed(built: list[Path], trunkline: Any, home: Path) -> None:
    cut(home, "datasets/parts.lance/_versions/*")
    listed = trunkline("data", "ls", "--json")
    assert (listed.status, [row["name"] for row in listed.rows]) == (0, ["others"])
    shown = trunkline("data", "show", "parts")
    assert (shown.status, "the data set 'parts': files of this table are damaged" in shown.err) == (2, True)
    assert "trunkline data import FOLDER --name parts" in shown.err.replace("\n", " ")
