"""What the scenarios of one run share: stores, trunks, open sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.compute.chips.blas import Blas
from trunkline.platform.data.intake import Intake
from trunkline.platform.data.store import DataStore, ImageStore
from trunkline.platform.engine.features import FeatureStore
from trunkline.platform.engine.singles import single_ms
from trunkline.platform.line.meter import Meter
from trunkline.platform.line.stations import StationStore

if TYPE_CHECKING:
    from PIL import Image

    from trunkline.algorithms.trunks import Trunk, TrunkSession
    from trunkline.core.settings import Settings
    from trunkline.core.types.bundle import Bundle

_TILES = 4096  # small pictures for contact sheets, 4 KB each


class Workshop:
    """Opened once a run; each part is made when it is first needed.

    Args:
        settings: The machine's settings.

    Attributes:
        meter: Adds up what the whole run costs.
        walked: Digests of the folders that were walked in this run.
        overview: File name of the page over all models of this run, beside their reports; "" for none.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stations = StationStore(settings.home)
        self.images = ImageStore(settings.home)
        self.intake = Intake(settings, self.images)
        self.walked: dict[Path, str] = {}
        self.overview = ""
        self.data = DataStore(settings)
        self.meter = Meter()
        self.blas = Blas(settings.threads)
        self._trunks: dict[str, Trunk] = {}
        self._features: dict[str, FeatureStore] = {}
        self._sessions: dict[tuple[str, bool], TrunkSession] = {}
        self._singles: dict[tuple[str, bool], list[float]] = {}
        self._tiles: dict[str, Image.Image] = {}

    def trunk(self, spec: str, *, where: str | None = None, say: Callable[[str], None] | None = None) -> Trunk:
        """The trunk of this name, or by its digest; exported on first use, which `say` is told of."""
        from trunkline.algorithms.trunks import resolve

        if spec not in self._trunks:
            self._trunks[spec] = resolve(spec, self.settings.home, where=where, say=say)
        return self._trunks[spec]

    def trunk_of(self, bundle: Bundle) -> Trunk:
        """The trunk that a bundle's head reads.

        Raises:
            BundleError: When it is not on this machine, or the head does not fit it.
        """
        from trunkline.platform.registry.use import check_head, trunk_of

        for trunk in self._trunks.values():
            if trunk.card.digest == bundle.trunk.digest:
                check_head(bundle, trunk.card)
                return trunk
        return self._trunks.setdefault(bundle.trunk.digest, trunk_of(bundle, self.settings.home))

    def features(self, trunk: Trunk) -> FeatureStore:
        """The features of a trunk."""
        if trunk.card.digest not in self._features:
            self._features[trunk.card.digest] = FeatureStore(self.settings, trunk)
        return self._features[trunk.card.digest]

    def session(self, trunk: Trunk, *, dense: bool) -> TrunkSession:
        """The trunk, open."""
        from trunkline.algorithms.trunks import open_trunk

        key = (trunk.card.digest, dense)
        if key not in self._sessions:
            self._sessions[key] = open_trunk(trunk, self.settings, dense=dense)
        return self._sessions[key]

    def trunk_ms(self, trunk: Trunk, *, dense: bool) -> Sequence[float]:
        """Milliseconds that the trunk takes on single images; the same for all models on it."""
        key = (trunk.card.digest, dense)
        if key not in self._singles:
            self._singles[key] = single_ms(trunk, self.settings, lambda: self.session(trunk, dense=dense), dense=dense)
        return self._singles[key]

    def tile(self, image: str, data: bytes) -> Image.Image:
        """An image as a square of a contact sheet; made once for all models that show it.

        Args:
            image: Its digest.
            data: Bytes of its file.
        """
        from trunkline.core.images import decode
        from trunkline.platform.line.report.pictures import tile

        if image not in self._tiles:
            if len(self._tiles) >= _TILES:
                self._tiles.clear()
            self._tiles[image] = tile(decode(data, max_pixels=self.settings.max_pixels))
        return self._tiles[image]

    def close(self) -> None:
        """Free the trunks."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
