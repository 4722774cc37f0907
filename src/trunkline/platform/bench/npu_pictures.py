"""Pictures to calibrate `npu-int8` on, and others to compare it on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from trunkline.core.errors import InputError, NotFoundError

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.trunks import TrunkCard
    from trunkline.core.settings import Settings
    from trunkline.core.types.bundle import Bundle
    from trunkline.core.types.dataset import Dataset, Sample

_T = TypeVar("_T")
CALIBRATION = 16
"""Pictures that ranges and mean errors are taken from; on NEU-DET 48 gave features no closer than 8."""
COMPARED = 32
"""Other pictures on which features are compared."""
TESTED = 500
"""The most of a frozen test set that is run."""


@dataclass(frozen=True)
class Pictures:
    """Preprocessed pictures.

    Attributes:
        calibration: uint8 (n, size, size, 3).
        compared: uint8 (m, size, size, 3), others than those to calibrate on.
        samples: The frozen test set of a model, or an even choice from it; the first of `compared` are pictures of
            these, in order. Empty where there is none in this home.
    """

    calibration: np.ndarray
    compared: np.ndarray
    samples: tuple[Sample, ...] = ()


def from_files(paths: Sequence[Path], card: TrunkCard, settings: Settings) -> Pictures:
    """Pictures from images and folders: an even choice, every second to calibrate on.

    Raises:
        DataError: When one cannot be read.
        InputError: When there are fewer than two.
    """
    from trunkline.compute.sensors.folder import FolderSensor

    files = [file for path in paths for file in FolderSensor(path, max_pixels=settings.max_pixels).files]
    if len(files) < 2:
        raise InputError(
            f"expected at least two images, one to calibrate on and one to compare on, got {len(files)}",
            where="images",
            fix=f"name more images, or a folder; {CALIBRATION + COMPARED} are used",
        )
    chosen = even(files, CALIBRATION + COMPARED)
    count = min(CALIBRATION, len(chosen) // 2)
    learn = even(chosen, count)
    rest = [path for path in chosen if path not in learn]

    def pictures(some: Sequence[Path]) -> np.ndarray:
        readings = (next(iter(FolderSensor(path, max_pixels=settings.max_pixels))) for path in some)
        return _stack((reading.pixels for reading in readings), card)

    return Pictures(pictures(learn), pictures(rest))


def from_home(bundle: Bundle, card: TrunkCard, settings: Settings) -> Pictures | None:
    """Pictures that a model learned from to calibrate on, and its frozen test set; None when they are not in this home.

    Raises:
        DataError: When one cannot be read.
    """
    from trunkline.platform.data.store import DataStore, ImageStore
    from trunkline.platform.engine.predictor import pixels_of

    dataset: Dataset | None = None
    with suppress(NotFoundError):
        dataset = DataStore(settings).by_digest(bundle.name, bundle.manifest.lineage.dataset)
    store = ImageStore(settings.home)
    if dataset is None:
        return None
    learn = even([s for s in dataset.split("train") if store.has(s.image)], CALIBRATION)
    test = even([s for s in dataset.split("test") if store.has(s.image)], TESTED)
    if not learn or not test:
        return None

    def pictures(samples: Sequence[Sample]) -> np.ndarray:
        found = store.read([sample.image for sample in samples])
        return _stack((pixels_of(data, max_pixels=settings.max_pixels) for _, data in found), card)

    return Pictures(pictures(learn), pictures(test), tuple(test))


def even(rows: Sequence[_T], count: int) -> list[_T]:
    """At most so many rows, evenly spaced."""
    if len(rows) <= count:
        return list(rows)
    return [rows[at * len(rows) // count] for at in range(count)]


def _stack(pictures: Iterable[np.ndarray], card: TrunkCard) -> np.ndarray:
    import numpy as np
    from PIL import Image

    from trunkline.algorithms.trunks import preprocess

    return np.stack([preprocess(Image.fromarray(pixels), card) for pixels in pictures])
