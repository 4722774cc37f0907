"""A model measured on any labelled images, through the path that answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import ConfigError, DataError, NotFoundError
from trunkline.core.types.scenario import Labels, Source

if TYPE_CHECKING:
    from trunkline.core.settings import Settings
    from trunkline.core.types.dataset import Dataset, Sample
    from trunkline.platform.line.workshop import Workshop

SPLITS = ("test", "train", "all")


def evaluate_bundle(ref: str, data: str, settings: Settings, *, split: str = "test") -> dict[str, Any]:
    """Measure a model on labelled images.

    Args:
        ref: A bundle file, or NAME[@VERSION|@ALIAS].
        data: A folder or file in any known layout, or the NAME[@VERSION] of a data set of this home.
        settings: The machine's settings.
        split: "test", "train" or "all"; "test" is all images where the data has no split.

    Returns:
        name, bundle, dataset, digest, split, images, metrics, intervals, per_class, confusion, notes, findings,
        warnings; JSON only.

    Raises:
        NotFoundError: When there is no such model or data.
        DataError: When there is no labelled image to measure on.
    """
    from trunkline.algorithms.heads import HEADS
    from trunkline.platform.line.gate import measure
    from trunkline.platform.line.workshop import Workshop
    from trunkline.platform.registry.bundle import read
    from trunkline.platform.registry.keys import trusted_keys
    from trunkline.platform.registry.registry import Registry
    from trunkline.platform.registry.use import trunk_of

    if split not in SPLITS:
        raise ConfigError(f"expected one of {', '.join(SPLITS)}, got {split!r}", where="--split")
    bundle = read(Registry(settings).resolve(ref), trusted=trusted_keys(settings.home))
    shop = Workshop(settings)
    dataset = _dataset(data, shop, bundle.task)
    samples = _samples(dataset, split)
    features = shop.features(trunk_of(bundle, settings.home))
    images = [sample.image for sample in samples]
    table = features.ensure(images, read=shop.images.read, dense=HEADS.load(bundle.task)().dense)
    metrics = measure(bundle.head, table, tuple(sample.labels for sample in samples)).metrics
    return {
        "name": bundle.name,
        "bundle": bundle.digest,
        "dataset": dataset.name,
        "digest": dataset.digest,
        "split": split,
        "images": len(samples),
        "metrics": metrics.values,
        "intervals": {name: list(pair) for name, pair in metrics.intervals.items()},
        "per_class": [row.to_json() for row in metrics.per_class],
        "confusion": metrics.confusion,
        "notes": metrics.notes,
        "findings": [finding.to_json() for finding in dataset.findings],
        "warnings": bundle.warnings,
    }


def _dataset(data: str, shop: Workshop, task: str) -> Dataset:
    """The data as the task sees it; what would be too little to learn from is enough to measure on."""
    from trunkline.platform.data.view import labelled

    path = Path(data)
    if path.exists():
        raw = shop.intake.take_in([Source(path=path.resolve())], name=path.resolve().name)
    else:
        try:
            raw = shop.data.by_ref(data)
        except NotFoundError as error:
            raise DataError(
                "expected a folder of images, or the name of a data set; there is neither",
                where=data,
                fix=error.fix,
            ) from error
    return labelled(raw, task, Labels())


def _samples(dataset: Dataset, split: str) -> tuple[Sample, ...]:
    chosen = dataset.samples if split == "all" else dataset.split(split)
    if not chosen and split == "test" and not any(sample.split for sample in dataset.samples):
        chosen = dataset.samples
    if not chosen:
        raise DataError(
            f"expected labelled images in the split {split!r}, found none",
            where=dataset.name,
            fix="try `--split all`, or see that the images have labels",
        )
    return chosen
