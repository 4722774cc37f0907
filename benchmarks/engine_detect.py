"""What thirty classification heads cost beside a detect head on the same pass of the trunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from benchmarks.common import Figure, Reference, Result, main, scratch
from benchmarks.engine_heads import THREADS, fleet, in_turn
from benchmarks.jpeg_to_features import in_memory, pictures

BESIDE, LIMIT = 30, 1.15
SIDE, FINEST, LABELS = 384, 16, 6
ROUNDS, IMAGES, TOGETHER = 9, 96, 16
METHOD = (
    f"{IMAGES} NEU-DET pictures, decoded and resized to {SIDE} pixels before, through the trunk and all heads as the "
    f"engine runs them: {THREADS} threads, heads on {TOGETHER} images at a time. The detect head is one of {LABELS} "
    f"labels with the usual plan (finest level {FINEST} pixels), boxes suppressed and calibrated; its weights are "
    "random, and boxes of the lowest scores are kept, so that more come out of it than of a fitted one. The "
    f"classification heads are of six classes. CPU seconds an image of all threads; {ROUNDS} rounds of both in turn, "
    "the ratio is the median of the rounds' ratios."
)


def run(quick: bool) -> Result:
    from trunkline.algorithms.trunks import open_trunk, resolve
    from trunkline.core.settings import Settings

    rounds, images = (2, 16) if quick else (ROUNDS, IMAGES)
    with scratch() as home:
        settings = Settings(home=home, threads=THREADS)
        trunk = resolve(f"efficientnet-lite0@{SIDE}", home)
        session = open_trunk(trunk, settings, dense=True)
        batches = in_memory(session, pictures(images, home / "drawn", quick), settings)
        others = dict(fleet(trunk, BESIDE, home))
        alone = {"detect": detector(trunk)}
        fleets = {0: _fleet(trunk, alone), BESIDE: _fleet(trunk, {**alone, **others})}
        ways = {count: answering(session, batches, made) for count, made in fleets.items()}
        cpu, wall = in_turn(ways, rounds, images)
        session.close()
    ratio = median(many / one for many, one in zip(cpu[BESIDE], cpu[0], strict=True))
    reference = Reference("the detect head alone", round(1e3 * median(cpu[0]), 2), "ms of CPU an image")
    figure = Figure(
        f"an image with {BESIDE} classification heads and a detect head", round(1e3 * median(cpu[BESIDE]), 2),
        "ms of CPU an image", f"<= {LIMIT} times the detect head alone", ratio <= LIMIT, reference, 1 / ratio,
    )  # fmt: skip
    detail = {"wall_ms": {str(count): round(1e3 * median(wall[count]), 3) for count in wall}}
    return Result([figure], METHOD, (0,), detail)


def detector(trunk: Any) -> Any:
    """A detect head of random weights."""
    import numpy as np
    import torch

    from trunkline.algorithms.heads.detect.layout import Layout
    from trunkline.algorithms.heads.detect.network import Network, folded
    from trunkline.core.types.head import TrainedHead
    from trunkline.core.types.plan import DetectPlan
    from trunkline.platform.engine.fleet import Model

    plan = DetectPlan().chosen(SIDE, FINEST, 1)
    taps = trunk.card.taps
    layout = Layout(SIDE, tuple(tap.channels for tap in taps), tuple(tap.stride for tap in taps), FINEST)
    torch.manual_seed(0)
    zero, one = ({tap.name: np.full(tap.channels, value) for tap in taps} for value in (0.0, 1.0))
    network = Network(
        layout, LABELS, width=plan["width"], depth=plan["depth"], kernel=plan["kernel"], mean=zero, std=one
    )
    labels = tuple(f"thing {number}" for number in range(LABELS))
    suppression = {"overlap": plan["overlap"], "soft": plan["soft"], "least": 0.001}
    head = TrainedHead(
        "detect", labels, trunk.card.digest, folded(network.eval()),
        {"layout": layout.to_json(), "depth": plan["depth"], "suppression": suppression},
        dict.fromkeys(labels, 0.5), dict.fromkeys(labels, (0.4, 0.5)), {"slope": 1.0, "offset": 0.0},
    )  # fmt: skip
    return Model("d" * 64, head, "detect")


def _fleet(trunk: Any, models: dict[str, Any]) -> Any:
    from trunkline.platform.engine.fleet import Fleet

    return Fleet(trunk.card.digest).changed(models)


def answering(session: Any, batches: Sequence[Any], heads: Any) -> Callable[[], None]:
    """Run the trunk on all batches, and all heads on its features while it is at the next ones."""
    import numpy as np

    from trunkline.compute.chips.blas import Blas
    from trunkline.core.types.features import FeatureTable
    from trunkline.platform.engine.columns import halved

    blas = Blas(THREADS)

    def go() -> None:
        waiting: list[Any] = []
        with blas.limit(1):
            for out in session.stream(iter(batches)):
                waiting.append(out)
                if sum(len(one["pooled"]) for one in waiting) >= TOGETHER:
                    parts = {name: np.concatenate([one[name] for one in waiting]) for name in waiting[0]}
                    pooled = parts.pop("pooled")
                    dense = {name: halved(maps).astype(np.float32) for name, maps in parts.items()}
                    heads.answers(FeatureTable(("",) * len(pooled), pooled, heads.trunk, dense))
                    waiting.clear()

    return go


if __name__ == "__main__":
    main(run)
