"""Surfaces that scikit-image carries, cut into tiles that do not overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.core.errors import DataError
from trunkline.core.images import decode
from trunkline.platform.samples.base import Picture, Progress, SampleSet, package_file, publish
from trunkline.platform.samples.cut import Row, images_of, listed, stranger

if TYPE_CHECKING:
    from trunkline.core.types.scenario import Scenario

_RECIPE = 1
_SIDE, _TILE = 512, 64
_TEST_COLUMN = 6  # of 8: tiles right of here are the test, so that no test tile lies among tiles that are learnt from
_SURFACES = {
    "brick": "brick.png", "grass": "grass.png", "gravel": "gravel.png",
    "stars": "hubble_deep_field.jpg", "tissue": "ihc.png",
}  # fmt: skip
_SOURCE = (
    "scikit-image's brick, grass, gravel (CC0), Hubble deep field (NASA) and immunohistochemistry (CMMI); grey tiles"
)
_LICENCE = "CC0-1.0 and public domain"


class Textures:
    """Five surfaces, 64 tiles of 64x64 pixels each, grey so that the texture alone tells them apart."""

    def collect(self, into: Path, progress: Progress | None = None) -> list[SampleSet]:
        """Write the tiles as PNG images.

        Raises:
            MissingExtraError: When scikit-image is not installed.
            DataError: When a picture is missing from it or is smaller than it was.
        """
        paths = {
            label: package_file("skimage", f"data/{name}", "samples", "the sample 'textures'")
            for label, name in _SURFACES.items()
        }
        root = into / "textures"
        total = len(paths) * (_SIDE // _TILE) ** 2
        counts = publish(root, _RECIPE, lambda: _tiles(paths), total=total, progress=progress)
        return [SampleSet("textures", "classify", root / "textures", counts["textures"], _LICENCE, _SOURCE, "textures")]

    def scenarios(self, sets: Sequence[SampleSet]) -> list[Scenario]:
        """All surfaces, each against the rest, and what is foreign on one of them."""
        found: list[Scenario] = []
        for sample in sets:
            images = images_of(sample)
            rows = {label: [Row(p, (label,), _split(p)) for p in paths] for label, paths in images.items()}
            found.append(listed(sample, "which-surface", "classify", [row for r in rows.values() for row in r]))
            for label in images:
                rest = [Row(row.path, (f"not-{label}",), row.split) for o in images if o != label for row in rows[o]]
                found.append(listed(sample, f"{label}-or-not", "classify", [*rows[label], *rest]))
            for good in ("grass", "gravel"):
                others = [label for label in images if label != good]
                name = f"foreign-matter-on-{good}"
                found.append(stranger(sample, name, good, others=others, counts=(48, 16, 8, 48)))
        return found


def _split(path: str) -> str:
    column = int(Path(path).stem.split("-")[0])
    return "test" if column >= _TEST_COLUMN else "train"


def _tiles(paths: dict[str, Path]) -> Iterator[Picture]:
    import numpy as np

    for label, path in paths.items():
        grey = np.asarray(decode(path.read_bytes(), max_pixels=10_000_000).convert("L"))
        if min(grey.shape) < _SIDE:
            raise DataError(f"expected at least {_SIDE}x{_SIDE} pixels, got {grey.shape}", where=path.name)
        for column in range(_SIDE // _TILE):
            for row in range(_SIDE // _TILE):
                tile = grey[row * _TILE : (row + 1) * _TILE, column * _TILE : (column + 1) * _TILE]
                yield f"textures/{label}/{column}-{row}.png", tile  # sorted by name: column by column, left to right
