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
from trunkline.platform.data.split import near_duplicates, split


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


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 32)).astype(np.float32)


def images(count: int) -> list[str]:
    return [digest_json(at) for at in range(count)]


def test_near_duplicates_share_a_group_and_others_do_not() -> None:
    pooled = noise(40)
    pooled[7] = pooled[3] + 0.001
    pooled[30] = pooled[7] - 0.001
    groups = near_duplicates(pooled, images(40))
    together = [at for at in range(40) if groups[at] == groups[3]]
    assert (together, len(set(groups.tolist()))) == ([3, 7, 30], 38)


def test_a_chain_of_near_duplicates_is_one_group() -> None:
    pooled = noise(60)
    first, second = noise(2, seed=1)
    angles = np.deg2rad(np.arange(6) * 9)  # neighbours are alike (cos 9 degrees = 0.988), the ends are not
    pooled[:6] = [np.cos(angle) * first + np.sin(angle) * second for angle in angles]
    groups = near_duplicates(pooled, images(60))
    assert len(set(groups[:6].tolist())) == 1


def test_a_texture_is_no_set_of_copies() -> None:
    pooled = noise(100)
    pooled[:50] = pooled[0] + noise(50, seed=1) * 0.001
    digests = images(100)
    digests[1] = digests[0]
    groups = near_duplicates(pooled, digests)
    assert groups[0] == groups[1]
    assert len(set(groups.tolist())) == 99


def test_more_images_than_one_block_are_compared_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.platform.data.split._BLOCK", 8)
    pooled = noise(40)
    pooled[39] = pooled[0]
    groups = near_duplicates(pooled, images(40))
    assert groups[39] == groups[0]


def test_flat_features_and_a_single_image_are_borne() -> None:
    assert near_duplicates(np.ones((1, 4), np.float32), images(1)).tolist() == [0]
    assert near_duplicates(np.ones((3, 4), np.float32), images(3)).tolist() == [0, 1, 2]


SHARES = {
    "a quarter": (Split(), {"a": 10, "b": 5}), "half": (Split(test=0.5), {"a": 20, "b": 10}),
    "a little": (Split(test=0.01), {"a": 2, "b": 2}), "nearly all": (Split(test=0.99), {"a": 20, "b": 10}),
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


def test_findings_of_before_are_kept() -> None:
    from trunkline.core.types.dataset import Finding

    found = Finding("unreadable", "warning", "1 files")
    rows = samples(*[["a"]] * 8)
    dataset = split(Dataset("parts", 0, tuple(rows), (), (found,), "voc"), features(rows), Split(), np.arange(8))
    assert (dataset.findings, dataset.format, dataset.version) == ((found,), "voc", 0)
