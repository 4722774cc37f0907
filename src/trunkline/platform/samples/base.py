"""What a source of samples is, and how its folder appears: at once or not at all."""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from trunkline.core.digest import canonical_json
from trunkline.core.errors import DataError
from trunkline.core.files import storage_errors

if TYPE_CHECKING:
    import numpy as np

    from trunkline.core.types.scenario import Scenario, Task

Progress = Callable[[int, int], None]
"""Told of images done and images in all."""
Picture = tuple[str, "np.ndarray"]
"""Path below the source's folder, and pixels: uint8 of shape (h, w) or (h, w, 3)."""
_ABOUT = "about.json"


@dataclass(frozen=True)
class SampleSet:
    """One set of labelled images that `trunkline build PATH` takes as it is.

    Attributes:
        name: The set's name.
        task: What it can be used for without a change.
        path: A folder with one folder a label, or a CSV file.
        images: How many images it has.
        licence: Licence of the images.
        source: Where they are from, for people.
        origin: Name of the plugin that collected it.
    """

    name: str
    task: Task
    path: Path
    images: int
    licence: str
    source: str
    origin: str

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ValueError(f"expected at least one image in {self.name!r}, got {self.images}")

    @property
    def root(self) -> Path:
        """The plugin's folder, which the set and the lists cut from it are in."""
        return self.path.parent


@dataclass(frozen=True)
class Collected:
    """What could be had, and what could not: (name, reason)."""

    sets: tuple[SampleSet, ...]
    missing: tuple[tuple[str, str], ...]


class SampleSource(Protocol):
    """A plugin of the table of samples."""

    def collect(self, into: Path, progress: Progress | None = None) -> list[SampleSet]:
        """Write the images below `into`, or find them there.

        Raises:
            TrunklineError: When they cannot be had, with the reason.
        """

    def scenarios(self, sets: Sequence[SampleSet]) -> list[Scenario]:
        """Models that can be made of the sets this plugin collected."""


def publish(
    folder: Path,
    recipe: int,
    pictures: Callable[[], Iterable[Picture]],
    *,
    total: int,
    texts: Callable[[], Mapping[str, str]] = dict,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Write a folder of PNG images at once, or find it there from before.

    Args:
        folder: The folder to appear.
        recipe: Raised when a source makes other images than before; an older folder is made anew.
        pictures: Called when the folder has to be made.
        total: How many pictures there will be.
        texts: Text files to put beside the pictures, asked for after the last picture.
        progress: Told of pictures written.

    Returns:
        Images by the first part of their path.

    Raises:
        StorageError: When the disk is full or cannot be written; nothing half is left.
    """
    known = _known(folder, recipe)
    if known is not None:
        if progress:
            progress(total, total)
        return known
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.part")
    counts: dict[str, int] = {}
    with storage_errors(folder):
        try:
            for stale in folder.parent.glob(
                f".{folder.name}.*.part"
            ):  # of a run that was killed; the caller has a lock
                shutil.rmtree(stale, ignore_errors=True)
            for number, (name, pixels) in enumerate(pictures(), 1):
                path = part / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(png(pixels))
                first = name.split("/")[0]
                counts[first] = counts.get(first, 0) + 1
                if progress:
                    progress(number, total)
            for name, text in texts().items():
                (part / name).write_text(text, encoding="utf-8")
            (part / _ABOUT).write_bytes(canonical_json({"recipe": recipe, "images": counts}))
            if folder.exists():
                shutil.rmtree(folder)
            os.rename(part, folder)  # noqa: PTH104 (Path.rename has the same words)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return counts


def _known(folder: Path, recipe: int) -> dict[str, int] | None:
    """Counts of a folder that is there, whole and of this recipe, else None."""
    try:
        about: dict[str, Any] = json.loads((folder / _ABOUT).read_bytes())
        counts: dict[str, int] = about["images"]
        there = {name: sum(1 for path in (folder / name).rglob("*.png") if path.stat().st_size) for name in counts}
    except (OSError, ValueError, KeyError, TypeError):  # not there, or torn by something that is not us: made anew
        return None
    return counts if about.get("recipe") == recipe and there == counts else None


def png(pixels: np.ndarray) -> bytes:
    """Pixels, uint8 of shape (h, w) or (h, w, 3), as a PNG file."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def package_file(package: str, name: str, extra: str, needed_for: str) -> Path:
    """A data file inside an installed package, found without importing the package.

    Raises:
        MissingExtraError: When the package is not installed.
        DataError: When this version of the package does not carry the file.
    """
    from importlib.util import find_spec

    from trunkline.core.errors import MissingExtraError

    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(package, extra, needed_for)
    path = Path(next(iter(spec.submodule_search_locations))) / name
    if not path.is_file():
        raise DataError(f"the installed {package} does not carry {name}", fix=f"pip install --upgrade {package}")
    return path
