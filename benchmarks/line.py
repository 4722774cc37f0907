"""The line under measurement: homes that are set up, lists of images, builds that say what they cost."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common import Classes, Cost, cost, scratch

if TYPE_CHECKING:
    import numpy as np

    from trunkline.core.types.scenario import Scenario
    from trunkline.platform.line.results import BuildResult

TRUNK, QUICK_TRUNK = "efficientnet-lite0", "test-trunk"
SET_UP = ("trunks", "runtimes.json")
"""What a home keeps of the machine: the exported trunk, and which runtime is the faster one here."""


def trunk(quick: bool) -> str:
    """Name of the trunk to measure."""
    return QUICK_TRUNK if quick else TRUNK


def drawn(folder: Path, labels: Sequence[str], count: int) -> dict[str, list[Path]]:
    """Small pictures of stripes, for a quick run: label -> files."""
    import numpy as np
    from PIL import Image

    classes: dict[str, list[Path]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for kind, label in enumerate(labels):
        for number in range(count):
            rng = np.random.default_rng([kind, number])
            stripes = 60 * np.sin(np.arange(40) * (0.2 + 0.3 * kind) + rng.uniform(0, 6.28))
            pixels = 128 + stripes[None, :, None] + rng.normal(0, 15, (40, 40, 3))
            path = folder / f"{label}_{number}.png"
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
            classes.setdefault(label, []).append(path)
    return classes


def copied(folder: Path, classes: Classes) -> dict[str, list[Path]]:
    """The same images, copied into one folder, so that lists can name them beside themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    return {label: [Path(shutil.copy2(path, folder / path.name)) for path in paths] for label, paths in classes.items()}


def listed(path: Path, parts: Mapping[str, Classes]) -> Path:
    """A CSV list: path beside the list, label, split.

    Args:
        path: The list.
        parts: Split ("train", "test" or "") -> label -> images.
    """
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["path", "label", "split"])
        for split, classes in parts.items():
            for label, images in classes.items():
                writer.writerows([image.relative_to(path.parent).as_posix(), label, split] for image in images)
    return path


def scenario(name: str, path: Path, *, trunk: str, **fields: Any) -> Scenario:
    """A scenario that sorts images into classes."""
    from trunkline.core.types.scenario import Scenario, Source

    return Scenario(name=name, task="classify", data=(Source(path=path),), trunk=trunk, **fields)


def set_up(home: Path, trunk: str) -> Cost:
    """What a machine needs once: the trunk exported, and the faster runtime found."""
    from trunkline.algorithms.trunks import open_trunk, resolve
    from trunkline.core.settings import load_settings

    settings = load_settings(home)
    with cost() as spent:
        open_trunk(resolve(trunk, home), settings).close()
    return spent


def fresh(home: Path, like: Path) -> Path:
    """A new home on a machine that was set up: nothing in it but what `set_up` made in another one."""
    home.mkdir(parents=True)
    for name in SET_UP:
        source = like / name
        if source.is_dir():
            shutil.copytree(source, home / name)
        else:
            shutil.copy2(source, home / name)
    return home


@dataclass(frozen=True)
class Built:
    """Models, and what the whole run cost.

    Attributes:
        results: One a scenario, in order.
        spent: Wall and CPU seconds of the run.
        embedded: Images that went through the trunk to be embedded.
        cpu_by_station: CPU seconds.
    """

    results: Sequence[BuildResult]
    spent: Cost
    embedded: int
    cpu_by_station: dict[str, float]


def build(home: Path, scenarios: Sequence[Scenario]) -> Built:
    """Build scenarios and measure the run.

    Raises:
        SystemExit: When one of them could not be built.
    """
    from trunkline.core.settings import load_settings
    from trunkline.platform.line.results import Silent
    from trunkline.platform.line.runner import Line

    settings = load_settings(home)
    with counted() as images, cost() as spent:
        line = Line(settings, Silent(), "benchmark")
        try:
            with line.shop.blas.limit(0):  # as `run_line` does
                results = {result.scenario: result for result in line.run(scenarios)}
        finally:
            line.shop.close()
    if line.errors:
        name, error = line.errors[0]
        raise SystemExit(f"benchmarks: {name} was not built: {error}")
    return Built([results[s.name] for s in scenarios], spent, sum(images), line.shop.meter.total.cpu_by_station())


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the images that streams of trunk sessions take, batch by batch."""
    from trunkline.algorithms.trunks.use import TrunkSession

    sizes: list[int] = []
    original = TrunkSession.stream

    def stream(self: TrunkSession, batches: Any) -> Any:
        def counting() -> Iterator[np.ndarray]:
            for batch in batches:
                sizes.append(len(batch))
                yield batch

        return original(self, counting())

    TrunkSession.stream = stream  # type: ignore[method-assign]
    try:
        yield sizes
    finally:
        TrunkSession.stream = original  # type: ignore[method-assign]


def warm_up() -> None:
    """Import all that a build imports: a small model of drawn pictures is built in a home that goes away."""
    with scratch() as folder:
        path = listed(folder / "list.csv", {"": drawn(folder / "images", ("a", "b"), 6)})
        build(folder / "home", [scenario("warm-up", path, trunk=QUICK_TRUNK)])


def pooled(home: Path, name: str, trunk: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], tuple[str, ...]]:
    """What a scenario's head learned from and was measured on.

    Args:
        home: Where it was built.
        name: The scenario.
        trunk: Its trunk.

    Returns:
        By split: features of shape (n, d); label numbers of shape (n,). The labels.
    """
    import numpy as np

    from trunkline.algorithms.trunks import resolve
    from trunkline.core.settings import load_settings
    from trunkline.platform.data.store import DataStore
    from trunkline.platform.engine.features import FeatureStore

    settings = load_settings(home)
    store = FeatureStore(settings, resolve(trunk, home))
    dataset = DataStore(settings).load(name)
    features, numbers = {}, {}
    for split in ("train", "test"):
        samples = dataset.split(split)
        features[split] = store.table([sample.image for sample in samples]).pooled
        numbers[split] = np.array([dataset.labels.index(sample.labels[0]) for sample in samples])
    return features, numbers, dataset.labels
