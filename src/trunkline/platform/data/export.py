"""A data set out again, in a layout that other tools read; the folder appears whole or not at all."""

from __future__ import annotations

import os
import posixpath
import secrets
import shutil
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.core.digest import digest_bytes, short
from trunkline.core.errors import DataError, StorageError
from trunkline.core.files import storage_errors
from trunkline.core.images import IMAGE_SUFFIXES
from trunkline.core.types.dataset import Dataset, Sample
from trunkline.platform.data.formats import FORMATS, Format, load
from trunkline.platform.data.formats.files import LAYOUT_WORDS, is_image, split_word, stem_of
from trunkline.platform.data.intake import source_round
from trunkline.platform.data.store import ImageStore

if TYPE_CHECKING:
    from trunkline.core.settings import Settings

_MAGIC = (
    (b"\xff\xd8\xff", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"BM", ".bmp"),
    (b"GIF8", ".gif"),
    (b"RIFF", ".webp"),
    (b"P", ".ppm"),
)
_FORBIDDEN = frozenset('\\:*?"<>|')  # on other systems than ours
_LONGEST = 120  # bytes of one name: a layout adds endings, and a file system takes 255


def export(dataset: Dataset, out: Path, layout: str, settings: Settings) -> None:
    """Write a data set's images, byte for byte, and its labels, boxes and splits.

    Args:
        dataset: The data set.
        out: A folder that is empty or not there.
        layout: Name of a layout.
        settings: Home of the images.

    Raises:
        NotFoundError: When there is no such layout, or an image is not in this home.
        DataError: When the layout cannot hold all of it, or the folder is not empty or in a source that was read;
            nothing is written then.
        StorageError: When the disk is full or the place cannot be written; nothing is left then.
    """
    made = load(layout, where="--format")
    if lack := made.lacks(dataset):
        able = [name for name in FORMATS.names() if not load(name).lacks(dataset)]
        raise DataError(
            f"the layout {layout} has no place for {lack}",
            where=dataset.name,
            fix=f"choose one that can hold it all: {', '.join(able)}" if able else None,
        )
    out = Path(os.path.abspath(out))  # noqa: PTH100 (resolve would follow a link in the last place)
    _check_place(out, settings)
    part = out.with_name(f".{out.name}.{secrets.token_hex(6)}.part")
    try:
        with storage_errors(out):
            part.mkdir(parents=True)
            places = _write_images(dataset, part, made, settings)
            made.annotate(part, dataset, places)
            part.replace(out)  # an empty folder may be there; anything else stops it
    except OSError as error:
        raise StorageError(
            f"this place cannot be written: {error.strerror or error}", where=str(out), fix="name another --out"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)  # nothing is there any more when all went well


def _check_place(out: Path, settings: Settings) -> None:
    if source := source_round(out, settings):
        raise DataError(
            f"expected a folder outside the source {source}, which would take the exported images for its own",
            where=str(out),
            fix="name another --out",
        )
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise DataError("expected a folder, got a file or a link", where=str(out), fix="name another --out")
    if out.is_dir() and any(out.iterdir()):
        raise DataError(
            "expected an empty folder, or none", where=str(out), fix="name another --out, or empty this one"
        )


def _write_images(dataset: Dataset, folder: Path, layout: Format, settings: Settings) -> list[str]:
    """Write the images where the layout wants them; returns their paths below the folder, in the samples' order."""
    names = _Names(layout)
    places = []
    images = ImageStore(settings.home).read([sample.image for sample in dataset.samples])
    for sample, (_, data) in zip(dataset.samples, images, strict=True):
        place = names.place(sample, data)
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        places.append(place)
    return places


class _Names:
    """Safe places for exported images: no two are the same without their endings, whatever their case.

    Folders are kept, but for those that only say "images are here" or name a split, which the layout adds itself.
    """

    def __init__(self, layout: Format) -> None:
        self._layout = layout
        self._next: dict[str, int] = {}

    def place(self, sample: Sample, data: bytes) -> str:
        """Where one sample goes, as "images/train/line-3/001.jpg".

        Args:
            sample: The sample; its name is where the new one begins.
            data: The image file's bytes, for an ending where the name has none.
        """
        parts = [_part(part) for part in sample.name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        base, ending = posixpath.splitext(parts[-1] if parts else "image")
        if ending.lower() not in IMAGE_SUFFIXES:
            base, ending = base + ending, next((end for magic, end in _MAGIC if data.startswith(magic)), ".tif")
        folders = [f"{p}_" if is_image(p) else p for p in parts[:-1]]  # a folder may not be in the way of a file
        folders = [p for p in folders if p.casefold() not in LAYOUT_WORDS and not split_word(p)]
        wanted = place = self._layout.place(sample.split, sample.labels, "/".join([*folders, base + ending]))
        while (key := _key(place)) in self._next:
            number = self._next[_key(wanted)] = self._next[_key(wanted)] + 1
            place = f"{wanted.removesuffix(ending)}-{number}{ending}"
        self._next[key] = 1
        return place


def _key(place: str) -> str:
    return unicodedata.normalize("NFC", stem_of(place)).casefold()


def _part(name: str) -> str:
    """One part of a path that every file system takes."""
    plain = "".join("_" if c in _FORBIDDEN or not c.isprintable() else c for c in name).strip(" ").rstrip(".")
    plain = f"_{plain}" if plain[:1] in ("", ".") else plain
    if len(plain.encode()) <= _LONGEST:
        return plain
    base, ending = posixpath.splitext(plain)
    short_base = base.encode()[: _LONGEST - 30].decode("utf-8", "ignore")
    return f"{short_base}-{short(digest_bytes(plain.encode()))}{ending if len(ending) < 8 else ''}"
