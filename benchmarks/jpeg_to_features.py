"""Images a second from JPEG files to pooled features, against the same trunk graph fed from memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import line
from benchmarks.common import NEU, Figure, Reference, Result, main, scratch

ASKED = 0.75
THREADS = 2
PAIRS, IMAGES = 9, 384


def run(quick: bool) -> Result:
    """Both ways in turn, each pair in the other order than the one before, so that a slow moment hits both alike."""
    from trunkline.algorithms.trunks import open_trunk, resolve
    from trunkline.core.settings import Settings

    pairs, count = (2, 48) if quick else (PAIRS, IMAGES)
    with scratch() as home:
        files = pictures(count, home / "drawn", quick)
        settings = Settings(home=home, threads=THREADS)
        session = open_trunk(resolve("efficientnet-lite0", home), settings)
        batches = in_memory(session, files, settings)
        ways: dict[str, Callable[[], Any]] = {
            "memory": lambda: [out["pooled"] for out in session.stream(iter(batches))],
            "files": lambda: from_files(session, files, settings),
        }
        check(ways)  # they also warm up
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(pairs):
            for name in sorted(ways, reverse=bool(number % 2)):
                speeds[name].append(images_per_second(ways[name], count))
        decoding = images_per_second(lambda: in_memory(session, files, settings), count)
        session.close()
    ratios = [a / b for a, b in zip(speeds["files"], speeds["memory"], strict=True)]
    ratio = median(ratios)
    reference = Reference(
        f"the same graph in the same session ({session.runtime}), fed from memory", round(median(speeds["memory"]), 1),
        "images/s",
    )  # fmt: skip
    return Result(
        figures=[
            Figure(
                "JPEG file to pooled features", round(median(speeds["files"]), 1), "images/s",
                f">= {ASKED:.0%} of the graph fed from memory", ratio >= ASKED, reference, ratio,
            )
        ],
        method=f"{count} NEU-DET files (416 x 416, JPEG) read, decoded, resized and embedded as `trunkline build` "
        f"does, {THREADS} threads, batches of {settings.batch}; {pairs} pairs in alternating order, the ratio is the "
        "median of the pairs' ratios; features of both ways are the same bits",
        detail={
            "ratio_lowest": round(min(ratios), 3),
            "ratio_highest": round(max(ratios), 3),
            "decoding_and_resizing_alone": round(decoding, 1),
            "runtime": session.runtime,
        },
    )  # fmt: skip


def pictures(count: int, folder: Path, quick: bool) -> list[Path]:
    """So many files of NEU-DET, of all classes; drawn ones for a quick run, which needs no data beside the checkout."""
    if quick:
        return [path for paths in line.drawn(folder, ("a", "b"), count // 2).values() for path in paths]
    files = sorted(NEU.glob("*.jpg"))
    if not files:
        raise SystemExit("benchmarks: NEU-DET is not beside the checkout (../shared/data/neu-det)")
    step = len(files) // count
    return files[::step][:count]


def reader(files: Sequence[Path]) -> Callable[[Sequence[str]], Iterator[tuple[str, bytes]]]:
    """Reads files by their names, as the image store does by digests."""
    paths = {path.name: path for path in files}
    return lambda names: ((name, paths[name].read_bytes()) for name in names)


def from_files(session: Any, files: Sequence[Path], settings: Any) -> list[Any]:
    """Pooled features, batch by batch, by the product's own path."""
    from trunkline.platform.engine.features import embedded

    names = [path.name for path in files]
    return [out["pooled"] for _, out in embedded(session, names, reader(files), settings)]


def in_memory(session: Any, files: Sequence[Path], settings: Any) -> list[Any]:
    """Batches of decoded and resized pictures."""
    import numpy as np

    from trunkline.platform.engine.features import decoded

    names = [path.name for path in files]
    pictures = [pixels for _, pixels in decoded(names, reader(files), session.card, settings)]
    return [np.stack(pictures[at : at + settings.batch]) for at in range(0, len(pictures), settings.batch)]


def check(ways: dict[str, Callable[[], Any]]) -> None:
    """Both ways must give the same features."""
    import numpy as np

    memory, files = (np.concatenate(ways[name]()) for name in ("memory", "files"))
    assert np.array_equal(memory, files), "features from files differ from those from memory"


def images_per_second(way: Callable[[], Any], count: int) -> float:
    """How fast one way goes through all images."""
    start = time.perf_counter()
    way()
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main(run)
