"""Data sets: what a box, a sample and a whole refuse, and what their digest is made over."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from trunkline.core.types.dataset import Box, Dataset, Finding, Sample

A, B = "a" * 64, "b" * 64
BOX = Box("scratch", 1, 2, 5, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Box("a", 5, 0, 5, 9), r"expected a box with x1 < x2 and y1 < y2, got \(5, 0, 5, 9\)"),
        (lambda: Box("a", 0, 9, 5, 2), r"expected a box with x1 < x2 and y1 < y2, got \(0, 9, 5, 2\)"),
        (lambda: Box("a", 0, 0, math.inf, 2), "expected a box"),
        (lambda: Box("a", math.nan, 0, 1, 2), "expected a box"),
        (lambda: Sample("abc", "x.png"), "expected a SHA-256 of 64 hex digits, got 'abc'"),
        (lambda: Sample(A, "x.png", split="val"), r"expected a split of \('train', 'test', ''\), got 'val'"),
        (
            lambda: Dataset("d", 0, (Sample(A, "x.png", ("dent",)),), labels=("scratch",)),
            r"expected labels within \('scratch',\), got \['dent'\]",
        ),
    ],
)
def test_what_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_labels_of_a_sample_are_sorted_and_do_not_repeat() -> None:
    assert Sample(A, "x.png", ("b", "a", "b")).labels == ("a", "b")


def test_area() -> None:
    assert BOX.area == 24


def dataset() -> Dataset:
    samples = (Sample(A, "1.png", ("dent",), split="train"), Sample(B, "2.png", ("scratch",), (BOX,), split="test"))
    return Dataset("d", 1, samples)


def test_a_data_set_finds_its_labels_splits_and_counts() -> None:
    made = dataset()
    assert (made.labels, made.split("test"), made.split("")) == (("dent", "scratch"), made.samples[1:], ())
    assert (made.counts(), made.counts(made.split("test"))) == (
        {"dent": 1, "scratch": 1},
        {"dent": 0, "scratch": 1},
    )


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda d: replace(d, name="other", version=9, format="coco"), True),
        (lambda d: replace(d, findings=(Finding("x", "info", "y"),)), True),
        (lambda d: replace(d, samples=d.samples[::-1]), True),
        (lambda d: replace(d, samples=(replace(d.samples[0], name="other.png", width=9), d.samples[1])), True),
        (lambda d: replace(d, samples=d.samples[:1]), False),
        (lambda d: replace(d, samples=(replace(d.samples[0], split="test"), d.samples[1])), False),
        (lambda d: replace(d, samples=(replace(d.samples[0], labels=("scratch",)), d.samples[1])), False),
        (lambda d: replace(d, samples=(d.samples[0], replace(d.samples[1], boxes=()))), False),
        (lambda d: replace(d, labels=("dent", "good", "scratch")), False),
    ],
)
def test_the_digest_is_over_content_and_not_over_names(change: Callable[[Dataset], Dataset], same: bool) -> None:
    assert (change(dataset()).digest == dataset().digest) is same


def test_a_finding_goes_through_json() -> None:
    finding = Finding("near-duplicate", "warning", "two are alike", (A, B), ("1.png", "2.png"), {"distance": 0.1})
    row = {
        "kind": "near-duplicate", "severity": "warning", "message": "two are alike", "images": [A, B],
        "names": ["1.png", "2.png"], "detail": {"distance": 0.1},
    }  # fmt: skip
    assert (finding.to_json(), Finding.from_json(row)) == (row, finding)
