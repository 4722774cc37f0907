"""A trunk at work: a runtime's session with the card that says what goes in."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

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
    """Runs a trunk on preprocessed pictures; outputs are `pooled` and, when dense, one map a tap."""

    def __init__(self, card: TrunkCard, session: Session, runtime: str) -> None:
        self.card = card
        self.runtime = runtime
        self._session = session

    def embed(self, images: Sequence[np.ndarray]) -> Mapping[str, np.ndarray]:
        """Features of n pictures, each uint8 of shape (size, size, 3)."""
        import numpy as np

        return self._session.run(np.ascontiguousarray(np.stack(images)))

    def stream(self, batches: Iterable[np.ndarray]) -> Generator[Mapping[str, np.ndarray], None, None]:
        """Features of batches of shape (n, size, size, 3), several under way, in order."""
        return self._session.stream(batches)

    def close(self) -> None:
        self._session.close()


def open_trunk(trunk: Trunk, settings: Settings, *, dense: bool = False) -> TrunkSession:
    """Open a trunk in the runtime that the settings name, or the one that was chosen on this machine.

    Raises:
        ConfigError: When the runtime is the fake one, and the trunk is none that a test made up for it.
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
    if runtime == "fake" and trunk.card.width != FAKE_WIDTH:  # its numbers would be kept as this trunk's features
        raise ConfigError(
            "expected a runtime that runs the trunk, got 'fake': it makes numbers up, for tests",
            where="setting runtime",
            fix="name openvino, onnxruntime, or auto",
        )
    outputs = ("pooled", *(tap.name for tap in trunk.card.taps)) if dense else ("pooled",)
    session = RUNTIMES.load(runtime)().open(trunk.path(dense=dense), outputs=outputs, threads=settings.threads)
    return TrunkSession(trunk.card, session, runtime)
