"""Lance tables on this disk: what a killed process left half-made is made anew, faults of the disk are told as such.

A table whose files are damaged is moved aside where what it held can be made again, and named where it cannot.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import re
import secrets
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import DataError
from trunkline.core.files import storage_error, storage_errors

if TYPE_CHECKING:
    import pyarrow

_LOG = logging.getLogger(__name__)
_CODE = re.compile(r"\(os error (\d+)\)")
_FRAGMENTS = 64
"""Small files that may gather before they are put together."""
_KEPT = timedelta(days=1)
"""How long the small files stay: another process may still be reading them."""


class DamagedTableError(DataError):
    """Files of a table are missing, truncated or changed."""


def exists(path: Path) -> bool:
    """Whether there is a table; a process that was killed while it made one leaves a folder without a manifest."""
    return any((path / "_versions").glob("*.manifest"))


def open_table(path: Path, version: int | None = None) -> Any:
    """The `lance.LanceDataset` at a path, as of a version; the newest when none is given.

    Raises:
        DamagedTableError: When its manifest cannot be read.
        StorageError: When it may not be read.
    """
    import lance

    with reading(path):
        return lance.dataset(str(path), version=version)


def open_by_image(path: Path) -> tuple[Any, dict[bytes, int]]:
    """The table at a path, and the row of each digest in its column `image`; (None, {}) where there is no table.

    A damaged one is moved aside with a warning, and there is none then: what it held is made again.
    """
    if not exists(path):
        return None, {}
    try:
        table = open_table(path)
        with reading(path):  # reads the end of each file as well, so that a truncated one is found here
            column = table.to_table(columns=["image"])["image"].to_pylist()
    except DamagedTableError as error:
        move_aside(path, error)
        return None, {}
    return table, {image: row for row, image in enumerate(column)}


def move_aside(path: Path, error: DamagedTableError) -> None:
    """Take a damaged table out of the way and say so; it is kept, for whoever can still read some of it."""
    aside = path.with_name(f"{path.stem}-damaged-{secrets.token_hex(4)}")
    with storage_errors(path), contextlib.suppress(FileNotFoundError):  # another process was faster
        path.replace(aside)
        _LOG.warning("%s: %s; moved to %s, and what it held is made again", path, error.message, aside.name)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what Lance raises on damaged files, and what follows from wrong bytes in them, into `DamagedTableError`."""
    try:
        with storage_errors(path), lance_errors(path):
            yield
    except BaseException as error:
        # A panic in Rust is no `Exception`, and its class has no module to import it from.
        known = isinstance(error, (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError))
        code = _CODE.search(str(error))
        passing = code is not None and int(code[1]) != errno.ENOENT  # too many open files, a disk that went away
        if passing or (not known and type(error).__name__ != "PanicException"):
            raise
        text = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise DamagedTableError(
            f"files of this table are damaged ({text})",
            where=str(path),
            fix="copy it back from a backup, or run the same command again to have it made anew",
        ) from error


def moved_on(table: Any) -> bool:
    """Whether there is a newer version than the open one, whose files may have been put together and be gone since."""
    try:
        return bool(table.latest_version != table.version)
    except (OSError, ValueError, RuntimeError):
        return False


def tidy(table: Any, path: Path, *, full: int) -> bool:
    """Put small files together, and remove those that were put together long ago; the caller holds the table's lock.

    Args:
        table: The open table.
        path: Its folder.
        full: Rows of a file that is never rewritten again: every row is rewritten once, however large the table grows.

    Returns:
        Whether anything was done; the rows may then be in another order, which Lance does not promise to keep.
    """
    small = [fragment for fragment in table.get_fragments() if fragment.metadata.physical_rows < full]
    if len(small) <= _FRAGMENTS:
        return False
    with storage_errors(path), lance_errors(path):
        table.optimize.compact_files(target_rows_per_fragment=full)
        table.cleanup_old_versions(older_than=_KEPT)
    return True


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
    """Lance raises errors without a number when the disk is full or cannot be used; its words tell."""
    try:
        yield
    except (OSError, ValueError) as error:
        code = _CODE.search(str(error))
        known = storage_error(path, OSError(int(code[1]), "")) if code and not getattr(error, "errno", None) else None
        if known is None:
            raise
        raise known from error
