"""folder -> data -> trunk: labelled images as one immutable, digested whole."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from trunkline.core.digest import digest_json

SPLITS = ("train", "test", "")
Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box in pixels of its image, `x1 < x2`, `y1 < y2`, finite."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float

    def __post_init__(self) -> None:
        numbers = (self.x1, self.y1, self.x2, self.y2)
        if not all(math.isfinite(n) for n in numbers) or self.x1 >= self.x2 or self.y1 >= self.y2:
            raise ValueError(f"expected a box with x1 < x2 and y1 < y2, got {numbers}")

    @property
    def area(self) -> float:
        return (self.x2 - self.x1) * (self.y2 - self.y1)


@dataclass(frozen=True, slots=True)
class Boxed:
    """What is in one image, for tasks that look for things. It holds, and lists, the labels that are in it.

    Attributes:
        width, height: Of the image, pixels.
        boxes: Things, in pixels.
    """

    width: int
    height: int
    boxes: tuple[Box, ...] = ()

    def __contains__(self, label: object) -> bool:
        return any(box.label == label for box in self.boxes)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({box.label for box in self.boxes}))

    def shares(self) -> tuple[Box, ...]:
        """The boxes as shares of the image's width and height."""
        return tuple(
            Box(box.label, box.x1 / self.width, box.y1 / self.height, box.x2 / self.width, box.y2 / self.height)
            for box in self.boxes
        )


Truth = tuple[str, ...] | Boxed
"""What is true of an image: its labels, or what is in it and where."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled image.

    Attributes:
        image: SHA-256 of the image file's bytes.
        name: Where it was found, relative to its source; for people, not part of any digest.
        labels: Labels of the whole image, sorted, without repeats.
        boxes: Boxes, when the data has them.
        split: "train", "test", or "" when none is set.
        width, height: Pixels, after EXIF orientation.
    """

    image: str
    name: str
    labels: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    split: str = ""
    width: int = 0
    height: int = 0

    def __post_init__(self) -> None:
        if len(self.image) != 64:
            raise ValueError(f"expected a SHA-256 of 64 hex digits, got {self.image!r}")
        if self.split not in SPLITS:
            raise ValueError(f"expected a split of {SPLITS}, got {self.split!r}")
        object.__setattr__(self, "labels", tuple(sorted(set(self.labels))))

    def content(self) -> list[Any]:
        """What the digest is made over: content, not names."""
        boxes = sorted([b.label, b.x1, b.y1, b.x2, b.y2] for b in self.boxes)
        return [self.image, list(self.labels), boxes, self.split]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about the data that a person should look at.

    Attributes:
        kind: One word that stays the same, as "near-duplicate".
        severity: "info", "warning" or "error".
        message: One sentence for a person.
        images: Digests of the images concerned, most telling first.
        names: Their names, in the same order (also for unreadable files, which have no digest here).
        detail: More figures, JSON only. Lists in the order of the names: `labels` (of a picture, as text), `given` and
            `said` (its label and the model's), `of` (the picture that it is a copy of). `ends`: where each group of
            pictures that belong together ends.
    """

    kind: str
    severity: Severity
    message: str
    images: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    detail: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def on(
        cls,
        kind: str,
        severity: Severity,
        message: str,
        samples: Sequence[Sample],
        detail: Mapping[str, Any] | None = None,
    ) -> Finding:
        """A finding on samples, with their images and names."""
        images, names = tuple(sample.image for sample in samples), tuple(sample.name for sample in samples)
        return cls(kind, severity, message, images, names, dict(detail or {}))

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "severity": self.severity,
            "message": self.message,
            "images": list(self.images),
            "names": list(self.names),
            "detail": self.detail,
        }

    def caption(self, place: int) -> str:
        """What is said of one picture or file, as "labelled dent, the model says scratch"; "" for nothing.

        Args:
            place: Its place in `names`.
        """

        def told(key: str) -> Any:
            values = self.detail.get(key, ())
            return values[place] if place < len(values) else None

        if told("said") is not None:
            return f"labelled {told('given') or 'none'}, the model says {told('said') or 'none'}"
        if told("of") is not None:
            return f"copy of {told('of')}"
        if told("labels") is not None:
            return f"labelled {told('labels') or 'none'}"
        return told("reasons") or told("sizes") or ""

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Finding:
        return cls(**{**row, "images": tuple(row["images"]), "names": tuple(row["names"])})


@dataclass(frozen=True)
class Dataset:
    """An immutable set of labelled images.

    Attributes:
        name: Its name in the home folder.
        version: Its version there, from 1; 0 for one that is not stored.
        samples: The images, in a stable order.
        labels: The label space, sorted.
        findings: What inspection saw.
        format: The layout it was read from, as "voc".
    """

    name: str
    version: int
    samples: tuple[Sample, ...]
    labels: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    format: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "samples", tuple(self.samples))
        seen = {label for sample in self.samples for label in sample.labels}
        if not self.labels:
            object.__setattr__(self, "labels", tuple(sorted(seen)))
        missing = seen - set(self.labels)
        if missing:
            raise ValueError(f"expected labels within {self.labels}, got {sorted(missing)}")

    @cached_property
    def digest(self) -> str:
        """SHA-256 over images, labels, boxes and splits; file names and their order do not change it."""
        return digest_json({"labels": list(self.labels), "samples": sorted(s.content() for s in self.samples)})

    def split(self, name: str) -> tuple[Sample, ...]:
        """The samples of one split."""
        return tuple(sample for sample in self.samples if sample.split == name)

    def counts(self, samples: Sequence[Sample] | None = None) -> dict[str, int]:
        """Images for each label."""
        counter = Counter(label for s in (self.samples if samples is None else samples) for label in s.labels)
        return {label: counter[label] for label in self.labels}
