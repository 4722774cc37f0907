"""The feature cache: an image is embedded once for each trunk, whichever scenario it is in.

Kept in Lance under `HOME/features/`: one table of pooled features a trunk, and one a tap for dense maps. Rows are
appended a few hundred at a time, so a kill costs at most those; a lock makes two processes take turns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from trunkline.algorithms.trunks import Trunk, open_trunk, preprocess
from trunkline.core.errors import DataError, InputError
from trunkline.core.files import locked
from trunkline.core.images import decode
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.view import AS_IT_IS, View
from trunkline.platform.engine.columns import Column
from trunkline.platform.tables import DamagedTableError

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.trunks import TrunkCard, TrunkSession
    from trunkline.core.settings import Settings

Read = Callable[[Sequence[str]], Iterable[tuple[str, bytes]]]
Progress = Callable[[int, int], None]
_APPEND_IMAGES = 256  # images between two writes, a few seconds of work
_APPEND_BYTES = 64 << 20  # a trunk with large maps writes sooner
_READ = 32  # files whose bytes are asked for at once: photographs of 10 MB each are 320 MB


class FeatureStore:
    """Features of one trunk in one home.

    Args:
        settings: Home, threads, batch, runtime.
        trunk: The trunk.
        view: How it sees the pictures.

    Attributes:
        embedded: Images that this object really ran the trunk on.
    """

    def __init__(self, settings: Settings, trunk: Trunk, view: View = AS_IT_IS) -> None:
        self.settings = settings
        self.view = view
        self.trunk = trunk
        self.embedded = 0
        self._columns: dict[str, Column] = {}

    def _column(self, name: str) -> Column:
        if name not in self._columns:
            taps = [tap.name for tap in self.trunk.card.taps]
            if name not in ("pooled", *taps):
                raise InputError(
                    f"expected a trunk with the tap {name!r}, this one has {', '.join(taps)}",
                    where=f"trunk {self.trunk.card.name}",
                    fix="name a trunk with more taps; tasks that look at places need two",
                )
            kept = f"{name}-{self.view.key}" if self.view.number else name
            self._columns[name] = Column(self.settings.home, self.trunk.card.digest, kept)
        return self._columns[name]

    def missing(self, images: Sequence[str], *, dense: Sequence[str] = ()) -> list[str]:
        """Those of the images (each once) that have no features here yet.

        Args:
            images: Image digests.
            dense: Names of the taps whose maps are wanted as well.

        Raises:
            InputError: When the trunk has no such tap.
        """
        columns = [self._column(name) for name in ("pooled", *dense)]
        return [image for image in dict.fromkeys(images) if not all(column.has(image) for column in columns)]

    def embed(
        self,
        images: Sequence[str],
        *,
        read: Read,
        dense: Sequence[str] = (),
        progress: Progress | None = None,
        session: TrunkSession | None = None,
    ) -> None:
        """Run the trunk on images and keep their features.

        Args:
            images: Image digests, as `missing` gave them.
            read: Gives (digest, file bytes) for digests.
            dense: Names of the taps whose maps are kept as well.
            progress: Told of images done and images in all.
            session: The trunk, open, when the caller has it; it stays the caller's. Opened here when not given.

        Raises:
            DataError: On an image that cannot be decoded.
            InputError: When the trunk has no such tap, or gives numbers that are not finite.
            StorageError: When the disk is full; what was written before stays.
        """
        names = ("pooled", *dense)
        lock = self.settings.home / "locks" / f"features-{self.trunk.card.digest[:16]}.lock"
        with locked(lock):
            for name in names:
                self._column(name).refresh()
            todo = self.missing(images, dense=dense)
            done = len(images) - len(todo)
            if not todo:
                return
            opened = session or open_trunk(self.trunk, self.settings, dense=bool(dense))
            kept = _Kept(names)
            try:
                with closing(embedded(opened, todo, read, self.settings, self.view)) as results:
                    for digests, out in results:
                        kept.add(digests, out)
                        if kept.full:
                            self._append(kept)
                        done += len(digests)
                        self.embedded += len(digests)
                        if progress:
                            progress(done, len(images))
                self._append(kept)
            finally:
                if session is None:
                    opened.close()

    def ensure(self, images: Sequence[str], *, read: Read, dense: Sequence[str] = ()) -> FeatureTable:
        """Features of images, row by row in the order asked for; those that have none are embedded first.

        Raises as `embed` and `table` do.
        """
        for _ in range(2):
            missing = self.missing(images, dense=dense)
            if missing:
                self.embed(missing, read=read, dense=dense)
            with suppress(DamagedTableError):  # moved aside: what it held is made again
                return self.table(images, dense=dense)
        return self.table(images, dense=dense)

    def _append(self, kept: _Kept) -> None:
        import numpy as np

        images, arrays = kept.take()
        for name, values in arrays.items():
            if not np.isfinite(values).all():
                raise InputError(
                    f"the trunk gave numbers that are not finite, in {name!r}",
                    where=f"trunk {self.trunk.card.name}",
                    fix="the weights, or the mean and scale of its card, are wrong; mend them or name another trunk",
                )
        for name, values in arrays.items():
            self._column(name).append(images, values)

    def table(self, images: Sequence[str], *, dense: Sequence[str] = ()) -> FeatureTable:
        """Features of images that were embedded before, row by row in the order asked for.

        Raises:
            KeyError: On an image that was not embedded.
            InputError: When the trunk has no such tap.
        """
        columns = {name: self._column(name) for name in ("pooled", *dense)}
        return FeatureTable(
            images=tuple(images),
            pooled=columns["pooled"].read(images),
            trunk=self.trunk.card.digest,
            dense={name: columns[name].rows(images) for name in dense},
        )


class _Kept:
    """Features that wait to be written."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._images: list[str] = []
        self._parts: list[list[np.ndarray]] = []

    def add(self, images: Sequence[str], out: Any) -> None:
        self._images.extend(images)
        self._parts.append([out[name] for name in self.names])

    @property
    def full(self) -> bool:
        size = sum(part.nbytes for parts in self._parts for part in parts)
        return len(self._images) >= _APPEND_IMAGES or size >= _APPEND_BYTES

    def take(self) -> tuple[list[str], dict[str, np.ndarray]]:
        """All images with their features by name; none wait afterwards."""
        import numpy as np

        images, parts = self._images, self._parts
        self._images, self._parts = [], []
        if not images:
            return [], {}
        return images, {
            name: np.concatenate(row) for name, row in zip(self.names, zip(*parts, strict=True), strict=True)
        }


def embedded(
    session: TrunkSession, images: Sequence[str], read: Read, settings: Settings, view: View = AS_IT_IS
) -> Generator[tuple[tuple[str, ...], Mapping[str, np.ndarray]], None, None]:
    """Features of images from their files' bytes: decoding in threads, the trunk at work meanwhile, in order.

    Args:
        session: The trunk, open.
        images: Image digests.
        read: Gives (digest, file bytes) for digests, in their order.
        settings: Threads, batch, largest image.
        view: How the trunk sees the pictures.

    Yields:
        Digests of one batch with the trunk's outputs.

    Raises:
        DataError: On an image that cannot be decoded.
    """
    waiting: deque[tuple[str, ...]] = deque()

    def batches(stream: Iterable[tuple[str, np.ndarray]]) -> Generator[np.ndarray, None, None]:
        import numpy as np

        pictures = iter(stream)
        while batch := list(islice(pictures, settings.batch)):
            waiting.append(tuple(digest for digest, _ in batch))
            yield np.stack([pixels for _, pixels in batch])

    # Closed in this order when the caller stops early: first the trunk, then the threads that decode for it.
    with (
        closing(decoded(images, read, session.card, settings, view)) as stream,
        closing(session.stream(batches(stream))) as outputs,
    ):
        for out in outputs:
            yield waiting.popleft(), out


def decoded(
    images: Sequence[str], read: Read, card: TrunkCard, settings: Settings, view: View = AS_IT_IS
) -> Generator[tuple[str, np.ndarray], None, None]:
    """Images decoded and resized in threads, in order, a bounded number ahead of the trunk.

    Args:
        images: Image digests.
        read: Gives (digest, file bytes) for digests, in their order.
        card: Says the trunk's input size.
        settings: Threads, batch, largest image.
        view: How the trunk sees them.

    Yields:
        Digest and uint8 pixels of shape (size, size, 3).

    Raises:
        DataError: On an image that cannot be decoded.
    """

    def one(digest: str, data: bytes) -> tuple[str, np.ndarray]:
        try:
            window = view.window(digest) if view.number else None
            return digest, preprocess(decode(data, max_pixels=settings.max_pixels), card, window)
        except DataError as error:
            raise DataError(error.message, where=f"image {digest[:12]}", fix=error.fix) from error

    ahead: deque[Future[tuple[str, np.ndarray]]] = deque()
    pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="decode")
    try:
        for start in range(0, len(images), _READ):
            for digest, data in read(images[start : start + _READ]):
                ahead.append(pool.submit(one, digest, data))
                if len(ahead) > 2 * settings.batch:
                    yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
