"""A data set as one task sees it: one label an image, a set of labels, or good and anomaly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

from trunkline.core.errors import DataError
from trunkline.core.types.dataset import Box, Boxed, Dataset, Finding, Sample, Truth
from trunkline.core.types.scenario import Labels
from trunkline.platform.data.copies import merge_copies

GOOD, ANOMALY = "good", "anomaly"
_LEAST = 4
"""Images a class must have: with fewer there is nothing to learn from once some are put aside for the gate."""


def for_task(dataset: Dataset, task: str, labels: Labels) -> Dataset:
    """The data set as `labelled` gives it, when a model can be learned from it.

    Classes of fewer than four images are left out and reported, as long as enough others stay.

    Raises:
        DataError: When what is left cannot be learned from, with what to do.
    """
    seen = labelled(dataset, task, labels)
    checks: dict[str, Callable[[Dataset, Labels], Dataset]] = {
        "classify": _enough_classes,
        "multilabel": _enough_labels,
        "anomaly": _enough_good,
        "detect": _enough_boxes,
    }
    return checks[task](seen, labels)


def labelled(dataset: Dataset, task: str, labels: Labels) -> Dataset:
    """The data set with the labels that a task needs; boxes become labels of the whole image.

    - `classify`: the image's own label; of boxes, the label with the largest boxed area.
    - `multilabel`: the image's own labels and those of its boxes.
    - `anomaly`: `good` for the labels that `labels.good` names, else `anomaly`.
    - `detect`: those of its boxes; what is said of the whole image is not looked at.

    Images without a label are left out (`multilabel` takes them as having none, `detect` as having nothing in them) and
    reported; copies count once.
    """
    changed = [_relabel(sample, labels) for sample in dataset.samples]
    views: dict[str, Callable[[list[Sample], Labels], tuple[list[Sample], list[Finding]]]] = {
        "classify": _classify,
        "multilabel": _multilabel,
        "anomaly": _anomaly,
        "detect": _detect,
    }
    samples, findings = views[task](changed, labels)
    kept, doubles = merge_copies(samples, together=task in ("multilabel", "detect"))
    space = (GOOD, ANOMALY) if task == "anomaly" else tuple(sorted({name for s in kept for name in s.labels}))
    return _made(dataset, kept, space, [*dataset.findings, *findings, *doubles])


def _relabel(sample: Sample, labels: Labels) -> Sample:
    if not labels.rename and not labels.ignore:
        return sample
    new = (labels.rename.get(label, label) for label in sample.labels)
    boxes = (replace(box, label=labels.rename.get(box.label, box.label)) for box in sample.boxes)
    return replace(
        sample,
        labels=tuple(label for label in new if label not in labels.ignore),
        boxes=tuple(box for box in boxes if box.label not in labels.ignore),
    )


def _classify(samples: list[Sample], _: Labels) -> tuple[list[Sample], list[Finding]]:
    chosen, several, unlabelled = [], [], []
    for sample in samples:
        areas: dict[str, float] = defaultdict(float)
        for box in sample.boxes:
            areas[box.label] += box.area
        own = set(sample.labels)
        if len(own) > 1 or (not own and len(areas) > 1):
            several.append(sample)
        if own:
            label = max(sorted(own), key=lambda name: areas.get(name, 0.0))
        elif areas:
            label = max(sorted(areas), key=lambda name: areas[name])
        else:
            unlabelled.append(sample)
            continue
        chosen.append(replace(sample, labels=(label,)))
    findings = []
    if several:
        text = f"{len(several)} images have several labels; the one with the largest boxed area was taken"
        findings.append(Finding.on("several-labels", "info", text, several))
    return chosen, [*findings, *_unlabelled(unlabelled)]


def _multilabel(samples: list[Sample], _: Labels) -> tuple[list[Sample], list[Finding]]:
    return [replace(s, labels=(*s.labels, *(box.label for box in s.boxes))) for s in samples], []


def _anomaly(samples: list[Sample], labels: Labels) -> tuple[list[Sample], list[Finding]]:
    good = {name.casefold() for name in labels.good}
    unlabelled = [s for s in samples if not s.labels and not s.boxes]
    rest = [s for s in samples if s.labels or s.boxes]
    if not rest:  # a flat folder of good images is how most people begin
        return [replace(s, labels=(GOOD,)) for s in unlabelled], []
    judged = [
        replace(s, labels=(GOOD if not s.boxes and all(x.casefold() in good for x in s.labels) else ANOMALY,))
        for s in rest
    ]
    return judged, _unlabelled(unlabelled)


def _detect(samples: list[Sample], _: Labels) -> tuple[list[Sample], list[Finding]]:
    """Boxes cut to their images; what is left of no size is left out."""
    kept, outside = [], []
    for sample in samples:
        boxes = tuple(cut for box in sample.boxes if (cut := _inside(box, sample)) is not None)
        if boxes != sample.boxes:
            outside.append(sample)
        kept.append(replace(sample, labels=tuple(box.label for box in boxes), boxes=boxes))
    if not outside:
        return kept, []
    text = (
        f"boxes of {len(outside)} images reach out of them: they were cut, or left out where nothing of them is inside"
    )
    return kept, [Finding.on("boxes-outside", "warning", text, outside)]


def _inside(box: Box, sample: Sample) -> Box | None:
    if not (sample.width and sample.height):  # not known
        return box
    x1, y1 = max(0.0, box.x1), max(0.0, box.y1)
    x2, y2 = min(float(sample.width), box.x2), min(float(sample.height), box.y2)
    if x1 >= x2 or y1 >= y2:
        return None
    return box if (x1, y1, x2, y2) == (box.x1, box.y1, box.x2, box.y2) else replace(box, x1=x1, y1=y1, x2=x2, y2=y2)


def truths(task: str, samples: Sequence[Sample]) -> tuple[Truth, ...]:
    """What is true of images, as a task has it."""
    if task == "detect":
        return tuple(Boxed(sample.width, sample.height, sample.boxes) for sample in samples)
    return tuple(sample.labels for sample in samples)


def _enough_boxes(dataset: Dataset, _: Labels) -> Dataset:
    counts = Counter(label for sample in dataset.samples for label in sample.labels)
    few = _few(counts)
    if not counts or len(few) == len(counts):
        named = ", ".join(f"{label!r} is in {counts[label]}" for label in few[:8]) or "there are no boxes"
        raise DataError(
            f"expected boxes of a label in at least {_LEAST} images, but {named}",
            where=dataset.name,
            fix="bring boxes (VOC, COCO, YOLO), or use `task: classify`, which needs none",
        )
    if few:
        left = [sample for sample in dataset.samples if set(sample.labels) & set(few)]
        kept = [
            replace(
                sample,
                labels=tuple(label for label in sample.labels if label not in few),
                boxes=tuple(box for box in sample.boxes if box.label not in few),
            )
            for sample in dataset.samples
        ]
        space = tuple(sorted(set(counts) - set(few)))
        dataset = _made(dataset, kept, space, [*dataset.findings, _left_out(few, left)])
    none = [sample for sample in dataset.samples if not sample.boxes]
    if not none:
        return dataset
    found = Finding.on("no-boxes", "info", f"{len(none)} images have no boxes: they teach what is not one", none)
    return replace(dataset, findings=(*dataset.findings, found))


def _enough_classes(dataset: Dataset, _: Labels) -> Dataset:
    counts = Counter(sample.labels[0] for sample in dataset.samples)
    few = _few(counts)
    if not few or len(counts) - len(few) < 2:
        _enough(dataset, counts)
        return dataset
    kept = [sample for sample in dataset.samples if sample.labels[0] not in few]
    left = [sample for sample in dataset.samples if sample.labels[0] in few]
    return _made(dataset, kept, tuple(sorted(set(counts) - set(few))), [*dataset.findings, _left_out(few, left)])


def _enough_labels(dataset: Dataset, _: Labels) -> Dataset:
    counts = Counter(label for sample in dataset.samples for label in sample.labels)
    few = _few(counts)
    if few and len(few) < len(counts):
        left = [sample for sample in dataset.samples if set(sample.labels) & set(few)]
        kept = [replace(s, labels=tuple(x for x in s.labels if x not in few)) for s in dataset.samples]
        space = tuple(sorted(set(counts) - set(few)))
        dataset = _made(dataset, kept, space, [*dataset.findings, _left_out(few, left)])
        counts = Counter(label for sample in kept for label in sample.labels)
    elif few or not counts:
        _enough(dataset, counts)
    none = [sample for sample in dataset.samples if not sample.labels]
    if len(counts) == 1 and not none:
        raise DataError(
            f"expected images with and without {next(iter(counts))!r}, got only images with it",
            where=dataset.name,
            fix="add images without the label, or use `task: anomaly`",
        )
    if not none:
        return dataset
    found = Finding.on("no-label", "info", f"{len(none)} images have none of the labels", none)
    return replace(dataset, findings=(*dataset.findings, found))


def _enough_good(dataset: Dataset, labels: Labels) -> Dataset:
    good = sum(sample.labels == (GOOD,) for sample in dataset.samples)
    if good < 2 * _LEAST:
        raise DataError(
            f"expected at least {2 * _LEAST} good images, got {good} (labels that mean good: {', '.join(labels.good)})",
            where=dataset.name,
            fix="add good images, or name their label under `labels: {good: [...]}`",
        )
    return dataset


def _enough(dataset: Dataset, counts: Counter[str]) -> None:
    if not counts:
        raise DataError(
            f"expected labelled images, got {len(dataset.samples)} with a label",
            where=dataset.name,
            fix="put them in one folder a class, or name the folder's layout with `format`; images of good parts alone "
            "are for `task: anomaly`",
        )
    if len(counts) == 1 and not _few(counts):
        raise DataError(
            f"expected at least 2 classes, got one: {next(iter(counts))!r}",
            where=dataset.name,
            fix="add images of another class, or use `task: anomaly`, which learns from good images alone",
        )
    if _few(counts):
        text = ", ".join(f"{label!r} has {counts[label]}" for label in _few(counts)[:8])
        raise DataError(
            f"expected at least 2 classes of {_LEAST} images, but {text}",
            where=dataset.name,
            fix="add images of these classes",
        )


def _few(counts: Counter[str]) -> list[str]:
    return sorted(label for label, count in counts.items() if count < _LEAST)


def _left_out(few: Sequence[str], samples: Sequence[Sample]) -> Finding:
    text = f"{', '.join(few)}: fewer than {_LEAST} images, left out; add images to have them"
    return Finding.on("class-left-out", "warning", text, samples)


def _unlabelled(samples: Sequence[Sample]) -> list[Finding]:
    if not samples:
        return []
    return [Finding.on("unlabelled", "warning", f"{len(samples)} images have no label and were left out", samples)]


def _made(dataset: Dataset, samples: Sequence[Sample], labels: tuple[str, ...], findings: Sequence[Finding]) -> Dataset:
    return Dataset(dataset.name, 0, tuple(samples), labels, tuple(findings), dataset.format)
