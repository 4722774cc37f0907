"""What inspection sees, and what it does not cry wolf about."""

from __future__ import annotations

import numpy as np

from trunkline.core.types.dataset import Dataset, Finding, Sample
from trunkline.platform.data.alike import Alike
from trunkline.platform.data.inspect import doubtful_labels, doubtful_sets, held_back, look


def sample(number: int, *labels: str, split: str = "train", size: tuple[int, int] = (64, 64)) -> Sample:
    return Sample(f"{number:064d}", f"{number}.png", labels, (), split, *size)


def dataset(samples: list[Sample]) -> Dataset:
    return Dataset("parts", 0, tuple(samples))


def seen(samples: list[Sample], groups: np.ndarray, wide: np.ndarray | None = None) -> list[Finding]:
    return look(dataset(samples), Alike(groups, groups if wide is None else wide))


def rows(findings: list[Finding]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(f.kind, f.severity, f.names) for f in findings]


def balanced(count: int = 40) -> list[Sample]:
    return [sample(i, "ab"[i % 2], split="test" if i >= count // 2 else "train") for i in range(count)]


def test_nothing_to_see() -> None:
    assert seen(balanced(), np.arange(40)) == []


def test_absurd_sizes() -> None:
    samples = [
        *balanced(),
        sample(50, "a", size=(8, 64)),
        sample(51, "b", size=(64, 1300)),
        sample(52, "a", size=(12, 240)),
    ]
    (found,) = seen(samples, np.arange(43))
    assert (found.kind, found.names, found.detail["sizes"]) == (
        "absurd-size", ("50.png", "51.png"), ["8 x 64", "64 x 1300"],
    )  # fmt: skip


def test_near_duplicates_in_groups() -> None:
    groups = np.arange(40)
    groups[2] = groups[0]
    groups[4] = groups[0]
    (found,) = seen(balanced(), groups)
    assert rows([found]) == [("near-duplicate", "info", ("0.png", "2.png", "4.png"))]
    assert found.detail == {"count": 3, "ends": [3], "labels": ["a", "a", "a"]}


def test_near_duplicates_under_two_labels() -> None:
    groups = np.arange(40)
    groups[1] = groups[0]
    found = seen(balanced(), groups)
    assert rows(found) == [
        ("near-duplicate", "info", ("0.png", "1.png")),
        ("same-picture-two-labels", "warning", ("0.png", "1.png")),
    ]
    assert found[1].detail == {"count": 2, "ends": [2], "labels": ["a", "b"]}


def test_a_group_that_was_parted_is_said_with_its_pictures() -> None:
    groups, wide = np.arange(40), np.arange(40)
    wide[[0, 2, 4, 6]] = 0
    groups[[4, 6]] = 4
    parted, near = seen(balanced(), groups, wide)
    assert rows([parted, near]) == [
        ("large-group", "warning", ("0.png", "2.png", "4.png", "6.png")),
        ("near-duplicate", "info", ("4.png", "6.png")),
    ]
    assert parted.detail == {"count": 4, "ends": [4], "labels": ["a"] * 4}
    assert parted.message.startswith("4 images are nearly the same in 1 group of over a tenth of all")
    assert "parted into 3 at higher similarities" in parted.message


def test_new_images_that_are_held_back_are_said() -> None:
    old, now = balanced(40), dataset([*balanced(40), sample(50, "a", split="test"), sample(51, "b", split="test")])
    frozen = {one.image for one in old if one.split == "test"} | {now.samples[40].image}
    (found,) = held_back(now, frozen, dataset(old))
    assert rows([found]) == [("held-back", "info", ("50.png",))]
    assert held_back(now, frozenset(), None) == []


def test_imbalance_and_too_few_to_measure() -> None:
    samples = [sample(i, "a", split="test" if i < 10 else "train") for i in range(100)]
    samples += [sample(200 + i, "b", split="test" if i < 3 else "train") for i in range(9)]
    imbalance, few = seen(samples, np.arange(109))
    assert (imbalance.kind, imbalance.detail) == ("imbalance", {"counts": {"a": 100, "b": 9}})
    assert (few.kind, few.detail["test_images"]) == ("too-few", {"b": 3})


def test_doubtful_labels_most_doubtful_first() -> None:
    samples = [sample(i, "ab"[i % 2]) for i in range(20)]
    scores = np.array([[0.9, 0.1], [0.1, 0.9]] * 10)
    scores[4] = [0.05, 0.95]
    scores[7] = [0.97, 0.03]
    scores[10] = [0.45, 0.55]  # a close call is no reason to doubt a label
    (found,) = doubtful_labels(samples, ("a", "b"), scores)
    assert rows([found]) == [("label-likely-wrong", "warning", ("7.png", "4.png"))]
    assert found.detail == {"count": 2, "given": ["b", "a"], "said": ["a", "b"], "confidence": [0.97, 0.95]}


def test_no_doubt_about_clean_labels() -> None:
    samples = [sample(i, "ab"[i % 2]) for i in range(20)]
    assert doubtful_labels(samples, ("a", "b"), np.array([[0.9, 0.1], [0.1, 0.9]] * 10)) == []
    assert doubtful_labels([], ("a", "b"), np.zeros((0, 2))) == []


def test_doubtful_sets_name_what_is_missing_and_what_is_extra() -> None:
    samples = [sample(i, *(("a",) if i % 2 else ("a", "b"))) for i in range(0, 20)]
    samples += [sample(30 + i, "b") for i in range(4)]
    scores = np.array([[0.95, 0.05 if i % 2 else 0.95] for i in range(20)] + [[0.05, 0.95]] * 4)
    scores[3] = [0.95, 0.99]
    scores[6] = [0.95, 0.01]
    (found,) = doubtful_sets(samples, ("a", "b"), scores)
    detail = found.detail
    said = dict(zip(found.names, zip(detail["given"], detail["said"], strict=True), strict=True))
    assert said == {"3.png": ("a", "a, b"), "6.png": ("a, b", "a")}
