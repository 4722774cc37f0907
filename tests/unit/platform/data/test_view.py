"""A data set as a task sees it, and what cannot be learned from."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from trunkline.core.digest import digest_json
from trunkline.core.errors import DataError
from trunkline.core.types.dataset import Box, Boxed, Dataset, Finding, Sample
from trunkline.core.types.scenario import Labels
from trunkline.platform.data.view import for_task, truths

Row = tuple[Sequence[str], Sequence[tuple[str, float]]]
"""Labels of an image, and label and side of each of its boxes."""


def dataset(*rows: Row) -> Dataset:
    samples = [
        Sample(digest_json(at), f"{at}.png", tuple(labels), tuple(Box(name, 0, 0, side, side) for name, side in boxes))
        for at, (labels, boxes) in enumerate(rows)
    ]
    space = {name for labels, boxes in rows for name in (*labels, *(box for box, _ in boxes))}
    return Dataset(
        "parts", 3, tuple(samples), tuple(sorted(space)), (Finding("unreadable", "warning", "1 files"),), "voc"
    )


def row(*labels: str, **boxes: float) -> Row:
    return labels, list(boxes.items())


def times(count: int, *labels: str, **boxes: float) -> list[Row]:
    return [row(*labels, **boxes)] * count


def seen(view: Dataset) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """The labels of each image, and the names in each finding of the view."""
    return ["+".join(s.labels) for s in view.samples], {
        f.kind: f.names for f in view.findings if f.kind != "unreadable"
    }


A, B = times(4, "a"), times(4, "b")
AS, BS = ["a"] * 4, ["b"] * 4
BOXED = times(4, a=2)
VIEWS: dict[str, tuple[str, Labels, list[Row], list[str], dict[str, tuple[str, ...]]]] = {
    "one label": ("classify", Labels(), [*A, *B], [*AS, *BS], {}),
    "the largest boxed area": (
        "classify", Labels(), [*A, *B, row(a=3, b=4)], [*AS, *BS, "b"], {"several-labels": ("8.png",)}),
    "boxes of one label": ("classify", Labels(), [*times(4, a=2), *B], [*AS, *BS], {}),
    "an image's own label before its boxes": ("classify", Labels(), [*A, *B, row("a", b=9)], [*AS, *BS, "a"], {}),
    "several labels": ("classify", Labels(), [*A, *B, row("a", "b", b=9)], [*AS, *BS, "b"],
                       {"several-labels": ("8.png",)}),
    "no label": ("classify", Labels(), [*A, *B, row()], [*AS, *BS], {"unlabelled": ("8.png",)}),
    "a class too small": (
        "classify", Labels(), [*A, *B, row("c"), row("c")], [*AS, *BS], {"class-left-out": ("8.png", "9.png")}),
    "boxes and nothing but boxes": (
        "detect", Labels(), [*BOXED, row("b"), row(), row(a=1, c=1), *times(3, c=1)], [*AS, "", "", "a+c", *["c"] * 3],
        {"no-boxes": ("4.png", "5.png")}),
    "boxes of a label too few": (
        "detect", Labels(), [*BOXED, row(c=1), row(a=1, c=1)], [*AS, "", "a"],
        {"class-left-out": ("4.png", "5.png"), "no-boxes": ("4.png",)}),
    "boxes renamed and ignored": (
        "detect", Labels(rename={"x": "a"}, ignore=("c",)), [*times(4, x=2), row(c=1)], [*AS, ""],
        {"no-boxes": ("4.png",)}),
    "renamed": ("classify", Labels(rename={"x": "a", "y": "b"}), [*times(2, "x"), *times(2, "a"), *times(4, y=2)],
                [*AS, *BS], {}),
    "ignored": ("classify", Labels(ignore=("c",)), [*A, *B, row("c"), row("c", a=2)], [*AS, *BS, "a"],
                {"unlabelled": ("8.png",)}),
    "renamed first, then ignored": ("classify", Labels(rename={"x": "c"}, ignore=("c",)), [*A, *B, row("x")],
                                    [*AS, *BS], {"unlabelled": ("8.png",)}),
    "a set of labels": ("multilabel", Labels(), [*A, *B, row("a", b=2)], [*AS, *BS, "a+b"], {}),
    "none of the labels": ("multilabel", Labels(), [*A, *B, row()], [*AS, *BS, ""], {"no-label": ("8.png",)}),
    "one label or none": ("multilabel", Labels(), [*A, row(), row()], [*AS, "", ""], {"no-label": ("4.png", "5.png")}),
    "a label too rare": ("multilabel", Labels(), [*A, *B, row("a", "c"), row("c")], [*AS, *BS, "a", ""],
                         {"class-left-out": ("8.png", "9.png"), "no-label": ("9.png",)}),
    "good and not": ("anomaly", Labels(),
                     [*times(8, "Good"), row("cut"), row("ok"), row("good", cut=2), row("good", "cut")],
                     [*["good"] * 8, "anomaly", "good", "anomaly", "anomaly"], {}),
    "other words for good": ("anomaly", Labels(good=("fein",)), [*times(8, "fein"), row("good")],
                             [*["good"] * 8, "anomaly"], {}),
    "a flat folder is all good": ("anomaly", Labels(), times(8), ["good"] * 8, {}),
    "beside labels no label says nothing": ("anomaly", Labels(), [*times(8, "good"), row()], ["good"] * 8,
                                            {"unlabelled": ("8.png",)}),
}  # fmt: skip


@pytest.mark.parametrize("case", VIEWS)
def test_a_task_sees_its_own_labels(case: str) -> None:
    task, labels, rows, expected, findings = VIEWS[case]
    view = for_task(dataset(*rows), task, labels)
    assert seen(view) == (expected, findings)
    assert (view.name, view.version, view.format, view.findings[0].kind) == ("parts", 0, "voc", "unreadable")


SPACES = {
    "classify": ([*A, *B, row("c")], ("a", "b")), "multilabel": ([*A, *B, row("c")], ("a", "b")),
    "anomaly": (times(8, "ok"), ("good", "anomaly")), "detect": ([*BOXED, *times(4, c=2), row("b")], ("a", "c")),
}  # fmt: skip


@pytest.mark.parametrize("task", SPACES)
def test_the_label_space_is_what_is_left(task: str) -> None:
    rows, expected = SPACES[task]
    assert for_task(dataset(*rows), task, Labels()).labels == expected


REFUSED: dict[str, tuple[str, Labels, list[Row], str, str]] = {
    "no label at all": ("classify", Labels(), times(9), "expected labelled images", "one folder a class"),
    "all ignored": ("classify", Labels(ignore=("a", "b")), [*A, *B], "expected labelled images", "one folder a class"),
    "one class": ("classify", Labels(), times(9, "a"), "expected at least 2 classes, got one: 'a'", "task: anomaly"),
    "classes too small": ("classify", Labels(), [*times(3, "a"), *times(2, "b")], "'a' has 3, 'b' has 2", "add images"),
    "one class large enough": ("classify", Labels(), [*A, row("b")], "'b' has 1", "add images"),
    "no label for any": ("multilabel", Labels(), times(9), "expected labelled images", "folder"),
    "all too rare": ("multilabel", Labels(), [row("a"), row("b"), row()], "'a' has 1, 'b' has 1", "add images"),
    "one label on all": ("multilabel", Labels(), times(9, "a"), "expected images with and without 'a'",
                         "task: anomaly"),
    "too few good": ("anomaly", Labels(), [*times(7, "good"), *times(9, "cut")],
                     "expected at least 8 good images, got 7 (labels that mean good: good, normal, ok)", "good: [...]"),
    "no boxes": ("detect", Labels(), times(9, "a"), "expected boxes of a label in at least 4 images, but there are no",
                 "task: classify"),
    "boxes in too few": ("detect", Labels(), times(3, a=2), "'a' is in 3", "bring boxes"),
    "good by another name": ("anomaly", Labels(), times(20, "fein"), "got 0 (labels that mean good: good",
                             "good: [...]"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_learned_from_is_said_with_what_to_do(case: str) -> None:
    task, labels, rows, message, fix = REFUSED[case]
    with pytest.raises(DataError) as caught:
        for_task(dataset(*rows), task, labels)
    assert message in caught.value.message
    assert (caught.value.where, fix in str(caught.value.fix)) == ("parts", True)


def test_splits_that_were_brought_stay() -> None:
    rows = [
        Sample(digest_json(at), f"{at}.png", ("ab"[at % 2],), (), "test" if at < 4 else "train") for at in range(16)
    ]
    view = for_task(Dataset("parts", 1, tuple(rows)), "classify", Labels())
    assert [sample.split for sample in view.samples] == [row.split for row in rows]


def test_boxes_end_where_their_image_does() -> None:
    boxes = (Box("a", -5, 2, 6, 9), Box("a", 2, 2, 3, 3), Box("a", 12, 2, 15, 9), Box("a", 5, 8, 20, 30))
    rows = [Sample(digest_json(at), f"{at}.png", (), boxes, "", 10, 12) for at in range(4)]
    view = for_task(Dataset("parts", 1, tuple(rows)), "detect", Labels())
    assert view.samples[0].boxes == (Box("a", 0, 2, 6, 9), Box("a", 2, 2, 3, 3), Box("a", 5, 8, 10, 12))
    assert [(f.kind, len(f.images)) for f in view.findings] == [("boxes-outside", 4)]


def test_what_is_true_is_what_the_task_asks_for() -> None:
    boxes = (Box("b", 0, 0, 5, 6), Box("a", 5, 3, 10, 12))
    (boxed,), (labels,) = (
        truths(task, [Sample(digest_json(0), "0.png", ("a", "b"), boxes, "", 10, 12)])
        for task in ("detect", "multilabel")
    )
    assert (boxed, labels) == (Boxed(10, 12, boxes), ("a", "b"))
    assert isinstance(boxed, Boxed)
    assert (list(boxed), "a" in boxed, "c" in boxed) == (["a", "b"], True, False)
    assert boxed.shares() == (Box("b", 0, 0, 0.5, 0.5), Box("a", 0.5, 0.25, 1, 1))
