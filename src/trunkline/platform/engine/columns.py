"""One kind of feature of one trunk, as a Lance table: image digest and a fixed number of values."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trunkline.platform.tables import DamagedTableError, move_aside, moved_on, open_by_image, reading, tidy, write_table

if TYPE_CHECKING:
    import numpy as np

_FULL = 16_384
"""Rows of a file that is never rewritten again."""
_LARGEST_HALF = 65_504.0
_SUM = "crc32"
"""Column with the checksum of each row's values: Lance gives bytes that were changed on the disk as they are."""
_IN_MEMORY = 64 << 20
"""Bytes of a column that is kept in memory once it is read again: many scenarios are cut from the same images."""


def halved(maps: np.ndarray) -> np.ndarray:
    """Maps in float16, as they are kept; what is too large for it becomes the largest that is not."""
    import numpy as np

    halves: np.ndarray = np.clip(maps, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
    return halves


class Column:
    """`HOME/features/TRUNK-NAME.lance`: pooled features in float32, dense maps in float16 (half the disk).

    Each column has its own image digests, so that a kill between the writes of two columns cannot pair a row of one
    with another image's row of the other. Who appends holds the lock of the trunk's features; who reads needs none:
    a reader stays with the version that it opened.

    Args:
        home: The home folder.
        trunk: The trunk's digest.
        name: "pooled", or a tap; behind it, after a dash, the view, where it is not that of pictures as they are.
    """

    def __init__(self, home: Path, trunk: str, name: str) -> None:
        self.path = home / "features" / f"{trunk}-{name}.lance"
        self.dtype = "float32" if name.partition("-")[0] == "pooled" else "float16"
        self._rows: dict[bytes, int] | None = None
        self._table: Any = None
        self._reads = 0
        self._all: np.ndarray | None = None

    def refresh(self) -> None:
        """Look again: another process may have appended."""
        self._rows = self._all = None

    def _load(self) -> dict[bytes, int]:
        if self._rows is None:
            self._table, self._rows = open_by_image(self.path)
            if self._table is not None and _SUM not in self._table.schema.names:
                move_aside(self.path, DamagedTableError("these features have no checksums, an older version made them"))
                self._table, self._rows = None, {}
        return self._rows

    def has(self, image: str) -> bool:
        """Whether an image's features are here."""
        return bytes.fromhex(image) in self._load()

    def append(self, images: Sequence[str], values: np.ndarray) -> None:
        """Keep features of images; those that are here already are passed over.

        Args:
            images: n image digests.
            values: Finite array of shape (n, ...).

        Raises:
            StorageError: When the disk is full or cannot be written; what was there stays.
        """
        import numpy as np
        import pyarrow as pa

        rows = self._load()
        places = {bytes.fromhex(image): place for place, image in enumerate(images)}
        fresh = {key: place for key, place in places.items() if key not in rows}
        if not fresh:
            return
        flat = values[list(fresh.values())].reshape(len(fresh), -1)
        flat = np.ascontiguousarray(flat if self.dtype == "float32" else halved(flat))
        column = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])
        keys = pa.array(list(fresh), type=pa.binary(32))
        shape = json.dumps(values.shape[1:])
        sums = pa.array([zlib.crc32(row.data) for row in flat], type=pa.uint32())
        made = pa.table({"image": keys, "values": column, _SUM: sums}).replace_schema_metadata({"shape": shape})
        self._table = write_table(self.path, made)
        for key in fresh:
            rows[key] = len(rows)
        self._all = None
        if tidy(self._table, self.path, full=_FULL):
            self.refresh()

    def read(self, images: Sequence[str]) -> np.ndarray:
        """Features of images, in the order asked for.

        Returns:
            Float32 array of shape (n, ...).

        Raises:
            KeyError: On an image that is not here.
            DamagedTableError: When its files are damaged; they are moved aside, so that `has` says what is missing.
        """
        import numpy as np

        if not images:
            return np.zeros((0, 0) if self.dtype == "float32" else (0, 0, 0, 0), dtype=np.float32)
        wanted = self._found(images)
        try:
            with reading(self.path):
                return self._taken(wanted)
        except DamagedTableError as error:
            newer = moved_on(self._table)
            self.refresh()
            if newer:
                return self.read(images)
            move_aside(self.path, error)
            raise

    def rows(self, images: Sequence[str]) -> np.ndarray:
        """As `read`, but what is too large to be held is read when rows of it are asked for.

        Raises:
            KeyError: On an image that is not here.
            DamagedTableError: When its files are damaged.
        """
        wanted = self._found(images)
        if not wanted or 4 * math.prod(self._shape()) * len(wanted) <= _IN_MEMORY:
            return self.read(images)
        return cast("np.ndarray", _Rows(self, images, self._shape()))

    def _found(self, images: Sequence[str]) -> list[int]:
        """Rows of images; when one is missing, what another process has appended is looked at first."""
        keys = [bytes.fromhex(image) for image in images]
        if any(key not in self._load() for key in keys):
            self.refresh()
        rows = self._load()
        missing = next((image for image, key in zip(images, keys, strict=True) if key not in rows), None)
        if missing is not None:
            raise KeyError(missing)
        return [rows[key] for key in keys]

    def _taken(self, wanted: Sequence[int]) -> np.ndarray:
        import numpy as np

        if self._all is None and self._reads and self._bytes() <= _IN_MEMORY:
            self._all = self._values(self._table.to_table(columns=["values", _SUM]))
        self._reads += 1
        if self._all is not None:
            return np.asarray(self._all[wanted], dtype=np.float32)
        unique, inverse = np.unique(wanted, return_inverse=True)
        return np.asarray(self._values(self._table.take(unique, columns=["values", _SUM]))[inverse], dtype=np.float32)

    def _shape(self) -> tuple[int, ...]:
        """Shape of one image's values."""
        return tuple(json.loads(self._table.schema.metadata[b"shape"]))

    def _bytes(self) -> int:
        """What all values weigh."""
        kind = self._table.schema.field("values").type
        return int(len(self._load()) * kind.list_size * kind.value_type.bit_width // 8)

    def _values(self, table: Any) -> np.ndarray:
        """A Lance result's values, shape (n, ...).

        Raises:
            DamagedTableError: When they are not those that were written.
        """
        values: np.ndarray = table["values"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        rows = values.reshape(table.num_rows, -1)
        if [zlib.crc32(row.data) for row in rows] != table[_SUM].to_pylist():
            raise DamagedTableError(
                "values of this table were changed", where=str(self.path), fix="run the same command again"
            )
        return values.reshape(table.num_rows, *self._shape())


class _Rows:
    """Stands in for the array that `Column.read` gives, in what heads use of it: shape, rows by index, and `take`."""

    def __init__(self, column: Column, images: Sequence[str], shape: tuple[int, ...]) -> None:
        self._column = column
        self._images = tuple(images)
        self.shape = (len(self._images), *shape)
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: Any) -> np.ndarray:
        import numpy as np

        rows = np.arange(len(self))[index]
        try:
            found = self._column.read([self._images[row] for row in np.atleast_1d(rows)])
        except KeyError as error:  # here when this was made: moved aside since
            raise DamagedTableError(
                "features are gone", where=str(self._column.path), fix="run the same command again"
            ) from error
        return found if np.ndim(rows) else np.asarray(found[0])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        import numpy as np

        return np.asarray(self[:], dtype=dtype)

    def take(self, rows: Sequence[int], axis: int = 0) -> np.ndarray:
        """Some rows, in the order given, which are read when they are asked for."""
        return self._column.rows([self._images[row] for row in rows])
