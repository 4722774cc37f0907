"""Intake: every file hashed and decoded once, the unreadable quarantined, the rest kept.

What was learned of a file is remembered with its stat in `HOME/intake/`, so that another intake reads only what is new.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trunkline.core.digest import canonical_json, digest_bytes, digest_json
from trunkline.core.errors import DataError
from trunkline.core.files import write_atomic
from trunkline.core.images import TooLargeError, check_bytes, decode
from trunkline.core.types.dataset import Box, Dataset, Finding, Sample
from trunkline.core.types.scenario import Source
from trunkline.platform.data.fingerprint import stat_of
from trunkline.platform.data.formats.gather import DIGITS
from trunkline.platform.data.store import ImageStore

if TYPE_CHECKING:
    from trunkline.core.settings import Settings
    from trunkline.platform.data.formats import Item

Progress = Callable[[int, int], None]
_SAVE_EVERY = 2000
_NAMED = 100  # images of one finding that are named
_ONE_SHAPE = 0.02  # by which the sides of an image and those that its labels tell may differ in proportion
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KINDS = {
    "unreadable": ("cannot be read and was left out", "cannot be read and were left out"),
    "absurd-size": ("is too large and was left out", "are too large and were left out"),
}
"""Why a file cannot be used, in words for one and for many."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of one file: a digest and a size, or why it cannot be used."""

    digest: str = ""
    width: int = 0
    height: int = 0
    kind: str = ""
    reason: str = ""


def _memory_of(home: Path, folder: Path, max_pixels: int | Literal["*"]) -> Path:
    return home / "intake" / f"{digest_json(str(folder))}-{max_pixels}.json"


def folder_of(source: Path) -> Path:
    """The folder whose images a source has: several lists may name the same ones beside them."""
    return source if source.is_dir() else source.parent


def source_round(place: Path, settings: Settings) -> Path | None:
    """The folder that a place is in, or is, which images were taken in from before; None where there is none.

    Whatever size of image was allowed then.
    """
    real = place.resolve()
    memories = ((folder, _memory_of(settings.home, folder, "*")) for folder in (real, *real.parents))
    return next((folder for folder, memory in memories if any(memory.parent.glob(memory.name))), None)


def _seen(row: Any) -> _Seen | None:
    """What was remembered of a file, or None where it is of another shape."""
    try:
        digest, width, height, kind, reason = row[1]
    except (TypeError, ValueError, LookupError):
        return None
    texts, numbers = (digest, kind, reason), (width, height)
    whole = all(isinstance(text, str) for text in texts) and all(isinstance(number, int) for number in numbers)
    if not whole or not (_DIGEST.fullmatch(digest) if digest else kind in _KINDS):
        return None
    return _Seen(digest, width, height, kind, reason)


class _Memory:
    """Path -> stat and what was seen; a file that changed is looked at again, once a run."""

    def __init__(self, home: Path, folder: Path, max_pixels: int) -> None:
        self.path = _memory_of(home, folder, max_pixels)
        try:
            rows = json.loads(self.path.read_bytes())
        except (OSError, ValueError, RecursionError):  # never made, or torn by what is not us: read the files again
            rows = {}
        self.rows: dict[str, Any] = rows if isinstance(rows, dict) else {}
        self._unsaved = 0
        self._checked: dict[str, _Seen] = {}  # many lists may name the same file

    def get(self, path: Path) -> _Seen | None:
        name = str(path)
        if name not in self._checked:
            row: Any = self.rows.get(name)
            seen = _seen(row)
            if seen is None or row[0] != _stat(path):
                return None
            self._checked[name] = seen
        return self._checked[name]

    def put(self, path: Path, stat: list[int], seen: _Seen) -> None:
        self._checked[str(path)] = seen
        self.rows[str(path)] = [stat, [seen.digest, seen.width, seen.height, seen.kind, seen.reason]]
        self._unsaved += 1
        if self._unsaved > max(_SAVE_EVERY, len(self.rows) // 4):  # a kill costs no more than these
            self.save()

    def save(self) -> None:
        if self._unsaved:
            write_atomic(self.path, canonical_json(self.rows))
            self._unsaved = 0


class Intake:
    """Reads sources into data sets; a file that several sources name is read once.

    Args:
        settings: Home, threads, largest image.
        store: Where the images are kept; opened when not given.
    """

    def __init__(self, settings: Settings, store: ImageStore | None = None) -> None:
        self.settings = settings
        self.store = store or ImageStore(settings.home)
        self._memories: dict[Path, _Memory] = {}

    def take_in(self, sources: Sequence[Source], *, name: str, progress: Progress | None = None) -> Dataset:
        """As the function `take_in`."""
        from trunkline.platform.data.formats import parse

        samples: list[Sample] = []
        findings: list[Finding] = []
        labels: set[str] = set()
        layouts = []
        for source in sources:
            parsed = parse(source.path, source.format)
            layouts.append(parsed.format)
            labels.update(parsed.label_space)
            findings.extend(parsed.findings)
            taken, quarantined = self._source(source.path, parsed.items, progress)
            samples.extend(taken)
            findings.extend(quarantined)
        if not samples:
            reasons = "; ".join(f.message for f in findings[:3])
            raise DataError(
                f"expected readable images, found none{': ' + reasons if reasons else ''}",
                where=", ".join(str(source.path) for source in sources),
                fix="copy the files again, or name another folder",
            )
        seen = {label for s in samples for label in s.labels} | {b.label for s in samples for b in s.boxes}
        return Dataset(
            name=name,
            version=0,
            samples=tuple(samples),
            labels=tuple(sorted(labels | seen)),
            findings=tuple(findings),
            format="+".join(dict.fromkeys(layouts)),
        )

    def _memory(self, root: Path) -> _Memory:
        folder = folder_of(root)
        if folder not in self._memories:
            self._memories[folder] = _Memory(self.settings.home, folder, self.settings.max_pixels)
        return self._memories[folder]

    def _source(
        self, root: Path, items: Sequence[Item], progress: Progress | None
    ) -> tuple[list[Sample], list[Finding]]:
        memory = self._memory(root)
        known: dict[Path, _Seen] = {}
        fresh: dict[Path, None] = {}
        for item in items:
            seen = memory.get(item.path)
            if seen is not None and (not seen.digest or self.store.has(seen.digest)):
                known[item.path] = seen
            else:
                fresh[item.path] = None

        def kept() -> Iterator[tuple[str, bytes]]:
            for number, one in enumerate(_look(list(fresh), self.settings), 1):
                known[one.path] = one.seen
                if one.seen.digest:
                    yield one.seen.digest, one.data
                if one.stat:
                    memory.put(one.path, one.stat, one.seen)
                if progress:
                    progress(number, len(fresh))

        self.store.add(kept())
        memory.save()
        items, scaled = _rescaled(items, known)
        return _samples(items, known), _quarantine(items, known) + scaled + _lost_boxes(items, known)


def take_in(sources: Sequence[Source], settings: Settings, *, name: str, progress: Progress | None = None) -> Dataset:
    """Read sources into one data set, with labels, boxes and splits as they were brought.

    Args:
        sources: Folders in any known layout.
        settings: Home, threads, largest image.
        name: Name of the data set.
        progress: Told of files done and files in all.

    Returns:
        The data set, not stored yet (version 0); its findings list the quarantined files.

    Raises:
        DataError: When a layout is not known, or nothing readable is left.
        StorageError: When the disk is full.
    """
    return Intake(settings).take_in(sources, name=name, progress=progress)


@dataclass(frozen=True, slots=True)
class _Looked:
    """One file: its stat before it was read ([] when it went away), what was seen, its bytes."""

    path: Path
    stat: list[int]
    seen: _Seen
    data: bytes = b""


def _stat(path: Path) -> list[int]:
    try:
        return list(stat_of(path.stat()))
    except OSError:
        return []


def _look(paths: Sequence[Path], settings: Settings) -> Iterator[_Looked]:
    """Hash and decode files in threads, in order, a bounded number ahead."""
    ahead: deque[Future[_Looked]] = deque()
    with ThreadPoolExecutor(settings.threads, thread_name_prefix="intake") as pool:
        for path in paths:
            ahead.append(pool.submit(_one, path, settings.max_pixels))
            if len(ahead) > 8 * settings.threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _one(path: Path, max_pixels: int) -> _Looked:
    stat = _stat(path)  # before it is read: a file that changes meanwhile is looked at again the next time
    try:
        if not path.is_file():
            return _Looked(path, stat, _Seen(kind="unreadable", reason="not a file"))
        check_bytes(path.stat().st_size)
        data = path.read_bytes()
        image = decode(data, max_pixels=max_pixels)
    except OSError as error:
        return _Looked(path, stat, _Seen(kind="unreadable", reason=error.strerror or str(error)))
    except TooLargeError as error:
        return _Looked(path, stat, _Seen(kind="absurd-size", reason=error.message))
    except DataError as error:
        return _Looked(path, stat, _Seen(kind="unreadable", reason=error.message))
    return _Looked(path, stat, _Seen(digest_bytes(data), *image.size), data)


def _rescaled(items: Sequence[Item], known: dict[Path, _Seen]) -> tuple[list[Item], list[Finding]]:
    """Boxes in pixels of the image as it is, where labels were made on one of another size.

    Labels often tell a wrong size, and boxes are right all the same. So boxes are scaled only where all of them are
    inside the sizes that their labels tell, and those are of the images' own shape.
    """
    other = [
        item
        for item in items
        if item.boxes and all(item.declared) and (seen := known[item.path]).digest
        and item.declared != (seen.width, seen.height)
    ]  # fmt: skip
    if not other:
        return list(items), []
    made_for = {item.path: item.declared for item in other if _of_one_shape(item, known[item.path])}
    trusted = len(made_for) == len(other) and all(_inside(box, item.declared) for item in other for box in item.boxes)
    names = tuple(item.name for item in other[:_NAMED])
    first, seen = other[0], known[other[0].path]
    sizes = f"{first.declared[0]:g} x {first.declared[1]:g}, it is {seen.width} x {seen.height} ({first.name})"
    count = "1 image was" if len(other) == 1 else f"{len(other):,} images were"
    if not trusted:
        text = (
            f"{count} of another size when they were labelled: the labels say {sizes}; boxes were taken as they stand"
        )
        return list(items), [Finding("other-size", "warning", text, names=names)]
    text = f"{count} of another size when they were labelled: the labels say {sizes}; their boxes were scaled"
    scaled = [_scaled(item, known[item.path]) if item.path in made_for else item for item in items]
    return scaled, [Finding("other-size", "warning", text, names=names)]


def _of_one_shape(item: Item, seen: _Seen) -> bool:
    width, height = item.declared
    return abs(width * seen.height - height * seen.width) <= _ONE_SHAPE * width * seen.height


def _inside(box: Box, size: tuple[float, float]) -> bool:
    return box.x2 <= size[0] + 1 and box.y2 <= size[1] + 1


def _scaled(item: Item, seen: _Seen) -> Item:
    across, down = seen.width / item.declared[0], seen.height / item.declared[1]
    boxes = []
    for box in item.boxes:
        x1, x2 = round(box.x1 * across, DIGITS), round(box.x2 * across, DIGITS)
        y1, y2 = round(box.y1 * down, DIGITS), round(box.y2 * down, DIGITS)
        if x1 < x2 and y1 < y2:
            boxes.append(Box(box.label, x1, y1, x2, y2))
    return replace(item, boxes=tuple(boxes), declared=(float(seen.width), float(seen.height)))


def _samples(items: Sequence[Item], known: dict[Path, _Seen]) -> list[Sample]:
    samples = []
    for item in items:
        seen = known[item.path]
        if seen.digest:
            boxes = tuple(box for box in (_clip(b, seen) for b in item.boxes) if box is not None)
            samples.append(
                Sample(seen.digest, item.name, tuple(item.labels), boxes, item.split, seen.width, seen.height)
            )
    return samples


def _clip(box: Box, seen: _Seen) -> Box | None:
    x1, y1, x2, y2 = max(0.0, box.x1), max(0.0, box.y1), min(float(seen.width), box.x2), min(float(seen.height), box.y2)
    return Box(box.label, x1, y1, x2, y2) if x1 < x2 and y1 < y2 else None


def _lost_boxes(items: Sequence[Item], known: dict[Path, _Seen]) -> list[Finding]:
    """Boxes of which nothing is inside the image as it really is; what labels say of its size may be wrong."""
    sizes = [(item, known[item.path]) for item in items if known[item.path].digest]
    names = tuple(item.name for item, seen in sizes for box in item.boxes if _clip(box, seen) is None)
    text = f"{len(names)} boxes are outside their image and were left out: {', '.join(names[:1])}"
    return [Finding("bad-box", "warning", text, names=names)] if names else []


def _quarantine(items: Sequence[Item], known: dict[Path, _Seen]) -> list[Finding]:
    findings = []
    for kind, (one, many) in _KINDS.items():
        bad = [(item.name, known[item.path].reason) for item in items if known[item.path].kind == kind]
        if bad:
            count = f"1 file {one}" if len(bad) == 1 else f"{len(bad):,} files {many}"
            names, reasons = zip(*bad, strict=True)
            message = f"{count}: {names[0]} ({reasons[0]})"
            findings.append(Finding(kind, "warning", message, names=names, detail={"reasons": list(reasons)}))
    return findings
