"""A trunk at work: a runtime's session with the card that says what goes in."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from trunkline.algorithms.trunks.int8 import int8_graph
from trunkline.compute.chips import CHIPS
from trunkline.compute.chips.base import Way
from trunkline.compute.runtimes import RUNTIMES
from trunkline.compute.runtimes.choose import choose
from trunkline.compute.runtimes.fake import WIDTH as FAKE_WIDTH
from trunkline.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.trunks.card import TrunkCard
    from trunkline.algorithms.trunks.store import Trunk
    from trunkline.compute.runtimes.base import Session
    from trunkline.core.settings import Settings


class TrunkSession:
    """Runs a trunk on preprocessed pictures; outputs are `pooled` and, when dense, one map a tap.

    Attributes:
        card: The trunk's card.
        way: Runtime, precision and chip that were asked for.
        precision: What it really computes in.
        session: The runtime's own.
    """

    def __init__(self, card: TrunkCard, session: Session, way: Way, precision: str = "fp32") -> None:
        self.card = card
        self.way = way
        self.precision = precision
        self.session = session

    @property
    def runtime(self) -> str:
        """The library that runs it."""
        return self.way.runtime

    @property
    def streams(self) -> int:
        """Callers that can have a stream of it for themselves at once."""
        return self.session.streams

    def embed(self, images: Sequence[np.ndarray], *, whole: bool = True) -> Mapping[str, np.ndarray]:
        """Features of n pictures, each uint8 of shape (size, size, 3).

        Args:
            images: The pictures.
            whole: Use all streams; else one, which several threads may do at the same time.
        """
        import numpy as np

        batch = np.ascontiguousarray(np.stack(images))
        if whole:
            return self.session.run(batch)
        (out,) = self.session.stream([batch])
        return out

    def stream(self, batches: Iterable[np.ndarray]) -> Generator[Mapping[str, np.ndarray], None, None]:
        """Features of batches of shape (n, size, size, 3), several under way, in order."""
        return self.session.stream(batches)

    def close(self) -> None:
        self.session.close()


def open_trunk(trunk: Trunk, settings: Settings, *, dense: bool = False, way: Way | None = None) -> TrunkSession:
    """Open a trunk.

    Args:
        trunk: The trunk.
        settings: Home, threads, runtime.
        dense: With its maps.
        way: Runtime, precision and chip; None: float32 on the CPU, in the runtime that the settings name, or the one
            that was chosen on this machine. What is kept as features, and what a gate measures, is always that.

    Raises:
        ConfigError: When the runtime is the fake one, and the trunk is none that a test made up for it.
        InputError: When the runtime or the chip cannot be used here, or the INT8 graph is not there.
    """
    way = way or plain_way(trunk, settings)
    outputs = ("pooled", *(tap.name for tap in trunk.card.taps)) if dense else ("pooled",)
    if way.runtime == "fake":
        if trunk.card.width != FAKE_WIDTH:  # its numbers would be kept as this trunk's features
            raise ConfigError(
                "expected a runtime that runs the trunk, got 'fake': it makes numbers up, for tests",
                where="setting runtime",
                fix="name openvino, onnxruntime, or auto",
            )
        made_up = RUNTIMES.load("fake")().open(trunk.path(dense=dense), outputs=outputs, threads=settings.threads)
        return TrunkSession(trunk.card, made_up, way)
    chip = CHIPS.load(way.chip)()
    graph = int8_graph(trunk, way.calibration, dense=dense) if way.precision == "int8" else trunk.path(dense=dense)
    session = chip.open(way, graph, outputs=outputs, threads=settings.threads)
    return TrunkSession(trunk.card, session, way, chip.used(session, way))


def plain_way(trunk: Trunk, settings: Settings) -> Way:
    """Float32 on the CPU, in the runtime that the settings name, or the one that was chosen on this machine.

    Raises:
        InputError: When the runtime cannot be used here.
    """
    runtime = choose(
        trunk.path(),
        key=trunk.card.digest,
        side=trunk.card.size,
        home=settings.home,
        threads=settings.threads,
        batch=settings.batch,
        wanted=settings.runtime,
    )
    return Way(runtime)
