"""Inspection: what a person should look at in a data set before trusting a model made from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from trunkline.core.types.dataset import Dataset, Finding, Sample, Severity
from trunkline.platform.data.alike import Alike
from trunkline.platform.data.copies import ends_of, labels_of

IMBALANCE = 10
"""The largest class has so many times the images of the smallest."""
FEW_TEST_IMAGES = 10
"""With fewer test images, even a perfect recall has a 95 % interval that reaches under 0.72 (Wilson, 1927)."""
SMALLEST_SIDE = 12
LONGEST_SHAPE = 20
"""Longer side over shorter: the trunk sees a square, and would see such an image as a blur."""
_MOST = 500  # images listed in one finding; its message says how many there are
_DOUBT = 0.5  # the other label is likelier than not
_UNLIKELY = 0.1  # and the given one is out of the question, so that a weak model does not doubt everything


def look(dataset: Dataset, alike: Alike) -> list[Finding]:
    """Findings on images and labels, before anything is fitted.

    Args:
        dataset: With its splits.
        alike: Near-duplicate groups of the n samples.
    """
    return [*_shapes(dataset), *_parted(dataset, alike), *_alike(dataset, alike.groups), *_balance(dataset)]


def held_back(dataset: Dataset, frozen: Collection[str], tested: Dataset | None) -> list[Finding]:
    """New images that are tested, and not learned from, as they are nearly the same as what the champion was tested on.

    Args:
        dataset: With its splits.
        frozen: Digests of images that are never learned from.
        tested: The data set that the champion was measured on; None without one.
    """
    known = {sample.image for sample in tested.samples} if tested else set()
    new = [sample for sample in dataset.split("test") if sample.image in frozen and sample.image not in known]
    if not new:
        return []
    count = _count(len(new), "new image is", "new images are")
    text = f"{count} nearly the same as one that the champion was tested on, and tested as well, not learned from"
    return [_finding("held-back", "info", text, new, labels_of(new[:_MOST]))]


def _parted(dataset: Dataset, alike: Alike) -> Iterable[Finding]:
    """Groups of near-duplicates that were too large to stay on one side of a split."""
    rows = [np.nonzero(alike.wide == number)[0] for number in np.unique(alike.wide[alike.wide != alike.groups])]
    if rows:
        parts = sum(len(np.unique(alike.groups[own])) for own in rows)
        several = [(at, [dataset.samples[row] for row in own]) for at, own in enumerate(rows)]
        text = (
            f"{sum(map(len, rows)):,} images are nearly the same in {_count(len(rows), 'group', 'groups')} of over a "
            f"tenth of all, as frames of a fixed camera are; parted into {parts:,} at higher similarities, so that "
            "the measured figures may be too good: bring a split by day or by camera"
        )
        yield _grouped("large-group", "warning", text, several)


def _shapes(dataset: Dataset) -> Iterable[Finding]:
    odd = [
        sample
        for sample in dataset.samples
        if sample.width
        and (
            min(sample.width, sample.height) < SMALLEST_SIDE
            or max(sample.width, sample.height) > LONGEST_SHAPE * min(sample.width, sample.height)
        )
    ]
    if odd:
        text = (
            f"{_count(len(odd), 'image has', 'images have')} an absurd size: a side under {SMALLEST_SIDE} pixels, or "
            f"one side over {LONGEST_SHAPE} times the other"
        )
        sizes = {"sizes": [f"{sample.width} x {sample.height}" for sample in odd[:_MOST]]}
        yield _finding("absurd-size", "warning", text, odd, sizes)


def _alike(dataset: Dataset, groups: np.ndarray) -> Iterable[Finding]:
    members: dict[int, list[Sample]] = defaultdict(list)
    for sample, group in zip(dataset.samples, groups.tolist(), strict=True):
        members[group].append(sample)
    several = [(group, same) for group, same in members.items() if len(same) > 1]
    if several:
        count = _count(sum(len(same) for _, same in several), "image is", "images are")
        text = f"{count} nearly the same as another, in {_count(len(several), 'group', 'groups')}"
        yield _grouped("near-duplicate", "info", f"{text}; a group is never parted by a split", several)
    torn = [(group, same) for group, same in several if len({s.labels for s in same}) > 1]
    if torn:
        text = f"{sum(len(same) for _, same in torn):,} images are nearly the same as one under another label"
        yield _grouped("same-picture-two-labels", "warning", text, torn)


def _grouped(kind: str, severity: Severity, message: str, several: Sequence[tuple[int, Sequence[Sample]]]) -> Finding:
    """A finding on groups of samples, which tells where each ends and what the pictures are labelled."""
    rows = [(group, sample) for group, same in several for sample in same]
    samples = [sample for _, sample in rows]
    ends = ends_of([group for group, _ in rows[:_MOST]])
    return _finding(kind, severity, message, samples, {"ends": ends, **labels_of(samples[:_MOST])})


def _balance(dataset: Dataset) -> Iterable[Finding]:
    counts = dataset.counts()
    if not counts:
        return
    most, least = (pick(counts, key=lambda label: (counts[label], label)) for pick in (max, min))
    if counts[least] and counts[most] >= IMBALANCE * counts[least]:
        text = f"{most} has {counts[most]} images and {least} has {counts[least]}"
        yield Finding("imbalance", "warning", text, detail={"counts": counts})
    tested = dataset.counts(dataset.split("test"))
    few = {label: count for label, count in tested.items() if count < FEW_TEST_IMAGES}
    if few:
        named = ", ".join(f"{label} ({count})" for label, count in sorted(few.items(), key=lambda row: row[1])[:12])
        text = f"too few test images to measure {_count(len(few), 'label', 'labels')} well: {named}"
        yield Finding("too-few", "warning", text, detail={"test_images": few, "wanted": FEW_TEST_IMAGES})


def doubtful_labels(samples: Sequence[Sample], labels: Sequence[str], scores: np.ndarray) -> list[Finding]:
    """Labels that are likely wrong, most likely first, from scores of a model that never saw the image.

    Confident learning (Northcutt, Jiang and Chuang, JAIR 2021): a label is doubted when the model gives another one at
    least the confidence that it has, on average, on images of that other label, and hardly any to the given one.

    Args:
        samples: n images with one label each.
        labels: The k labels, in the order of the columns.
        scores: Held-out probabilities of shape (n, k).
    """
    if not len(samples):
        return []
    index = {label: column for column, label in enumerate(labels)}
    given = np.array([index.get(sample.labels[0], -1) if sample.labels else -1 for sample in samples])
    known = given >= 0
    bars = np.full(len(labels), np.inf)
    for column in np.unique(given[known]).tolist():
        bars[column] = scores[given == column, column].mean()
    best = scores.argmax(axis=1)
    rows = np.arange(len(samples))
    own = scores[rows, np.maximum(given, 0)]
    doubted = known & (best != given) & (scores[rows, best] >= np.maximum(bars[best], _DOUBT)) & (own <= _UNLIKELY)
    order = sorted(np.nonzero(doubted)[0].tolist(), key=lambda row: (own[row] - scores[row, best[row]], row))
    if not order:
        return []
    chosen = [samples[row] for row in order]
    count = _count(len(order), "label is", "labels are")
    text = f"{count} likely wrong: the model, without having seen them, says another"
    detail = {
        "given": [samples[row].labels[0] for row in order[:_MOST]],
        "said": [labels[best[row]] for row in order[:_MOST]],
        "confidence": [round(float(scores[row, best[row]]), 3) for row in order[:_MOST]],
    }
    return [_finding("label-likely-wrong", "warning", text, chosen, detail)]


def doubtful_sets(samples: Sequence[Sample], labels: Sequence[str], scores: np.ndarray) -> list[Finding]:
    """As `doubtful_labels`, for images with any number of labels: each label is doubted by itself.

    Args:
        samples: n images.
        labels: The k labels, in the order of the columns.
        scores: Held-out probabilities of shape (n, k).
    """
    if not len(samples):
        return []
    has = np.array([[label in sample.labels for label in labels] for sample in samples])
    rows: dict[int, set[str]] = defaultdict(set)
    worst: Counter[int] = Counter()
    for column, label in enumerate(labels):
        with_it, without = scores[has[:, column], column], scores[~has[:, column], column]
        if not len(with_it) or not len(without):
            continue
        missed = ~has[:, column] & (scores[:, column] >= max(with_it.mean(), _DOUBT))
        extra = has[:, column] & (scores[:, column] <= min(without.mean(), 1 - _DOUBT))
        for row in np.nonzero(missed | extra)[0].tolist():
            rows[row].add(label)
            worst[row] = max(worst[row], int(1000 * abs(float(scores[row, column]) - float(has[row, column]))))
    if not rows:
        return []
    order = sorted(rows, key=lambda row: (-worst[row], row))
    count = _count(len(order), "image are", "images are")
    text = f"the labels of {count} likely wrong, says the model without having seen them"
    chosen = [samples[row] for row in order]
    said = [", ".join(sorted({*samples[row].labels} ^ rows[row])) for row in order[:_MOST]]
    detail = {"given": labels_of(chosen[:_MOST])["labels"], "said": said}
    return [_finding("label-likely-wrong", "warning", text, chosen, detail)]


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _finding(
    kind: str, severity: Severity, message: str, samples: Sequence[Sample], detail: Mapping[str, object] | None = None
) -> Finding:
    return Finding.on(kind, severity, message, samples[:_MOST], {"count": len(samples), **(detail or {})})
