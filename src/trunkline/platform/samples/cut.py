"""Many scenarios on the same images: each is a CSV list beside them, so that no image is kept or embedded twice."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trunkline.core.files import write_atomic
from trunkline.core.types.scenario import Labels, OperatingPoint, Scenario, Source, Task
from trunkline.platform.samples.base import SampleSet

GATES: Mapping[Task, Mapping[str, str]] = {
    "classify": {"accuracy": ">= 0.9", "recall_min": ">= 0.8"},
    "multilabel": {"average_precision": ">= 0.8"},
    "anomaly": {"auroc": ">= 0.9"},
}
"""What a demonstration asks of its models; some of them fail, and the demonstration says so."""


@dataclass(frozen=True)
class Row:
    """One line of a list: the image's path below the root, its labels, its split ("" where the line splits)."""

    path: str
    labels: tuple[str, ...]
    split: str = ""


def images_of(sample: SampleSet) -> dict[str, list[str]]:
    """Label -> paths below the set's root, sorted, for a set with one folder a label."""
    place = sample.path.relative_to(sample.root).as_posix()
    labels = sorted(folder.name for folder in sample.path.iterdir() if folder.is_dir())
    names = {label: sorted(file.name for file in (sample.path / label).iterdir()) for label in labels}
    return {label: [f"{place}/{label}/{n}" for n in names[label] if n.endswith(".png")] for label in labels}


def table(rows: Iterable[Row]) -> str:
    """Rows as CSV text with the columns path, label and split; several labels are parted by semicolons."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["path", "label", "split"])
    for row in rows:
        writer.writerow([row.path, ";".join(row.labels), row.split])
    return stream.getvalue()


def listed(
    sample: SampleSet, name: str, task: Task, rows: Sequence[Row], *, good: str | None = None, **options: object
) -> Scenario:
    """A scenario on some images of a set.

    Args:
        sample: The set; the list is written into its root.
        name: Name of the scenario and of the list.
        task: Its task.
        rows: Images with labels.
        good: For `anomaly`: the label of flawless images.
        **options: Other fields of `Scenario`.
    """
    path = sample.root / f"{name}.csv"
    _keep(path, table(rows))
    labels = Labels(good=(good,)) if good else Labels()
    fields: dict[str, object] = {"gates": dict(GATES[task]), "licence": sample.licence, "labels": labels, **options}
    return Scenario(name=name, task=task, data=(Source(path=path, format="csv"),), **fields)  # type: ignore[arg-type]


def _keep(path: Path, text: str) -> None:
    """Write a list unless it is there already: a new time on it would have the folder taken in again."""
    data = text.encode()
    if not path.is_file() or path.read_bytes() != data:
        write_atomic(path, data)


def classes(sample: SampleSet, name: str, labels: Sequence[str], each: int) -> Scenario:
    """Tell labels apart, `each` images a label."""
    images = images_of(sample)
    return listed(sample, name, "classify", [Row(p, (label,)) for label in labels for p in images[label][:each]])


def one_or_not(sample: SampleSet, name: str, label: str, count: int, others: int) -> Scenario:
    """Tell one label from the rest: `count` images of it, and `others` images spread over all other labels."""
    images = images_of(sample)
    rows = [Row(path, (label,)) for path in images[label][:count]]
    rest = [paths for other, paths in images.items() if other != label]
    mixed = [path for ranked in zip(*rest, strict=False) for path in ranked]
    return listed(sample, name, "classify", [*rows, *(Row(path, (f"not-{label}",)) for path in mixed[:others])])


def stranger(
    sample: SampleSet, name: str, good: str, *, others: Sequence[str], counts: tuple[int, int, int, int]
) -> Scenario:
    """Find what does not belong: learn one label, and of the others only a few marked examples.

    Args:
        sample: The set.
        name: Name of the scenario.
        good: The label that belongs.
        others: Labels that do not, taken in turn.
        counts: Good images to learn from and to test, others to learn from and to test.
    """
    images = images_of(sample)
    belongs, belongs_test, few, test = counts
    mixed = [(other, path) for ranked in zip(*(images[o] for o in others), strict=False)
             for other, path in zip(others, ranked, strict=True)]  # fmt: skip
    rows = [Row(p, (good,), "train") for p in images[good][:belongs]]
    rows += [Row(p, (good,), "test") for p in images[good][belongs : belongs + belongs_test]]
    rows += [Row(path, (other,), "train") for other, path in mixed[:few]]
    rows += [Row(path, (other,), "test") for other, path in mixed[few : few + test]]
    point = OperatingPoint(false_reject_rate=0.05)
    return listed(sample, name, "anomaly", rows, good=good, operating_point=point)
