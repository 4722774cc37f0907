"""What the commands `trunkline data ...` and the API do with data sets."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import ConfigError
from trunkline.core.types.dataset import Dataset, Sample
from trunkline.core.types.scenario import Source, check_name
from trunkline.platform.data import export as exporting
from trunkline.platform.data.intake import take_in
from trunkline.platform.data.store import DataStore
from trunkline.platform.tables import DamagedTableError

if TYPE_CHECKING:
    from trunkline.core.settings import Settings

_LOG = logging.getLogger(__name__)
Progress = Callable[[int, int], None]


def import_(
    sources: Sequence[Source], settings: Settings, *, name: str, progress: Progress | None = None
) -> dict[str, Any]:
    """Take sources in and keep them as the next version of a data set; unchanged content makes no version.

    Args:
        sources: Folders or lists in any known layout.
        settings: Home, threads, largest image.
        name: Name of the data set.
        progress: Told of files done and files in all.

    Returns:
        What `show` says of it.

    Raises:
        ConfigError: When the name cannot be one.
        DataError: When a layout is not known, or nothing readable is left.
        StorageError: When the disk is full.
    """
    try:
        check_name(name)
    except ValueError as error:
        raise ConfigError(str(error), where="--name") from error
    dataset = take_in(sources, settings, name=name, progress=progress)
    return _row(DataStore(settings).save(dataset))


def list_datasets(settings: Settings) -> list[dict[str, Any]]:
    """The newest version of each data set: name, version, images, labels (how many), digest.

    One that is damaged is warned of and left out.
    """
    store, sets = DataStore(settings), []
    for name in store.names():
        try:
            sets.append(store.load(name))
        except DamagedTableError as error:
            _LOG.warning("%s", error.message)
    return [
        {"name": s.name, "version": s.version, "images": len(s.samples), "labels": len(s.labels), "digest": s.digest}
        for s in sets
    ]


def show(ref: str, settings: Settings) -> dict[str, Any]:
    """What one data set holds: name, version, format, digest, images, boxes, labels, splits, findings.

    Args:
        ref: `NAME` or `NAME@VERSION`.
        settings: The home.

    Raises:
        NotFoundError: When there is none.
    """
    return _row(DataStore(settings).by_ref(ref))


def diff(first: str, second: str, settings: Settings) -> dict[str, Any]:
    """What a second data set has otherwise than a first; images are told by their content, not their names.

    Args:
        first: `NAME` or `NAME@VERSION`.
        second: The same.
        settings: The home.

    Returns:
        `first`, `second`, `same`, labels added and removed, and names of images: added, removed, relabelled, with other
        boxes, moved to another split.

    Raises:
        NotFoundError: When there is no such data set.
    """
    store = DataStore(settings)
    one, two = store.by_ref(first), store.by_ref(second)
    before, after = _by_image(one), _by_image(two)
    pairs = [(before[image], samples) for image, samples in after.items() if image in before]
    return {
        "first": f"{one.name}@{one.version}",
        "second": f"{two.name}@{two.version}",
        "same": one.digest == two.digest,
        "labels_added": sorted(set(two.labels) - set(one.labels)),
        "labels_removed": sorted(set(one.labels) - set(two.labels)),
        "added": _rest(after, before),
        "removed": _rest(before, after),
        "relabelled": _changed(pairs, lambda sample: sample.labels),
        "reboxed": _changed(pairs, lambda sample: sample.content()[2]),
        "moved_split": _changed(pairs, lambda sample: sample.split),
    }


def export(ref: str, out: Path, layout: str, settings: Settings) -> dict[str, Any]:
    """Write a data set to a folder that is empty or not there.

    Args:
        ref: `NAME` or `NAME@VERSION`.
        out: The folder.
        layout: Name of a layout.
        settings: Home of the images.

    Returns:
        name, version, format, images, and where it is.

    Raises:
        NotFoundError: When there is no such data set or layout.
        DataError: When the layout cannot hold all of it, or the folder is not empty.
        StorageError: When the disk is full or the place cannot be written.
    """
    dataset = DataStore(settings).by_ref(ref)
    exporting.export(dataset, out, layout, settings)
    return {
        "name": dataset.name, "version": dataset.version, "format": layout, "images": len(dataset.samples),
        "out": str(out),
    }  # fmt: skip


def _row(dataset: Dataset) -> dict[str, Any]:
    named = ({*sample.labels, *(box.label for box in sample.boxes)} for sample in dataset.samples)
    counts = Counter(label for labels in named for label in labels)
    return {
        "name": dataset.name,
        "version": dataset.version,
        "format": dataset.format,
        "digest": dataset.digest,
        "images": len(dataset.samples),
        "boxes": sum(len(sample.boxes) for sample in dataset.samples),
        "labels": {label: counts[label] for label in dataset.labels},
        "splits": dict(sorted(Counter(sample.split for sample in dataset.samples).items())),
        "findings": [finding.to_json() for finding in dataset.findings],
    }


def _by_image(dataset: Dataset) -> dict[str, list[Sample]]:
    """Samples by the image's digest; an image may be in a data set more than once."""
    made: dict[str, list[Sample]] = {}
    for sample in dataset.samples:
        made.setdefault(sample.image, []).append(sample)
    return made


def _rest(these: dict[str, list[Sample]], those: dict[str, list[Sample]]) -> list[str]:
    """Names of the samples, and copies, that only the first has."""
    return sorted(s.name for image, samples in these.items() for s in samples[len(those.get(image, ())) :])


def _changed(pairs: Iterable[tuple[list[Sample], list[Sample]]], what: Callable[[Sample], Any]) -> list[str]:
    """Names, in the second, of the images of which something is not the same in both."""
    return sorted(
        after[0].name for before, after in pairs
        if sorted({repr(what(s)) for s in before}) != sorted({repr(what(s)) for s in after})
    )  # fmt: skip
