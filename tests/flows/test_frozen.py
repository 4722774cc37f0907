"""What a champion was tested on is not learned from by its successors, however it is saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Pictures
from trunkline.core.settings import load_settings
from trunkline.platform.data.store import DataStore

SAVED: dict[str, Callable[[Path], Any]] = {
    "beside the originals": lambda path: path.with_name(f"again-{path.name}"),
    "in their place": lambda path: path,
}


@pytest.mark.parametrize("case", SAVED)
def test_frozen_images_that_are_saved_again_are_tested_not_learned_from(
    case: str, trunkline: Any, write: Any, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    scenario = write("parts", folder)
    assert trunkline("build", scenario).status == 0
    store = DataStore(load_settings())
    frozen = [folder / sample.name for sample in store.load("parts").split("test")]
    copies = []
    for path in sorted(folder.rglob("*.png")):
        copy = SAVED[case](path)
        Image.open(path).save(copy, compress_level=0)
        copies += [copy] if path in frozen else []
    assert trunkline("build", scenario).status == 0
    sides = {sample.name: sample.split for sample in store.load("parts", 2).samples}
    assert {sides[path.relative_to(folder).as_posix()] for path in copies} == {"test"}
    assert "train" in sides.values()
