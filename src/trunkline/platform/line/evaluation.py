"""A model measured on any labelled images, through the path that answers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from trunkline.core.errors import BundleError, ConfigError, DataError, NotFoundError
from trunkline.core.types.scenario import Labels, Source

if TYPE_CHECKING:
    from trunkline.core.settings import Settings
    from trunkline.core.types.bundle import Bundle
    from trunkline.core.types.dataset import Dataset, Sample
    from trunkline.platform.line.workshop import Workshop

SPLITS = ("test", "train", "all")


@dataclass(frozen=True)
class Chosen:
    """What a model is measured on.

    Attributes:
        samples: The images.
        split: Where they are from: "test", "train" or "all".
        learned: How many of the images of that split the model learned from; None where nobody knows.
        left_out: Whether those were left out.
    """

    samples: tuple[Sample, ...]
    split: str
    learned: int | None
    left_out: bool

    @property
    def warning(self) -> str:
        """What to know about images that taught the model; "" where there is nothing."""
        if self.learned is None:
            return "the data set that the model learned from is not in this home: some of these images may be of it"
        if not self.learned:
            return ""
        if self.left_out:
            images = "1 image" if self.learned == 1 else f"{self.learned:,} images"
            return f"left out {images} that taught the model; `--split all` measures on them too"
        return f"{self.learned} of the {len(self.samples)} images taught the model: the figures flatter it"


def evaluate_bundle(ref: str, data: str, settings: Settings, *, split: str | None = None) -> dict[str, Any]:
    """Measure a model on labelled images.

    The images are seen as the model's scenario sees them: its `labels:` are applied, but to a data set that a build of
    the model itself has kept, whose labels are changed already.

    Args:
        ref: A bundle file, or NAME[@VERSION|@ALIAS].
        data: A folder or file in any known layout, or the NAME[@VERSION] of a data set of this home.
        settings: The machine's settings.
        split: "test", "train" or "all": that part as it is, with the images that the model learned from. None: the test
            part, or all images where the data has no split, without those that it learned from (told by their bytes).

    Returns:
        name, bundle, dataset, digest, split, images, learned (how many images of the split taught the model; None where
        nobody knows), left_out (how many of them were left out), metrics (None for a figure that could not be
        measured), intervals, per_class, confusion, notes, findings, warnings; JSON only.

    Raises:
        NotFoundError: When there is no such model or data.
        DataError: When there is no labelled image to measure on.
    """
    from trunkline.algorithms.heads import HEADS
    from trunkline.platform.data.view import truths
    from trunkline.platform.line.gate import measure
    from trunkline.platform.line.workshop import Workshop
    from trunkline.platform.registry.bundle import read
    from trunkline.platform.registry.keys import trusted_keys
    from trunkline.platform.registry.registry import Registry
    from trunkline.platform.registry.use import trunk_of

    if split is not None and split not in SPLITS:
        raise ConfigError(f"expected one of {', '.join(SPLITS)}, got {split!r}", where="--split")
    bundle = read(Registry(settings).resolve(ref), trusted=trusted_keys(settings.home))
    dense = HEADS.load(bundle.task, where=bundle.name)().dense  # says so when there is no such task
    shop = Workshop(settings)
    dataset = _dataset(data, shop, bundle)
    chosen = choose(dataset, split, _learned_from(bundle, shop))
    features = shop.features(trunk_of(bundle, settings.home))
    images = [sample.image for sample in chosen.samples]
    table = features.ensure(images, read=shop.images.read, dense=dense)
    row = measure(bundle.head, table, truths(bundle.task, chosen.samples)).metrics.to_json()
    return {
        "name": bundle.name,
        "bundle": bundle.digest,
        "dataset": dataset.name,
        "digest": dataset.digest,
        "split": chosen.split,
        "images": len(images),
        "learned": chosen.learned,
        "left_out": (chosen.learned or 0) if chosen.left_out else 0,
        "metrics": row.pop("values"),
        **row,
        "findings": [finding.to_json() for finding in dataset.findings],
        "warnings": [*bundle.warnings, *filter(None, [chosen.warning])],
    }


def _dataset(data: str, shop: Workshop, bundle: Bundle) -> Dataset:
    """The data as the model's scenario sees it; what would be too little to learn from is enough to measure on."""
    from trunkline.platform.data.view import labelled

    path = Path(data)
    labels = _labels(bundle)
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
        labels = Labels() if _kept_by_build(raw, bundle, shop) else labels
    return labelled(raw, bundle.task, labels)


def _kept_by_build(raw: Dataset, bundle: Bundle, shop: Workshop) -> bool:
    """Whether a build of the model, of any version, has kept the data set; a person may import one of the same name."""
    from trunkline.platform.registry.bundle import read
    from trunkline.platform.registry.registry import Registry

    if raw.name != bundle.name:
        return False
    if raw.digest == bundle.manifest.lineage.dataset:
        return True
    for version in reversed(Registry(shop.settings).versions(bundle.name)):
        with suppress(BundleError):  # lost or spoilt: it cannot say what it came from
            if read(version.path).manifest.lineage.dataset == raw.digest:
                return True
    return False


def _labels(bundle: Bundle) -> Labels:
    """The scenario's changes to labels; bundles of older versions do not carry them."""
    try:
        return Labels.model_validate(bundle.report.get("labels", {}))
    except ValidationError as error:
        raise BundleError("expected the scenario's `labels` in report.json", where=bundle.name) from error


def _learned_from(bundle: Bundle, shop: Workshop) -> frozenset[str] | None:
    """Digests of the images that a model learned from; None when their data set is not in this home."""
    try:
        taught = shop.data.by_digest(bundle.name, bundle.manifest.lineage.dataset)
    except NotFoundError:
        return None
    return frozenset(sample.image for sample in taught.split("train"))


def choose(dataset: Dataset, split: str | None, learned: frozenset[str] | None) -> Chosen:
    """The images to measure on.

    Args:
        dataset: As the task sees it.
        split: "test", "train", "all", or None: the test part or all, without what the model learned from.
        learned: Digests of the images that the model learned from; None where nobody knows.

    Raises:
        DataError: When there are none.
    """
    part = split or "test"
    if part == "test" and not any(sample.split for sample in dataset.samples):
        part = "all"
    samples = dataset.samples if part == "all" else dataset.split(part)
    if not samples:
        raise DataError(
            f"expected labelled images in the split {part!r}, found none",
            where=dataset.name,
            fix="try `--split all`, or see that the images have labels",
        )
    count = None if learned is None else sum(sample.image in learned for sample in samples)
    if split is not None or not count:
        return Chosen(samples, part, count, left_out=False)
    fresh = tuple(sample for sample in samples if sample.image not in (learned or ()))
    if not fresh:
        raise DataError(
            f"expected images that the model did not learn from; all {count} have taught it",
            where=dataset.name,
            fix="bring other images; `--split all` measures on these, and the figures then flatter the model",
        )
    return Chosen(fresh, part, count, left_out=True)
