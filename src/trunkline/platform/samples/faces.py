"""Faces and what is no face, that scikit-image carries: 200 crops of Labeled Faces in the Wild."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.core.errors import DataError
from trunkline.platform.samples.base import Picture, Progress, SampleSet, package_file, publish
from trunkline.platform.samples.cut import classes

if TYPE_CHECKING:
    from trunkline.core.types.scenario import Scenario

_RECIPE = 1
_SOURCE = "scikit-image's lfw_subset: G. B. Huang et al., Labeled Faces in the Wild, 2007; 25x25 pixels, grey"
_LICENCE = "as scikit-image's lfw_subset; Labeled Faces in the Wild names no licence"


class LfwFaces:
    """100 faces and 100 crops of backgrounds, 25x25 pixels."""

    def collect(self, into: Path, progress: Progress | None = None) -> list[SampleSet]:
        """Write the crops as PNG images.

        Raises:
            MissingExtraError: When scikit-image is not installed.
            DataError: When its file of faces is not what it was.
        """
        path = package_file("skimage", "data/lfw_subset.npy", "samples", "the sample 'lfw-faces'")
        root = into / "lfw-faces"
        counts = publish(root, _RECIPE, lambda: _pictures(path), total=200, progress=progress)
        return [SampleSet("faces", "classify", root / "faces", counts["faces"], _LICENCE, _SOURCE, "lfw-faces")]

    def scenarios(self, sets: Sequence[SampleSet]) -> list[Scenario]:
        """Face or not."""
        return [classes(s, "face-or-not", ("face", "no-face"), 100) for s in sets]


def _pictures(path: Path) -> Iterator[Picture]:
    import numpy as np

    try:
        crops = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"expected an array of faces: {error}", where=path.name) from error
    if crops.shape != (200, 25, 25):
        raise DataError(f"expected 200 crops of 25x25, got an array of shape {crops.shape}", where=path.name)
    top = 255 if crops.max() <= 1 else 1  # versions differ in the scale: 0 to 1, or 0 to 255
    for number, crop in enumerate(np.clip(np.round(crops * top), 0, 255).astype(np.uint8)):
        yield f"faces/{'face' if number < 100 else 'no-face'}/{number:03}.png", crop
