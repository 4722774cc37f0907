"""Whether a source has changed, told from the files' sizes, times and numbers, without reading one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from trunkline.core.digest import digest_json
from trunkline.core.errors import DataError
from trunkline.core.types.scenario import Source

Stat = tuple[int, int, int, int]
"""Size in bytes, times of modification and of change in nanoseconds, inode."""


def stat_of(entry: os.stat_result) -> Stat:
    """What is remembered of a file; any write to it changes one of these."""
    return entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns, entry.st_ino


def walk(folder: Path, *, but: Path | None = None) -> Iterator[tuple[str, os.stat_result]]:
    """Relative path and stat of every file below a folder, sorted by path; hidden names are passed over.

    Args:
        folder: The folder.
        but: A folder that is passed over as well, if it is below.

    Raises:
        DataError: When a folder cannot be listed.
    """
    passed = str(but.resolve()) if but else ""
    stack = [(str(folder), "")]
    found: list[tuple[str, os.stat_result]] = []
    while stack:
        path, prefix = stack.pop()
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if passed and passed.endswith(entry.name) and os.path.realpath(entry.path) == passed:
                            continue
                        stack.append((entry.path, f"{prefix}{entry.name}/"))
                    else:
                        found.append((prefix + entry.name, entry.stat(follow_symlinks=False)))
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=path) from error
    yield from sorted(found, key=lambda row: row[0])


def fingerprint(sources: Sequence[Source], walked: dict[Path, str] | None = None, *, home: Path | None = None) -> str:
    """Digest of the names and stats of all files of all sources.

    Args:
        sources: Folders, or single files whose folder is taken as well (a CSV or JSON names images beside it).
        walked: Digests of folders that were walked before in the same run; new ones are added.
        home: The home folder. It may be below a source, and every build writes to it.

    Raises:
        DataError: When a source is not there or cannot be listed.
    """
    rows = []
    walked = {} if walked is None else walked
    for source in sources:
        if not source.path.exists():
            raise DataError("expected a folder of images; there is nothing here", where=str(source.path))
        root = source.path if source.path.is_dir() else source.path.parent
        if root not in walked:
            # A name of bytes that are not UTF-8 cannot be JSON as it is.
            names = (
                (os.fsencode(name).decode("utf-8", "backslashreplace"), stat) for name, stat in walk(root, but=home)
            )
            walked[root] = digest_json([[name, *stat_of(stat)] for name, stat in names])
        rows.append([str(source.path), source.format, walked[root]])
    return digest_json(rows)
