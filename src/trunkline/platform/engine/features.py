"""The feature cache: an image is embedded once for each trunk, whichever scenario it is in.

Kept in Lance under `HOME/features/`: one table of pooled features a trunk, and one a tap for dense maps. Rows are
appended a few hundred at a time, so a kill costs at most those; a lock makes two processes take turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.algorithms.trunks import Trunk, open_trunk, preprocess
from trunkline.core.errors import DataError
from trunkline.core.files import locked
from trunkline.core.images import decode
from trunkline.core.types.features import FeatureTable
from trunkline.platform.tables import exists, open_table, write_table

if TYPE_CHECKING:
    import numpy as np

    from trunkline.core.settings import Settings

Read = Callable[[Sequence[str]], Iterable[tuple[str, bytes]]]
Progress = Callable[[int, int], None]
_APPEND = 256  # images between two writes
_FRAGMENTS = 64  # files of one table before they are put together


class FeatureStore:
    """Features of one trunk in one home.

    Args:
        settings: Home, threads, batch, runtime.
        trunk: The trunk.

    Attributes:
        embedded: Images that this object really ran the trunk on.
    """

    def __init__(self, settings: Settings, trunk: Trunk) -> None:
        self.settings = settings
        self.trunk = trunk
        self.embedded = 0
        self._tables = {"pooled": _Column(settings.home, trunk.card.digest, "pooled")}

    def _column(self, name: str) -> _Column:
        if name not in self._tables:
            self._tables[name] = _Column(self.settings.home, self.trunk.card.digest, name)
        return self._tables[name]

    def missing(self, images: Sequence[str], *, dense: Sequence[str] = ()) -> list[str]:
        """Those of the images (each once) that have no features here yet.

        Args:
            images: Image digests.
            dense: Names of the taps whose maps are wanted as well.
        """
        columns = [self._column(name) for name in ("pooled", *dense)]
        return [image for image in dict.fromkeys(images) if not all(column.has(image) for column in columns)]

    def embed(
        self, images: Sequence[str], *, read: Read, dense: Sequence[str] = (), progress: Progress | None = None
    ) -> None:
        """Run the trunk on images and keep their features.

        Args:
            images: Image digests, as `missing` gave them.
            read: Gives (digest, file bytes) for digests.
            dense: Names of the taps whose maps are kept as well.
            progress: Told of images done and images in all.

        Raises:
            DataError: On an image that cannot be decoded.
            StorageError: When the disk is full.
        """
        lock = self.settings.home / "locks" / f"features-{self.trunk.card.digest[:16]}.lock"
        with locked(lock):
            for name in ("pooled", *dense):
                self._column(name).refresh()
            todo = self.missing(images, dense=dense)
            done = len(images) - len(todo)
            session = open_trunk(self.trunk, self.settings, dense=bool(dense))
            try:
                kept: list[tuple[tuple[str, ...], Any]] = []
                for digests, out in self._run(session, todo, read):
                    kept.append((digests, out))
                    done += len(digests)
                    self.embedded += len(digests)
                    if sum(len(d) for d, _ in kept) >= _APPEND:
                        self._append(kept, dense)
                        kept = []
                    if progress:
                        progress(done, len(images))
                self._append(kept, dense)
            finally:
                session.close()

    def _run(self, session: Any, images: Sequence[str], read: Read) -> Iterator[tuple[tuple[str, ...], Any]]:
        waiting: deque[tuple[str, ...]] = deque()

        def batches() -> Iterator[np.ndarray]:
            import numpy as np

            stream = iter(decoded(images, read, self.trunk.card, self.settings))
            while batch := list(islice(stream, self.settings.batch)):
                waiting.append(tuple(digest for digest, _ in batch))
                yield np.stack([pixels for _, pixels in batch])

        for out in session.stream(batches()):
            yield waiting.popleft(), out

    def _append(self, kept: Sequence[tuple[tuple[str, ...], Any]], dense: Sequence[str]) -> None:
        import numpy as np

        if not kept:
            return
        images = [digest for digests, _ in kept for digest in digests]
        for name in ("pooled", *dense):
            self._column(name).append(images, np.concatenate([out[name] for _, out in kept]))

    def table(self, images: Sequence[str], *, dense: Sequence[str] = ()) -> FeatureTable:
        """Features of images that were embedded before, row by row in the order asked for.

        Raises:
            KeyError: On an image that was not embedded.
        """
        return FeatureTable(
            images=tuple(images),
            pooled=self._column("pooled").read(images),
            trunk=self.trunk.card.digest,
            dense={name: self._column(name).read(images) for name in dense},
        )


def decoded(images: Sequence[str], read: Read, card: Any, settings: Settings) -> Iterator[tuple[str, np.ndarray]]:
    """Images decoded and resized in threads, in order, a bounded number ahead of the trunk."""

    def one(digest: str, data: bytes) -> tuple[str, np.ndarray]:
        try:
            return digest, preprocess(decode(data, max_pixels=settings.max_pixels), card)
        except DataError as error:
            raise DataError(error.message, where=f"image {digest[:12]}", fix=error.fix) from error

    ahead: deque[Future[tuple[str, np.ndarray]]] = deque()
    with ThreadPoolExecutor(settings.threads, thread_name_prefix="decode") as pool:
        for start in range(0, len(images), _APPEND):
            for digest, data in read(images[start : start + _APPEND]):
                ahead.append(pool.submit(one, digest, data))
                if len(ahead) > 3 * settings.batch:
                    yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


class _Column:
    """One Lance table: digest and a fixed number of float16 or float32 values, with their shape."""

    def __init__(self, home: Path, trunk: str, name: str) -> None:
        self.path = home / "features" / f"{trunk}-{name}.lance"
        self.dtype = "float32" if name == "pooled" else "float16"
        self._rows: dict[bytes, int] | None = None
        self._table: Any = None

    def refresh(self) -> None:
        """Look again: another process may have appended."""
        self._rows = None

    def _load(self) -> dict[bytes, int]:
        if self._rows is None:
            if exists(self.path):
                self._table = open_table(self.path)
                column = self._table.to_table(columns=["image"])["image"].to_pylist()
                self._rows = {image: row for row, image in enumerate(column)}
            else:
                self._rows = {}
        return self._rows

    def has(self, image: str) -> bool:
        return bytes.fromhex(image) in self._load()

    def append(self, images: Sequence[str], values: np.ndarray) -> None:
        import json

        import numpy as np
        import pyarrow as pa

        rows = self._load()
        fresh = [i for i, image in enumerate(images) if bytes.fromhex(image) not in rows]
        if not fresh:
            return
        shape = values.shape[1:]
        flat = np.ascontiguousarray(values[fresh].reshape(len(fresh), -1).astype(self.dtype))
        column = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1])
        keys = pa.array([bytes.fromhex(images[i]) for i in fresh], type=pa.binary(32))
        schema = pa.schema(
            [pa.field("image", keys.type), pa.field("values", column.type)], metadata={"shape": json.dumps(shape)}
        )
        table = pa.Table.from_arrays([keys, column], schema=schema)
        self._table = write_table(self.path, table)
        for key in keys.to_pylist():
            rows[key] = len(rows)
        if len(self._table.get_fragments()) > _FRAGMENTS:
            self._table.optimize.compact_files()
            self.refresh()

    def read(self, images: Sequence[str]) -> np.ndarray:
        """Values of images as an array of shape (n, ...)."""
        import json

        import numpy as np

        rows = self._load()
        index = np.array([rows[bytes.fromhex(image)] for image in images], dtype=np.int64)
        if not len(index):
            return np.zeros((0, 0), dtype=np.float32)
        shape = json.loads(self._table.schema.metadata[b"shape"])
        unique, inverse = np.unique(index, return_inverse=True)
        column = self._table.take(unique, columns=["values"])["values"].combine_chunks()
        values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(unique), *shape)
        return np.asarray(values[inverse], dtype=np.float32)
