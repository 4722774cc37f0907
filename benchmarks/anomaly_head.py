"""The anomaly head against PatchCore at the same size: AUROC with each class of NEU-DET as the good one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks import line
from benchmarks.common import Figure, Reference, Result, draw, main, neu_classes, scratch

SEED = 0
LEARN, GOOD, OTHERS = 40, 40, 8
"""Good images to learn from, good images to tell apart, and images of each other class."""
TAPS = ("tap0", "tap1")
METHOD = (
    f"Each class in turn is the good one: {LEARN} images to learn from, {GOOD} others of it and {OTHERS} of each other "
    "class to tell apart. Both keep the same number of patches of the same width. Reference: PatchCore (Roth et al., "
    "2022): patches as they are, projected at random, an image's score is that of its strangest patch."
)


def run(quick: bool) -> Result:
    with scratch() as folder:
        classes = line.drawn(folder / "drawn", ("a", "b", "c"), 12) if quick else neu_classes()
        learn, good, others = (4, 4, 2) if quick else (LEARN, GOOD, OTHERS)
        (picked,) = draw(classes, [learn + good], SEED)
        table, rows = _features(folder / "home", picked, line.trunk(quick))
        ours, theirs = [], []
        for label, mine in rows.items():
            strange = [row for other, found in rows.items() if other != label for row in found[:others]]
            split = (mine[:learn], mine[learn:], strange)
            ours.append(_auroc(table, *split, whiten=True))
            theirs.append(_auroc(table, *split, whiten=False))
    figure = Figure(
        "anomaly head: mean AUROC, each class of NEU-DET as the good one", round(mean(ours), 4), "", "", True,
        Reference("PatchCore's patches and score", round(mean(theirs), 4), ""), mean(ours) / mean(theirs),
    )  # fmt: skip
    detail = {"classes": list(rows), "auroc": [round(a, 4) for a in ours], "patchcore": [round(a, 4) for a in theirs]}
    return Result([figure], METHOD, (SEED,), detail)


def _features(home: Path, picked: Mapping[str, list[Path]], trunk: str) -> tuple[Any, dict[str, list[int]]]:
    """Features of all images with their dense maps, and the rows of each class."""
    from trunkline.algorithms.trunks import resolve
    from trunkline.core.digest import digest_bytes
    from trunkline.core.settings import load_settings
    from trunkline.platform.engine.features import FeatureStore

    settings = load_settings(home)
    store = FeatureStore(settings, resolve(trunk, settings.home))
    data: dict[str, bytes] = {}
    labels: dict[str, str] = {}
    for label, paths in picked.items():
        for path in paths:
            content = path.read_bytes()
            data[digest_bytes(content)] = content
            labels.setdefault(digest_bytes(content), label)
    images = list(data)
    store.embed(images, read=lambda wanted: ((image, data[image]) for image in wanted), dense=TAPS)
    rows: dict[str, list[int]] = {label: [] for label in picked}
    for row, image in enumerate(images):
        rows[labels[image]].append(row)
    return store.table(images, dense=TAPS), rows


def _auroc(table: Any, learn: list[int], good: list[int], strange: list[int], *, whiten: bool) -> float:
    import numpy as np

    from trunkline.algorithms.heads import patches
    from trunkline.algorithms.metrics.ranking import auroc

    memory = (
        patches.remember(dict(table.take(learn).dense), np.arange(len(learn)), SEED)
        if whiten
        else _plain(dict(table.take(learn).dense), len(learn))
    )
    maps = patches.distance_maps(dict(table.take([*good, *strange]).dense), memory)
    score: Callable[[Any], Any] = patches.image_scores if whiten else (lambda m: m.reshape(len(m), -1).max(axis=1))
    flawed = np.array([False] * len(good) + [True] * len(strange))
    return float(auroc(score(maps), flawed, np.ones((1, len(flawed)), np.int64))[0])


def _plain(dense: dict[str, Any], count: int) -> Any:
    """A memory of patches as they are, on drawn orthogonal directions."""
    import numpy as np

    from trunkline.algorithms.heads import patches

    rng = np.random.default_rng(SEED)
    features = patches.patch_features(dense)
    flat = features.reshape(count, -1, features.shape[-1])
    width = min(patches.WIDTH, flat.shape[-1])
    drawn, _ = np.linalg.qr(rng.standard_normal((flat.shape[-1], width)))
    keep = max(1, min(flat.shape[1], 16_384 // count))
    pool = np.concatenate([rows[rng.permutation(len(rows))[:keep]] for rows in flat]) @ drawn
    bank = pool[patches.k_centres(pool.astype(np.float32), patches.BANK)]
    offset = np.zeros(width, np.float32)
    return patches.Memory(drawn.astype(np.float32), offset, bank.astype(np.float16), np.zeros(len(bank), np.int64))


if __name__ == "__main__":
    main(run)
