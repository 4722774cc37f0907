"""Pictures with what models saw drawn on them: `trunkline predict --show`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.core.drawing import Mark, drawn
from trunkline.core.errors import ConfigError
from trunkline.core.files import storage_errors, write_atomic

if TYPE_CHECKING:
    from trunkline.core.settings import Settings
    from trunkline.core.types.observation import Observation, Prediction

_QUALITY = 90


class Show:
    """A folder of pictures that are drawn on.

    Args:
        folder: Made when missing; a picture of the same name in it is replaced.
        settings: Largest image.

    Raises:
        StorageError: When the folder cannot be made.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder, self._settings = folder, settings
        self._taken: dict[str, str] = {}
        self._colours: dict[tuple[str, str], int] = {}
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, source: str, said: Sequence[tuple[str, Observation]]) -> Path:
        """Draw what models say of one image file.

        Args:
            source: Its path.
            said: Name of a model and what it says, for each model.

        Returns:
            The file that was written.

        Raises:
            ConfigError: When it would take the place of the image itself.
            DataError: When the image cannot be read any more.
            StorageError: When the disk is full.
        """
        from trunkline.core.images import decode

        path = self._place(source)
        if path.exists() and path.resolve() == Path(source).resolve():
            raise ConfigError(
                "expected another folder than that of the images", where=str(self._folder), fix="--show DIR"
            )
        image = decode(Path(source).read_bytes(), max_pixels=self._settings.max_pixels)
        many = len(said) > 1
        marks = [
            mark
            for name, observation in said
            for prediction in observation.predictions
            if (mark := self._mark(name if many else "", prediction)) is not None
        ]
        out = io.BytesIO()
        drawn(image, marks).save(out, "JPEG", quality=_QUALITY)
        write_atomic(path, out.getvalue(), durable=False)
        return path

    def _mark(self, name: str, seen: Prediction) -> Mark | None:
        if seen.box is None:
            return None
        colour = self._colours.setdefault((name, seen.label), len(self._colours))
        text = f"{seen.label} {seen.score:.2f}"
        return Mark(seen.box, f"{name}: {text}" if name else text, colour, faint=seen.accepted is False)

    def _place(self, source: str) -> Path:
        """A file for each source, also where two have the same name."""
        stem = Path(source).stem or "picture"
        name, number = f"{stem}.jpg", 2
        while self._taken.setdefault(name, source) != source:
            name, number = f"{stem}-{number}.jpg", number + 1
        return self._folder / name
