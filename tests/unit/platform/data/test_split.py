"""Splits keep near-duplicates together, are stratified and seeded, and do not depend on the order of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from trunkline.core.digest import digest_json
from trunkline.core.types.dataset import Dataset, Sample
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.scenario import Split
from trunkline.platform.data.split import split


def samples(*labels: Sequence[str], split: str = "") -> list[Sample]:
    return [Sample(digest_json([at, *names]), f"{at}.png", tuple(names), (), split) for at, names in enumerate(labels)]


def features(rows: Sequence[Sample]) -> FeatureTable:
    return FeatureTable(tuple(s.image for s in rows), np.zeros((len(rows), 2), np.float32), "t" * 64)


def parted(
    rows: Sequence[Sample], groups: Sequence[int] | None = None, how: Split | None = None, **more: object
) -> Dataset:
    numbers = np.arange(len(rows)) if groups is None else np.array(groups)
    dataset = Dataset("parts", 0, tuple(rows))
    return split(dataset, features(rows), how or Split(), numbers, **more)  # type: ignore[arg-type]


def in_test(dataset: Dataset) -> Counter[str]:
    return Counter(label for sample in dataset.split("test") for label in sample.labels or ("",))


SHARES = {
    "a quarter": (Split(), {"a": 10, "b": 5}), "half": (Split(test=0.5), {"a": 20, "b": 10}),
    "a little": (Split(test=0.01), {"a": 2, "b": 2}),
}  # fmt: skip


@pytest.mark.parametrize("case", SHARES)
def test_each_label_has_its_share_and_at_least_half_is_learned_from(case: str) -> None:
    how, expected = SHARES[case]
    dataset = parted(samples(*[["a"]] * 40, *[["b"]] * 20), how=how)
    assert in_test(dataset) == expected
    assert {sample.split for sample in dataset.samples} == {"train", "test"}


def test_the_smallest_class_is_on_both_sides() -> None:
    dataset = parted(samples(*[["a"]] * 4, *[["b"]] * 100))
    assert in_test(dataset)["a"] == 2


def test_images_with_several_labels_and_none_are_stratified() -> None:
    dataset = parted(samples(*[["a", "b"]] * 16, *[["b"]] * 16, *[[]] * 16))
    counts = in_test(dataset)
    assert (counts[""], counts["b"]) == (4, 8)
    assert 4 <= counts["a"] <= 6  # what "b" still lacks may come with an "a"


def test_near_duplicates_stay_on_one_side() -> None:
    groups = [at // 5 for at in range(60)]
    dataset = parted(samples(*[["a"]] * 30, *[["b"]] * 30), groups)
    sides = [{dataset.samples[at].split for at in range(60) if groups[at] == group} for group in range(12)]
    assert all(len(side) == 1 for side in sides)
    assert {"a", "b"} == set(in_test(dataset))


def test_a_group_that_is_most_of_a_class_is_learned_from() -> None:
    dataset = parted(samples(*[["a"]] * 20, *[["b"]] * 20), [0] * 15 + list(range(1, 26)))
    assert {sample.split for sample in dataset.samples[:15]} == {"train"}
    assert in_test(dataset)["a"] == 5


def test_a_seed_gives_one_split_and_another_seed_another() -> None:
    rows = samples(*[["a"]] * 40, *[["b"]] * 40)
    digests = [parted(rows, how=Split(seed=seed)).digest for seed in (0, 0, 1, 2)]
    assert (digests[0] == digests[1], len(set(digests))) == (True, 3)


def test_neither_order_nor_names_matter() -> None:
    rows = samples(*[["a"]] * 30, *[["b"]] * 30)
    groups = [at // 2 for at in range(60)]
    order = np.random.default_rng(3).permutation(60).tolist()
    turned = [Sample(rows[at].image, f"other {at}.png", rows[at].labels) for at in order]
    assert parted(turned, [100 - groups[at] for at in order]).digest == parted(rows, groups).digest


def test_a_split_that_is_brought_is_kept() -> None:
    rows = [
        *samples(["a"], ["a"], split="test"),
        *samples(["a"], ["b"], ["b"], split="train")[2:],
        *samples(*[["b"]] * 6)[5:],
    ]
    dataset = parted(rows)
    assert [sample.split for sample in dataset.samples] == ["test", "test", "train", "train"]
    assert dataset.findings == ()


def test_a_training_part_alone_is_split_like_any_other() -> None:
    assert in_test(parted(samples(*[["a"]] * 20, *[["b"]] * 20, split="train"))) == {"a": 5, "b": 5}


def test_a_leak_in_a_split_that_is_brought_is_said() -> None:
    rows = [Sample(digest_json(at), f"{at}.png", ("a",), (), "test" if at < 3 else "train") for at in range(8)]
    dataset = parted(rows, [0, 1, 2, 0, 4, 4, 2, 7])
    (leak,) = dataset.findings
    assert (leak.kind, leak.severity, leak.names) == ("split-leak", "warning", ("0.png", "3.png", "2.png", "6.png"))
    assert leak.images == tuple(digest_json(at) for at in (0, 3, 2, 6))
    assert leak.detail == {"ends": [2, 4], "labels": ["a"] * 4}
    assert leak.message.startswith("2 groups of (nearly) the same pictures")
    assert [sample.split for sample in dataset.samples] == [row.split for row in rows]


def test_what_a_champion_was_tested_on_is_never_learned_from() -> None:
    rows = samples(*[["a"]] * 20, *[["b"]] * 20)
    groups = list(range(40))
    groups[8] = groups[7]
    frozen = {rows[at].image for at in (2, 7, 30)}
    for seed in range(4):
        dataset = parted(rows, groups, Split(seed=seed), frozen=frozen)
        assert {dataset.samples[at].split for at in (2, 7, 8, 30)} == {"test"}
        assert in_test(dataset) == {"a": 5, "b": 5}


def test_a_frozen_image_that_a_split_brings_to_learn_from_is_said() -> None:
    rows = [Sample(digest_json(at), f"{at}.png", ("a",), (), "test" if at < 3 else "train") for at in range(8)]
    (leak,) = parted(rows, frozen={rows[1].image, rows[5].image}).findings
    assert (leak.kind, leak.severity, leak.names) == ("frozen-leak", "warning", ("5.png",))


def test_findings_of_before_are_kept() -> None:
    from trunkline.core.types.dataset import Finding

    found = Finding("unreadable", "warning", "1 files")
    rows = samples(*[["a"]] * 8)
    dataset = split(Dataset("parts", 0, tuple(rows), (), (found,), "voc"), features(rows), Split(), np.arange(8))
    assert (dataset.findings, dataset.format, dataset.version) == ((found,), "voc", 0)
