"""What datumaro does for us: reads its own JSON, and writes it and COCO's. Imported only when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trunkline.core.errors import DataError, MissingExtraError
from trunkline.core.types.dataset import Dataset, Sample
from trunkline.platform.data.formats.base import space_of


def load() -> Any:
    """The package (half a second, once).

    Raises:
        MissingExtraError: When it is not installed.
    """
    try:
        import datumaro
    except ImportError as error:
        raise MissingExtraError("datumaro", "build", "this layout") from error
    return datumaro


def write(folder: Path, layout: str, dataset: Dataset, names: Sequence[str], **options: Any) -> None:
    """Write annotations with one of datumaro's exporters; the images are written elsewhere, byte for byte.

    Args:
        folder: The folder to write into.
        layout: The exporter's name.
        dataset: What to write.
        names: For each sample, the image's path below its split's folder.
        **options: The exporter's own options.
    """
    dm = load()
    space = space_of(dataset)
    index = {label: number for number, label in enumerate(space)}
    pairs = zip(dataset.samples, names, strict=True)
    items = [_item(dm, sample, name, index) for sample, name in pairs]
    made = dm.Dataset.from_iterable(items, categories=space, media_type=dm.Image)
    try:
        made.export(str(folder), layout, save_media=False, **options)
    except Exception as error:  # a full disk may come wrapped
        causes = [error, error.__cause__, error.__context__]
        raise next((cause for cause in causes if isinstance(cause, OSError)), error) from error


def _item(dm: Any, sample: Sample, name: str, index: dict[str, int]) -> Any:
    marks = [dm.Label(index[label]) for label in sample.labels]
    marks += [
        dm.Bbox(box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1, label=index[box.label], group=number)
        for number, box in enumerate(sample.boxes, 1)  # boxes of one group are written as one
    ]
    media = dm.Image.from_file(path=name, size=(sample.height, sample.width))
    stem = name.rpartition(".")[0]
    return dm.DatasetItem(id=stem, subset=sample.split or "default", media=media, annotations=marks)


def read(file: Path, layout: str, report: Callable[[str, str], None]) -> tuple[list[Any], list[str]]:
    """Read one annotation file with one of datumaro's readers.

    The reader is asked itself, not `Dataset.import_from`, which refuses a file as a whole for one repeated image.

    Args:
        file: The file.
        layout: The reader's name.
        report: Called with an item's id and a reason for each item or annotation that datumaro leaves out.

    Returns:
        Datumaro's items, and its labels in the order that annotations count them.

    Raises:
        DataError: When datumaro refuses the file as a whole.
    """
    dm = load()
    from datumaro.components.importer import ImportContext, ImportErrorPolicy

    class Policy(ImportErrorPolicy):  # type: ignore[misc]
        def _handle_item_error(self, error: Any) -> None:
            report(str(error.item_id[0]), _reason(error))

        _handle_annotation_error = _handle_item_error

    try:
        reader = dm.Environment().make_extractor(layout, str(file), ctx=ImportContext(error_policy=Policy()))
        labels = reader.categories().get(dm.AnnotationType.label, ())
        return list(reader), [label.name for label in labels]
    except Exception as error:  # hostile files make it raise nearly anything
        raise DataError(
            f"datumaro cannot read this file: {_reason(error)}",
            where=str(file),
            fix="export it again from where it is from",
        ) from error


def _reason(error: BaseException) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {cause}"[:200]
