"""What `trunkline bench chip` measures on: models with their own images, or trunks with those that a home has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import NotFoundError
from trunkline.platform.bench.npu_pictures import even
from trunkline.platform.data.store import DataStore, ImageStore

if TYPE_CHECKING:
    from trunkline.algorithms.trunks import Trunk
    from trunkline.core.settings import Settings
    from trunkline.core.types.bundle import Bundle
    from trunkline.core.types.dataset import Dataset, Sample
    from trunkline.platform.bench.chip import Say, Work
    from trunkline.platform.engine.features import Read

CALIBRATION = 300
"""The most pictures to calibrate INT8 on: as many as NNCF takes by default; a minute of work."""
COMPARED = 64
"""Pictures on which features are compared where there are no models."""
_DEFAULT = "efficientnet-lite0"


def of_models(settings: Settings, refs: Sequence[str], say: Say) -> Iterator[Work]:
    """Models by their trunk, each with its frozen test set; all training images of a trunk's models calibrate it.

    Raises:
        NotFoundError: When nothing matches a reference.
        BundleError: When a bundle was changed, or its trunk is not on this machine.
    """
    from trunkline.platform.bench.chip import Work
    from trunkline.platform.registry.registry import Registry
    from trunkline.platform.registry.use import check_head, trunk_of

    registry, data, store = Registry(settings), DataStore(settings), ImageStore(settings.home)
    bundles = {bundle.digest: bundle for ref in refs for bundle in registry.open_many(ref)}
    trunks: dict[str, Trunk] = {}
    groups: dict[str, list[Bundle]] = {}
    for bundle in bundles.values():
        digest = bundle.trunk.digest
        if digest in trunks:
            check_head(bundle, trunks[digest].card)
        else:
            trunks[digest] = trunk_of(bundle, settings.home, say=say)
        groups.setdefault(digest, []).append(bundle)
    for digest, group in groups.items():
        found = [(bundle, _dataset(bundle, data)) for bundle in group]
        whole = [(bundle, dataset) for bundle, dataset in found if dataset and _here(dataset, store)]
        learned = dict.fromkeys(sample.image for _, dataset in whole for sample in dataset.split("train"))
        tested = [(bundle, _once(dataset.split("test"))) for bundle, dataset in whole]
        yield Work(
            trunk=trunks[digest],
            bundles=tested,
            lacking=[bundle for bundle, dataset in found if not dataset or not _here(dataset, store)],
            calibration=even(list(learned), CALIBRATION),
            compared=list(dict.fromkeys(sample.image for _, samples in tested for sample in samples)),
            read=store.read,
        )


def _dataset(bundle: Bundle, data: DataStore) -> Dataset | None:
    try:
        return data.by_digest(bundle.name, bundle.manifest.lineage.dataset)
    except NotFoundError:
        return None


def _here(dataset: Dataset, store: ImageStore) -> bool:
    """Whether the images of both parts are in this home; a frozen test set that has holes is another one."""
    learned, tested = dataset.split("train"), dataset.split("test")
    return bool(learned and tested) and all(store.has(sample.image) for sample in (*learned, *tested))


def _once(samples: Sequence[Sample]) -> list[Sample]:
    return list({sample.image: sample for sample in samples}.values())


def of_trunks(settings: Settings, specs: Sequence[str], images: Sequence[Path], say: Say) -> Iterator[Work]:
    """Trunks alone: those named, or all that are ready in this home, or the default one.

    Raises:
        NotFoundError: On an unknown trunk.
        DataError: When an image cannot be read.
    """
    from trunkline.algorithms.trunks import list_trunks, resolve
    from trunkline.platform.bench.chip import Work

    ready = [row["digest"] for row in list_trunks(settings.home) if row["state"] == "ready"]
    if images:
        digests, read = _files(images, settings)
    else:
        store = ImageStore(settings.home)
        digests, read = _kept(settings, store), store.read
    chosen = even(digests, CALIBRATION + COMPARED)
    learn = even(chosen, min(CALIBRATION, (len(chosen) + 1) // 2))
    for spec in specs or ready or (_DEFAULT,):
        yield Work(
            trunk=resolve(spec, settings.home, where="--trunk", say=say),
            calibration=learn,
            compared=[digest for digest in chosen if digest not in set(learn)],
            read=read,
        )


def _kept(settings: Settings, store: ImageStore) -> list[str]:
    """Images of the home's data sets, evenly from each."""
    data = DataStore(settings)
    names = data.names()
    found: dict[str, None] = {}
    for name in names:
        samples = [sample.image for sample in data.load(name).samples if store.has(sample.image)]
        found.update(dict.fromkeys(even(samples, -(-(CALIBRATION + COMPARED) // len(names)))))
    return list(found)


def _files(paths: Sequence[Path], settings: Settings) -> tuple[list[str], Read]:
    """Digests of images in files and folders, and how their bytes are read."""
    from trunkline.compute.sensors.folder import FolderSensor

    files = [file for path in paths for file in FolderSensor(path, max_pixels=settings.max_pixels).files]
    places = {digest_bytes(file.read_bytes()): file for file in even(files, CALIBRATION + COMPARED)}
    return list(places), lambda digests: ((digest, places[digest].read_bytes()) for digest in digests)
