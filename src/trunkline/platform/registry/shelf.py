"""Bundles of a home, each file named by its digest; one that is gone or damaged is put back from MLflow's copy."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.core.digest import short
from trunkline.core.errors import BundleError, InputError
from trunkline.core.files import write_atomic
from trunkline.platform.registry import bundle as bundles
from trunkline.platform.registry.tracking import BUNDLE_FILE, Tracking

if TYPE_CHECKING:
    from trunkline.core.types.bundle import Bundle
    from trunkline.platform.registry.versions import ModelVersion


class Shelf:
    """`HOME/bundles/DIGEST.tlb`.

    Args:
        folder: The folder.
        tracking: Keeps a copy of each among the artifacts of its run.
    """

    def __init__(self, folder: Path, tracking: Tracking) -> None:
        self.folder = folder
        self._tracking = tracking

    def keep(self, digest: str, data: bytes) -> None:
        """Put a bundle here; one that was damaged is mended by it."""
        kept = self.folder / f"{digest}.tlb"
        try:
            whole = bundles.read(kept).digest == digest
        except BundleError:
            whole = False
        if not whole:
            write_atomic(kept, data)

    def open(self, version: ModelVersion, trusted: Collection[str]) -> Bundle:
        """Read the bundle of a version.

        Raises:
            BundleError: When its file is gone or damaged, and so is the copy.
        """
        try:
            bundle = bundles.read(version.path, trusted=trusted)
            if bundle.digest == version.digest:
                return bundle
            wrong = f"it holds the bundle {short(bundle.digest)}"
        except BundleError as error:
            wrong = error.message
        data = self._copy(version, wrong)
        write_atomic(version.path, data)
        return bundles.read(data, trusted=trusted)

    def _copy(self, version: ModelVersion, wrong: str) -> bytes:
        """The bytes of a version's bundle as MLflow keeps them; `wrong` is what is wrong with the file here."""
        said = f"its file is damaged ({wrong})" if version.path.exists() else "its file is gone"
        with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch:
            try:
                data = bundles.load(self._tracking.fetch(version.run, BUNDLE_FILE, Path(scratch)))
                kept = bundles.read(data)
            except InputError as error:
                raise BundleError(
                    f"{said}, and MLflow cannot give it: {error.message}",
                    where=version.ref,
                    fix=f"put the file back as {version.path}, or build the model again",
                ) from error
        if kept.digest != version.digest:
            raise BundleError(
                f"expected MLflow's tag trunkline.digest to name the bundle that MLflow keeps, {short(kept.digest)}, "
                f"got {short(version.digest)}: one of the two was edited",
                where=version.ref,
                fix=f"in MLflow, set the tag of this version to {kept.digest}; or build the model again",
            )
        return data
