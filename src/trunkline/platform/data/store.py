"""Images and data sets of one home, in Lance: each image once, each data set version for good."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from trunkline.core.digest import digest_bytes, short
from trunkline.core.errors import NotFoundError
from trunkline.core.files import locked
from trunkline.core.types.dataset import Box, Dataset, Finding, Sample
from trunkline.platform.tables import (
    DamagedTableError,
    exists,
    move_aside,
    moved_on,
    open_by_image,
    open_table,
    reading,
    tidy,
    write_table,
)

if TYPE_CHECKING:
    from trunkline.core.settings import Settings

_LOG = logging.getLogger(__name__)
_CHUNK_BYTES = 64 << 20
_FULL_BYTES = 16 << 20
"""A file of about as many bytes is never rewritten again; those of full chunks are larger."""
_LONGEST = 150


class ImageStore:
    """`HOME/images.lance`: digest and file bytes; an image is kept once, whatever data sets it is in.

    Who appends holds a lock; who reads needs none: a reader stays with the version that it opened.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / "images.lance"
        self._lock = home / "locks" / "images.lock"
        self._rows: dict[bytes, int] | None = None
        self._table: Any = None

    def _load(self) -> dict[bytes, int]:
        if self._rows is None:
            self._table, self._rows = open_by_image(self.path)
        return self._rows

    def has(self, image: str) -> bool:
        """Whether an image is kept here."""
        return bytes.fromhex(image) in self._load()

    def add(self, pairs: Iterable[tuple[str, bytes]]) -> None:
        """Keep images that are not here yet; written every 64 MB.

        Raises:
            StorageError: When the disk is full; what was written before stays.
        """
        batch: list[tuple[bytes, bytes]] = []
        size = 0
        for digest, data in pairs:
            batch.append((bytes.fromhex(digest), data))
            size += len(data)
            if size >= _CHUNK_BYTES:
                self._append(batch)
                batch, size = [], 0
        self._append(batch)

    def _append(self, batch: Sequence[tuple[bytes, bytes]]) -> None:
        if not batch:
            return
        import pyarrow as pa

        with locked(self._lock):
            rows = self._newest()
            fresh = {key: data for key, data in batch if key not in rows}
            if not fresh:
                return
            table = pa.table(
                {
                    "image": pa.array(list(fresh), pa.binary(32)),
                    "data": pa.array(list(fresh.values()), pa.large_binary()),
                }
            )
            self._table = write_table(self.path, table)
            for key in fresh:
                rows[key] = len(rows)
            size = sum(file.stat().st_size for file in (self.path / "data").iterdir())
            if tidy(self._table, self.path, full=max(1, _FULL_BYTES * len(rows) // max(1, size))):
                self._rows = None

    def _newest(self) -> dict[bytes, int]:
        """Rows as they are now; they are read again only when another process has written."""
        rows = self._load()
        if self._table is not None:
            with reading(self.path):
                newest = self._table.latest_version
        if self._table is None or newest != self._table.version:
            self._rows = None
            rows = self._load()
        return rows

    def read(self, images: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Digest and file bytes of images, in the order asked for, a bounded number at a time.

        Raises:
            NotFoundError: On an image that is not kept here.
            DamagedTableError: When its files are damaged; they are moved aside, so that `has` says what is missing.
        """
        for start in range(0, len(images), 256):
            part = images[start : start + 256]
            yield from zip(part, self._files(part), strict=True)

    def _files(self, images: Sequence[str]) -> list[bytes]:
        rows, table = self._load(), self._table
        missing = [image for image in images if bytes.fromhex(image) not in rows]
        if missing:
            raise NotFoundError("image", missing[0], ())
        wanted = [rows[bytes.fromhex(image)] for image in images]
        unique = sorted(set(wanted))
        place = {row: at for at, row in enumerate(unique)}
        try:
            with reading(self.path):
                data = [value.as_py() for value in table.take(unique, columns=["data"])["data"]]
            found = [data[place[row]] for row in wanted]
            self._check(images, found)
        except DamagedTableError as error:
            self._rows = None
            if moved_on(table):
                return self._files(images)
            move_aside(self.path, error)
            raise
        return found

    def _check(self, images: Sequence[str], found: Sequence[bytes]) -> None:
        """Lance gives bytes that were changed on the disk as they are."""
        for image, data in zip(images, found, strict=True):
            if digest_bytes(data) != image:
                raise DamagedTableError(
                    f"the bytes of image {short(image)} were changed",
                    where=str(self.path),
                    fix="import or build from the folders that the images came from: they are taken in again",
                )


class DataStore:
    """`HOME/datasets/NAME.lance`: one row a sample; a Lance version is a version of the data set."""

    def __init__(self, settings: Settings) -> None:
        self.home = settings.home
        self.root = settings.home / "datasets"

    def _path(self, name: str) -> Path:
        """Any name is one safe file name, also where the file system does not tell case apart."""
        safe = "".join(f"%{ord(c):02X}" if c.isupper() else c for c in quote(name, safe=" ").replace("%", "%25"))
        if len(safe) > _LONGEST:  # as file names go; two long names that begin alike must not share a table
            safe = f"{safe[:_LONGEST]}-{digest_bytes(name.encode())[:16]}"
        return self.root / f"{safe}.lance"

    def names(self) -> list[str]:
        """Names of all data sets, sorted; what is damaged is warned of and left out."""
        found = []
        for path in self.root.glob("*.lance"):
            if not _begun(path):
                continue
            try:
                found.append(_name_in(path))
            except DamagedTableError as error:
                _LOG.warning("%s: %s; this data set cannot be read", path, error.message)
        return sorted(found)

    def versions(self, name: str) -> list[int]:
        """Versions of a data set, from 1; empty when there is none of that name."""
        path = self._path(name)
        if not exists(path):
            return []
        table = open_table(path)
        with reading(path):
            return [v["version"] for v in table.versions()]

    def save(self, dataset: Dataset) -> Dataset:
        """Keep a data set under its name as the next version; the same content as the newest is not kept twice.

        Returns:
            The data set with its version.

        Raises:
            StorageError: When the disk is full or cannot be written.
        """
        import pyarrow as pa

        path = self._path(dataset.name)
        with locked(self.home / "locks" / "datasets.lock"):
            newest = self._newest(dataset.name, path)
            if newest is not None and newest.digest == dataset.digest:
                return newest
            meta = {
                "name": dataset.name, "digest": dataset.digest, "format": dataset.format,
                "labels": list(dataset.labels), "findings": [finding.to_json() for finding in dataset.findings],
            }  # fmt: skip
            rows = {
                "image": pa.array([bytes.fromhex(s.image) for s in dataset.samples], pa.binary(32)),
                "name": pa.array([s.name for s in dataset.samples], pa.string()),
                "labels": pa.array([list(s.labels) for s in dataset.samples], pa.list_(pa.string())),
                "boxes": pa.array([_boxes_json(s) for s in dataset.samples], pa.string()),
                "split": pa.array([s.split for s in dataset.samples], pa.string()),
                "width": pa.array([s.width for s in dataset.samples], pa.int32()),
                "height": pa.array([s.height for s in dataset.samples], pa.int32()),
            }
            # Facts of a version are in a column, since Lance keeps one schema metadata for all versions.
            rows["facts"] = pa.array([json.dumps(meta)] + [None] * (len(dataset.samples) - 1), pa.string())
            table = pa.table(rows).replace_schema_metadata({"trunkline": json.dumps({"name": dataset.name})})
            version = write_table(path, table, overwrite=True).version
        return _with_version(dataset, version)

    def _newest(self, name: str, path: Path) -> Dataset | None:
        """The newest version, or None where there is none that can be read; then the next is made beside it."""
        if not exists(path):
            return None
        try:
            return self.load(name)
        except DamagedTableError as error:
            _LOG.warning("%s", error.message)
        try:
            _name_in(path)
        except DamagedTableError as error:
            move_aside(path, error)
        return None

    def load(self, name: str, version: int | None = None) -> Dataset:
        """A data set by name; the newest version when none is given.

        Raises:
            NotFoundError: When there is no such name or version.
            DamagedTableError: When its files are damaged.
        """
        path = self._path(name)
        if not _begun(path):
            raise NotFoundError("data set", name, self.names())
        try:
            known = self.versions(name)
            if version is not None and version not in known:
                raise NotFoundError(f"version of data set {name!r}", str(version), map(str, known))
            table = open_table(path, version)
            with reading(path):
                return self._dataset(table)
        except DamagedTableError as error:
            at = "" if version is None else f", version {version}"
            raise DamagedTableError(
                f"the data set {name!r}{at}: {error.message}",
                where=str(path),
                fix="copy the folder back from a backup, name another version, or make it anew: "
                f"trunkline data import FOLDER --name {name}",
            ) from error

    @staticmethod
    def _dataset(table: Any) -> Dataset:
        columns = table.to_table().to_pydict()
        meta = json.loads(columns["facts"][0])
        samples = tuple(
            Sample(image.hex(), label_name, tuple(labels), _boxes(boxes), split, width, height)
            for image, label_name, labels, boxes, split, width, height in zip(
                *(columns[c] for c in ("image", "name", "labels", "boxes", "split", "width", "height")), strict=True
            )
        )
        findings = tuple(Finding.from_json(row) for row in meta["findings"])
        return Dataset(meta["name"], table.version, samples, tuple(meta["labels"]), findings, meta["format"])

    def by_ref(self, ref: str) -> Dataset:
        """A data set by `NAME` or `NAME@VERSION`.

        Raises:
            NotFoundError: When there is none.
        """
        name, at, version = ref.rpartition("@")
        if at and version.isascii() and version.isdigit() and len(version) < 10:  # `²` is a digit, and no number
            return self.load(name, int(version))
        return self.load(ref)

    def by_digest(self, name: str, digest: str) -> Dataset:
        """The version of a data set that has a digest.

        Raises:
            NotFoundError: When no version that can be read has it.
        """
        known: list[str] = []
        try:
            versions = self.versions(name)
        except DamagedTableError as error:
            _LOG.warning("data set %s: %s", name, error.message)
            versions = []
        for version in reversed(versions):
            try:
                dataset = self.load(name, version)
            except DamagedTableError as error:
                _LOG.warning("%s", error.message)
                continue
            if dataset.digest == digest:
                return dataset
            known.append(dataset.digest)
        raise NotFoundError(f"digest of data set {name!r}", digest, known)


def _begun(path: Path) -> bool:
    """Whether a version was ever kept in a folder, damaged since or not: Lance makes these at the end of the first."""
    return (path / "_versions").is_dir() or (path / "_transactions").is_dir()


def _name_in(path: Path) -> str:
    """Name of the data set in a table.

    Raises:
        DamagedTableError: When the table cannot even be opened.
    """
    table = open_table(path)
    with reading(path):
        return str(json.loads(table.schema.metadata[b"trunkline"])["name"])


def _with_version(dataset: Dataset, version: int) -> Dataset:
    return Dataset(dataset.name, version, dataset.samples, dataset.labels, dataset.findings, dataset.format)


def _boxes_json(sample: Sample) -> str:
    return json.dumps([[b.label, b.x1, b.y1, b.x2, b.y2] for b in sample.boxes]) if sample.boxes else ""


def _boxes(text: str) -> tuple[Box, ...]:
    return tuple(Box(*row) for row in json.loads(text)) if text else ()
