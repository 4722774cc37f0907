"""Lance tables on this disk: what a killed process left half-made is made anew, faults of the disk are told as such."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import StorageError
from trunkline.core.files import storage_errors

if TYPE_CHECKING:
    import pyarrow


def exists(path: Path) -> bool:
    """Whether there is a table; a process that was killed while it made one leaves a folder without a manifest."""
    return any((path / "_versions").glob("*.manifest"))


def open_table(path: Path, version: int | None = None) -> Any:
    """The `lance.LanceDataset` at a path, as of a version; the newest when none is given."""
    import lance

    return lance.dataset(str(path), version=version)


def open_by_image(path: Path) -> tuple[Any, dict[bytes, int]]:
    """The table at a path, and the row of each digest in its column `image`; (None, {}) where there is no table."""
    if not exists(path):
        return None, {}
    table = open_table(path)
    column = table.to_table(columns=["image"])["image"].to_pylist()
    return table, {image: row for row, image in enumerate(column)}


def write_table(path: Path, table: pyarrow.Table, *, overwrite: bool = False) -> Any:
    """Append rows to a table, or make it, as one version that appears whole or not at all; the caller holds its lock.

    Args:
        path: The table's folder.
        table: The rows.
        overwrite: The new version holds these rows alone; older versions stay as they are.

    Returns:
        The `lance.LanceDataset` with the new rows.

    Raises:
        StorageError: When the disk is full or cannot be written; the table is as it was.
    """
    import lance

    with storage_errors(path), lance_errors(path):
        if exists(path):
            mode = "overwrite" if overwrite else "append"
        else:
            mode = "create"
            shutil.rmtree(path, ignore_errors=True)
            path.parent.mkdir(parents=True, exist_ok=True)
        return lance.write_dataset(table, str(path), mode=mode)


@contextlib.contextmanager
def lance_errors(path: Path) -> Iterator[None]:
    """Lance raises `OSError` without a number when the disk is full or cannot be written; its words tell."""
    try:
        yield
    except OSError as error:
        text = str(error)
        if error.errno is None and ("No space left" in text or "os error 28" in text):
            raise StorageError(
                "no space left on the disk", where=str(path), fix="free some space and run the same command again"
            ) from error
        if error.errno is None and ("Permission denied" in text or "Read-only" in text):
            raise StorageError(
                "this place cannot be written",
                where=str(path),
                fix="choose another folder with --home DIR or TRUNKLINE_HOME",
            ) from error
        raise
