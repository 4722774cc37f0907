"""Images of the same bytes: one stays, whatever the files are called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from trunkline.core.types.dataset import Finding, Sample


def merge_copies(samples: Sequence[Sample], *, together: bool) -> tuple[list[Sample], list[Finding]]:
    """Take files of the same bytes together, so that an image counts once and never stands on both sides of a split.

    Copies with the same labels: one stays. Copies with different labels: either their labels are put together, as in
    lists with a line for each label, or all of them are left out, since one of the labels is wrong and nothing says
    which; a finding shows them.

    Args:
        samples: As a task sees them.
        together: Whether an image may have several labels.
    """
    by_image: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_image[sample.image].append(sample)
    if len(by_image) == len(samples):
        return list(samples), []
    kept: list[Sample] = []
    copies: list[Sample] = []
    originals: list[str] = []
    torn: list[Sample] = []
    for same in by_image.values():
        if len({sample.labels for sample in same}) > 1 and not together:
            torn.extend(same)
        else:
            copies.extend(same[1:])
            originals.extend([same[0].name] * (len(same) - 1))
            kept.append(_merged(same))
    findings = []
    if copies:
        files = "1 file is a copy" if len(copies) == 1 else f"{len(copies):,} files are copies"
        text = f"{files} of another; each image counts once"
        findings.append(Finding.on("duplicate", "info", text, copies, {**labels_of(copies), "of": originals}))
    if torn:
        images = [sample.image for sample in torn]
        count = len(set(images))
        pictures = "1 picture stands" if count == 1 else f"{count:,} pictures stand"
        text = f"{pictures} under two labels; left out until it is known which one is right"
        detail = {**labels_of(torn), "ends": ends_of(images)}
        findings.append(Finding.on("same-picture-two-labels", "warning", text, torn, detail))
    return kept, findings


def _merged(same: Sequence[Sample]) -> Sample:
    first = same[0]
    if len(same) == 1:
        return first
    splits = {sample.split for sample in same}
    return replace(
        first,
        labels=tuple(label for sample in same for label in sample.labels),
        boxes=tuple(dict.fromkeys(box for sample in same for box in sample.boxes)),
        # A copy in both parts would leak: the image is learned from, and not tested.
        split=first.split if len(splits) == 1 else "train",
    )


def ends_of(groups: Sequence[object]) -> list[int]:
    """Where each run of equal entries ends, for the detail of a finding."""
    last = len(groups) - 1
    return [at + 1 for at, group in enumerate(groups) if at == last or group != groups[at + 1]]


def labels_of(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Labels of each sample as one text, for the detail of a finding."""
    return {"labels": [", ".join(sample.labels) for sample in samples]}
