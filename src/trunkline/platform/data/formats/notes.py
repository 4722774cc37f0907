"""What a reader left out and why, gathered into one finding a kind."""

from __future__ import annotations

import reprlib
from collections import defaultdict
from typing import Any

from trunkline.core.types.dataset import Finding, Severity

_KINDS: dict[str, tuple[Severity, str, str]] = {
    "bad-box": (
        "warning",
        "1 box is not finite, of no area or outside its image, and was left out",
        "{n} boxes are not finite, of no area or outside their image, and were left out",
    ),
    "wrong-units": (
        "warning",
        "1 box was in pixels where shares of the image are expected, or the other way round, and was converted",
        "{n} boxes were in pixels where shares of the image are expected, or the other way round, and were converted",
    ),
    "missing-file": ("warning", "1 named file is not there", "{n} named files are not there"),
    "outside-path": (
        "warning",
        "1 file is outside the source's folder and was not read",
        "{n} files are outside the source's folder and were not read",
    ),
    "unknown-label": (
        "warning",
        "1 annotation names a class that is not defined, and was left out",
        "{n} annotations name classes that are not defined, and were left out",
    ),
    "bad-annotation": (
        "warning",
        "1 annotation cannot be read and was left out",
        "{n} annotations cannot be read and were left out",
    ),
    "unread-labels": (
        "warning",
        "1 file of labels cannot be read; its image was left out",
        "{n} files of labels cannot be read; their images were left out",
    ),
    "bad-name": ("warning", "1 file has a name that is not text", "{n} files have names that are not text"),
    "special-file": (
        "warning",
        "1 pipe, socket or device was not read",
        "{n} pipes, sockets or devices were not read",
    ),
    "split-conflict": (
        "warning",
        "1 image is in the training and in the test part; it was taken for training",
        "{n} images are in the training and in the test part; they were taken for training",
    ),
    "not-listed": (
        "info",
        "1 image is in the folder and in no list of it; it was left out",
        "{n} images are in the folder and in no list of it; they were left out",
    ),
}
_KEPT = 1000  # names in one finding; the count tells of the rest


class Notes:
    """Collects what was left out; an endless hostile file costs a bounded finding."""

    def __init__(self) -> None:
        self._kept: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._count: dict[str, int] = defaultdict(int)

    def add(self, kind: str, name: str, reason: str) -> None:
        """Note one thing.

        Args:
            kind: A kind of finding, as "bad-box".
            name: The image's or file's name.
            reason: Why, and what to do.
        """
        self._count[kind] += 1
        if len(self._kept[kind]) < _KEPT:
            self._kept[kind].append((_plain(name), _plain(reason)))

    def findings(self) -> tuple[Finding, ...]:
        """One finding for each kind, in a fixed order."""
        made = []
        for kind, (severity, one, many) in _KINDS.items():
            count, kept = self._count[kind], self._kept[kind]
            if count:
                name, reason = kept[0]
                text = f"{one if count == 1 else many.format(n=count)}: {name} ({reason})"
                reasons = [reason for _, reason in kept]
                names = tuple(name for name, _ in kept)
                made.append(Finding(kind, severity, text, names=names, detail={"count": count, "reasons": reasons}))
        return tuple(made)


def shown(value: Any) -> str:
    """A value from outside for a message; short, however long, deep or entangled it is."""
    return reprlib.repr(value)[:80]


def _plain(text: str) -> str:
    """Text that every store takes: UTF-8, on one line, of bounded length."""
    text = text.encode("utf-8", "replace").decode()
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 300 else f"{text[:297]}..."
