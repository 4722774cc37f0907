"""Layouts of images and labels on disk: told from a folder's structure, read, written."""

from __future__ import annotations

from pathlib import Path

from trunkline.core.errors import DataError, InputError
from trunkline.core.plugins import Table
from trunkline.platform.data.formats.base import Format, Item, Parsed

__all__ = ["FORMATS", "Format", "Item", "Parsed", "detect", "load", "parse"]

FORMATS = Table(
    "format",
    {
        "imagefolder": "trunkline.platform.data.formats.imagefolder:ImageFolder",
        "coco": "trunkline.platform.data.formats.coco:Coco",
        "voc": "trunkline.platform.data.formats.voc:Voc",
        "yolo": "trunkline.platform.data.formats.yolo:Yolo",
        "mvtec": "trunkline.platform.data.formats.mvtec:Mvtec",
        "csv": "trunkline.platform.data.formats.csv_list:CsvList",
        "datumaro": "trunkline.platform.data.formats.datumaro_json:DatumaroJson",
    },
)
"""Names of layouts; each is a class without arguments that is a `base.Format`."""
_GENERAL = "imagefolder"  # any folder with images is one, so it counts only where nothing else speaks


def load(name: str, *, where: str | None = None) -> Format:
    """A layout by name.

    Raises:
        NotFoundError: When there is no such layout.
    """
    made: Format = FORMATS.load(name, where=where)()
    return made


def parse(path: Path, format: str | None = None) -> Parsed:  # noqa: A002 (the word that scenarios use)
    """Read a source.

    Args:
        path: A folder, or a single CSV, JSON or YAML file that names images beside it.
        format: Name of the layout; detected when None.

    Returns:
        The images with labels, boxes and splits; no image has been decoded, and none is outside the source's folder.

    Raises:
        NotFoundError: When there is no such layout.
        DataError: When there is nothing, no image, or a layout that cannot be told or read, with what to do.
    """
    if format is None:
        format = detect(path)  # noqa: A001
    layout = load(format, where=str(path))
    _there(path)
    try:
        parsed = layout.parse(path)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(error.filename or path)) from error
    if not parsed.items:
        reasons = "; ".join(finding.message for finding in parsed.findings[:3])
        raise DataError(
            f"expected images in the layout {format}, found none{': ' + reasons if reasons else ''}",
            where=str(path),
            fix="name the folder that holds both the images and their labels; docs/formats.md shows each layout",
        )
    return parsed


def detect(path: Path) -> str:
    """Tell the layout of a source from names, and from the first kilobytes of a few files.

    Raises:
        DataError: When there is nothing, no image, or more than one layout fits.
    """
    from trunkline.platform.data.formats.files import Look

    _there(path)
    try:
        look = Look(path)
        claims, broken = {}, []
        for name in FORMATS.names():
            try:
                why = load(name).detect(look)
            except InputError as error:
                if isinstance(error, DataError):
                    raise
                broken.append(
                    error.message
                )  # a layout from outside that does not load; it may be the one that is wanted
                continue
            if why:
                claims[name] = why
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(error.filename or path)) from error
    certain = {name: why for name, why in claims.items() if name != _GENERAL} or claims
    if len(certain) == 1:
        return next(iter(certain))
    if certain:
        found = "; ".join(f"{name} ({why})" for name, why in certain.items())
        raise DataError(
            f"more than one layout fits: {found}",
            where=str(path),
            fix="say which one: `--format NAME`, or `format: NAME` beside the path in a scenario",
        )
    text = f"expected images in a known layout ({', '.join(FORMATS.names())}), found {look.describe()}"
    raise DataError(
        "; ".join([text, *broken]),
        where=str(path),
        fix="put the images in one folder a class, or see docs/formats.md; unpack an archive first",
    )


def _there(path: Path) -> None:
    if not path.exists():
        raise DataError("expected a folder of images; there is nothing here", where=str(path), fix="check the path")
    if not path.is_dir() and not path.is_file():  # a named pipe would keep us waiting for ever
        raise DataError("expected a folder of images or a list, got what is neither", where=str(path))
