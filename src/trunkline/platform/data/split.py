"""Splits that do not leak: near-duplicates stay on one side; stratified, seeded, independent of file order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from trunkline.core.types.dataset import Dataset, Finding, Sample
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.scenario import Split
from trunkline.platform.data.copies import ends_of, labels_of


def split(
    dataset: Dataset, table: FeatureTable, how: Split, groups: np.ndarray, *, frozen: Collection[str] = ()
) -> Dataset:
    """Put each image in "train" or "test".

    A split that the data brings is respected; leaks in it are reported. `frozen` images (the champion's test set, and
    what is nearly the same) are never trained on, so that versions can be compared on it.

    Args:
        dataset: As the task sees it.
        table: Features in the order of the samples.
        how: Share and seed.
        groups: Near-duplicate group of each sample, shape (n,).
        frozen: Digests of images that must be in the test split.
    """
    brought = any(sample.split == "test" for sample in dataset.samples)
    side = {}
    if brought:
        side = {i: sample.split or "train" for i, sample in enumerate(dataset.samples)}
        findings = _leaks(dataset, groups, side) + _learned_again(dataset, side, frozen)
    else:
        findings = []
        held = {int(groups[i]) for i, sample in enumerate(dataset.samples) if sample.image in frozen}
        for group, members in _members(groups).items():
            if group in held:
                side.update(dict.fromkeys(members, "test"))
        side |= _deal(dataset.samples, groups, how, side)
    samples = tuple(replace(sample, split=side[i]) for i, sample in enumerate(dataset.samples))
    return Dataset(dataset.name, 0, samples, dataset.labels, (*dataset.findings, *findings), dataset.format)


def _members(groups: np.ndarray) -> dict[int, list[int]]:
    members: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(groups.tolist()):
        members[group].append(index)
    return members


def _deal(samples: Sequence[Sample], groups: np.ndarray, how: Split, side: dict[int, str]) -> dict[int, str]:
    """Deal the groups that are not placed yet, label by label from the rarest, until each has its share of test images.

    Iterative stratification (Sechidis et al., 2011) on groups. The order is drawn from the images' digests, so that
    neither names nor the order of files matter.
    """
    members = {g: m for g, m in _members(groups).items() if m[0] not in side}
    total = Counter(label for sample in samples for label in sample.labels or ("",))
    tested = Counter(label for i in side for label in samples[i].labels or ("",))
    # At least two of a label are tested, and at least half are learned from.
    want = {label: min(max(2, round(how.test * count)), count // 2) for label, count in total.items()}
    rng = np.random.default_rng(how.seed)
    by_content = sorted(members, key=lambda g: min(samples[i].image for i in members[g]))
    order = [by_content[i] for i in rng.permutation(len(by_content))]
    result: dict[int, str] = {}
    for label in sorted(total, key=lambda name: (total[name], name)):
        # In the order drawn; a group that is larger than what is still wanted is passed over, or it would overshoot.
        candidates = [
            g for g in order if g in members and any(label in (samples[i].labels or ("",)) for i in members[g])
        ]
        for group in candidates:
            lack = want[label] - tested[label]
            if lack <= 0:
                break
            counts = Counter(name for i in members[group] for name in samples[i].labels or ("",))
            if counts[label] > max(lack, 1) or any(tested[x] + c > total[x] - 2 for x, c in counts.items()):
                continue
            result.update(dict.fromkeys(members.pop(group), "test"))
            tested.update(counts)
    for rest in members.values():
        result.update(dict.fromkeys(rest, "train"))
    return result


def _leaks(dataset: Dataset, groups: np.ndarray, side: dict[int, str]) -> list[Finding]:
    both = [m for m in _members(groups).values() if len({side[i] for i in m}) > 1]
    if not both:
        return []
    rows = [i for m in both for i in m]
    samples = [dataset.samples[i] for i in rows]
    text = (
        f"{len(both)} groups of (nearly) the same pictures are in both the training and the test part that the data "
        "brings: the measured figures are too good"
    )
    ends = ends_of([int(groups[i]) for i in rows])
    return [Finding.on("split-leak", "warning", text, samples, {"ends": ends, **labels_of(samples)})]


def _learned_again(dataset: Dataset, side: dict[int, str], frozen: Collection[str]) -> list[Finding]:
    samples = [s for i, s in enumerate(dataset.samples) if side[i] == "train" and s.image in frozen]
    if not samples:
        return []
    text = (
        f"{len(samples):,} images of the training part that the data brings are (nearly) the same as images that the "
        "champion was tested on: the comparison with it is too good"
    )
    return [Finding.on("frozen-leak", "warning", text, samples, labels_of(samples))]
