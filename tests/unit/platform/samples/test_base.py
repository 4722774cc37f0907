from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trunkline.core.errors import DataError, MissingExtraError
from trunkline.platform.samples.base import Picture, SampleSet, package_file, png, publish


def pictures() -> Iterator[Picture]:
    for number in range(4):
        yield f"set/{'ab'[number % 2]}/{number}.png", np.full((5, 5), number, np.uint8)


def write(folder: Path, recipe: int = 1, source: object = pictures) -> dict[str, int]:
    return publish(folder, recipe, source, total=4)  # type: ignore[arg-type]


def test_writes_and_finds_again(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    assert write(folder) == {"set": 4}
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert write(folder, source=lambda: pytest.fail("made twice")) == {"set": 4}
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert np.asarray(Image.open(folder / "set/b/3.png")).tolist() == [[3] * 5] * 5


@pytest.mark.parametrize(
    ("harm", "recipe"),
    [
        (lambda folder: (folder / "set/a/0.png").unlink(), 1),
        (lambda folder: (folder / "set/a/0.png").write_bytes(b""), 1),
        (lambda folder: (folder / "about.json").write_text('{"recipe": 1,'), 1),
        (lambda folder: (folder / "set/a/0.png").write_bytes(png(np.ones((5, 5), np.uint8))), 2),
    ],
    ids=["lost", "emptied", "torn", "old recipe"],
)
def test_what_is_not_whole_is_made_anew(tmp_path: Path, harm: Callable[[Path], object], recipe: int) -> None:
    folder = tmp_path / "made"
    write(folder)
    harm(folder)
    assert write(folder, recipe=recipe) == {"set": 4}
    assert (folder / "set/a/0.png").read_bytes() == png(np.zeros((5, 5), np.uint8))


def test_a_fault_leaves_nothing_and_what_a_kill_left_is_removed(tmp_path: Path) -> None:
    def broken() -> Iterator[Picture]:
        yield from list(pictures())[:2]
        raise DataError("no more")

    (tmp_path / ".made.0123.part" / "set").mkdir(parents=True)
    with pytest.raises(DataError):
        write(tmp_path / "made", source=broken)
    assert list(tmp_path.iterdir()) == []


def test_package_files() -> None:
    assert package_file("trunkline", "core/errors.py", "build", "this").name == "errors.py"
    with pytest.raises(MissingExtraError, match=r"trunkline\[samples\]"):
        package_file("no_such_package_here", "x", "samples", "this")
    with pytest.raises(DataError, match="does not carry"):
        package_file("trunkline", "core/none.py", "build", "this")


def test_an_empty_set_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one image"):
        SampleSet("s", "classify", Path("s"), 0, "", "", "o")
