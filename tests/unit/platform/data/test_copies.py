"""Copies count once, and one picture under two labels is left out."""

from __future__ import annotations

import pytest

from trunkline.core.types.dataset import Box, Sample
from trunkline.platform.data.copies import merge_copies


def sample(image: str, *labels: str, name: str = "", split: str = "", boxes: tuple[Box, ...] = ()) -> Sample:
    return Sample(image * 64, name or f"{image}.png", labels, boxes, split)


def test_no_copies_nothing_changes() -> None:
    samples = [sample("1", "a"), sample("2", "b")]
    assert merge_copies(samples, together=False) == (samples, [])


def test_copies_of_one_label_count_once() -> None:
    kept, findings = merge_copies(
        [sample("1", "a"), sample("1", "a", name="copy.png"), sample("2", "b")], together=False
    )
    assert kept == [sample("1", "a"), sample("2", "b")]
    assert [(f.kind, f.severity, f.names, f.detail) for f in findings] == [
        ("duplicate", "info", ("copy.png",), {"labels": ["a"], "of": ["1.png"]})
    ]


def test_copies_of_two_labels_are_left_out_and_shown() -> None:
    kept, findings = merge_copies(
        [sample("1", "a"), sample("1", "b", name="other.png"), sample("2", "b")], together=False
    )
    assert kept == [sample("2", "b")]
    (found,) = findings
    assert (found.kind, found.names, found.detail) == (
        "same-picture-two-labels", ("1.png", "other.png"), {"labels": ["a", "b"], "ends": [2]},
    )  # fmt: skip


def test_copies_of_several_labels_are_put_together_where_an_image_may_have_several() -> None:
    box = Box("a", 0, 0, 2, 2)
    kept, findings = merge_copies([sample("1", "a", boxes=(box,)), sample("1", "b", boxes=(box,))], together=True)
    assert kept == [sample("1", "a", "b", boxes=(box,))]
    assert [f.kind for f in findings] == ["duplicate"]


@pytest.mark.parametrize(
    ("splits", "kept_split"), [(("train", "train"), "train"), (("test", "test"), "test"), (("train", "test"), "train")]
)
def test_a_copy_in_both_parts_is_learned_from_and_not_tested(splits: tuple[str, str], kept_split: str) -> None:
    kept, _ = merge_copies([sample("1", "a", split=s) for s in splits], together=False)
    assert [one.split for one in kept] == [kept_split]
