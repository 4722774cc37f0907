"""Still images: one file, or all images below a folder, in a stable order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from trunkline.core.errors import DataError
from trunkline.core.images import IMAGE_SUFFIXES, MAX_BYTES, TooLargeError, decode
from trunkline.core.types.observation import Reading


class FolderSensor:
    """Reads still images.

    Args:
        path: An image file, or a folder.
        max_pixels: Largest image that is decoded.
        on_error: Told of each image that could not be read; the others go on. When None, the error is raised.

    Raises:
        DataError: When there is nothing at `path`, or no image below it.
    """

    def __init__(
        self, path: Path, *, max_pixels: int, on_error: Callable[[Path, DataError], None] | None = None
    ) -> None:
        self.path = path
        self.max_pixels = max_pixels
        self.on_error = on_error
        self.files = [path] if path.is_file() else self._below(path)

    @staticmethod
    def _below(folder: Path) -> list[Path]:
        if not folder.is_dir():
            raise DataError("expected an image or a folder of images; there is nothing here", where=str(folder))
        files = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
        if not files:
            shown = " ".join(sorted(IMAGE_SUFFIXES))
            raise DataError(f"expected images ({shown}), found none", where=str(folder))
        return files

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Reading]:
        import numpy as np

        for path in self.files:
            try:
                pixels = np.asarray(decode(self._bytes(path), max_pixels=self.max_pixels))
            except OSError as error:
                self._fail(path, DataError(f"cannot be read: {error.strerror or error}", where=str(path)))
            except DataError as error:
                self._fail(path, DataError(error.message, where=str(path), fix=error.fix))
            else:
                yield Reading(source=str(path), frame=0, time=0.0, pixels=pixels)

    @staticmethod
    def _bytes(path: Path) -> bytes:
        size = path.stat().st_size
        if size > MAX_BYTES:  # asked before it is read into memory
            raise TooLargeError(f"expected a file of at most {MAX_BYTES >> 20} MB, got {size >> 20} MB")
        return path.read_bytes()

    def _fail(self, path: Path, error: DataError) -> None:
        if self.on_error is None:
            raise error
        self.on_error(path, error)
