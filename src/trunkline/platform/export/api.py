"""`trunkline models export`: from what a user names to a folder with a model for elsewhere."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.core.digest import short
from trunkline.core.errors import ConfigError
from trunkline.platform.export.formats import EXPORT_FORMATS
from trunkline.platform.export.publish import RECORD, check_place, publish

if TYPE_CHECKING:
    from trunkline.core.settings import Settings
    from trunkline.core.types.bundle import Bundle
    from trunkline.platform.export.formats.base import ExportJob

WEB = "web"


def export(
    ref: str,
    to: str,
    settings: Settings,
    *,
    warn: Callable[[str], None],
    out: Path | None = None,
    onnxruntime_web: Path | None = None,
) -> dict[str, Any]:
    """Export one model.

    Args:
        ref: A bundle file, or NAME[@VERSION|@ALIAS].
        to: A name in `EXPORT_FORMATS`.
        settings: Home, threads, runtime.
        warn: Told of a model whose gate failed or whose signer is not known, and before what takes a while.
        out: Where the folder goes; None: `HOME/exports/NAME-VERSION-FORMAT`.
        onnxruntime_web: A folder or an archive with ONNX Runtime Web, for `web`.

    Returns:
        What `models export --json` prints.

    Raises:
        NotFoundError: When there is no such model, no such format, or no exporter for its task.
        DataError: When something that is no former export is at its place.
        TrunklineError: When the exported model does not answer as the engine does.
    """
    form = EXPORT_FORMATS.load(to, where="--to")()
    if onnxruntime_web is not None and to != WEB:
        raise ConfigError(f"expected this with --to {WEB} alone, got --to {to}", where="--onnxruntime-web")
    bundle, version = _find(ref, settings)
    for sentence in bundle.warnings:
        warn(sentence)
    name = f"{bundle.name}-{version or short(bundle.digest)}-{to}"
    place = Path(os.path.abspath(out or settings.home / "exports" / name))  # noqa: PTH100 (keep a link as it is)
    check_place(place)  # before the work

    def write(folder: Path) -> dict[str, Any]:
        job = _job(bundle, version, settings, warn, onnxruntime_web)
        checked = form.write(job, folder)
        return {
            "to": to,
            "model": bundle.name,
            "version": version,
            "digest": bundle.digest,
            "opset": job.made.opset,
            "checked": [asdict(one) for one in checked],
        }

    record = publish(place, settings.home, write)
    files = [{"name": path, **row} for path, row in record["files"].items()]
    size = sum(row["bytes"] for row in record["files"].values()) + (place / RECORD).stat().st_size
    return {
        **{key: value for key, value in record.items() if key not in ("kind", "files")},
        "folder": str(place),
        "bytes": size,
        "files": files,
        "start": form.start.format(folder=shlex.quote(str(place))),
    }


def _find(ref: str, settings: Settings) -> tuple[Bundle, int | None]:
    """The model that is meant, and its version if it has one."""
    from trunkline.platform.registry.references import file_of
    from trunkline.platform.registry.registry import Registry

    registry = Registry(settings)
    version = registry.find(ref) if file_of(ref) is None else None
    bundle = next(registry.open_many(version.ref if version else ref))
    return bundle, version.version if version else None


def _job(
    bundle: Bundle, version: int | None, settings: Settings, say: Callable[[str], None], brought: Path | None
) -> ExportJob:
    import numpy as np

    from trunkline.platform.engine.fleet import Model
    from trunkline.platform.engine.predictor import Predictor
    from trunkline.platform.export.check import Examiner
    from trunkline.platform.export.formats.base import ExportJob as Job
    from trunkline.platform.export.standalone import standalone
    from trunkline.platform.registry.use import trunk_of

    trunk = trunk_of(bundle, settings.home, say=say)
    with closing(Predictor([Model(bundle.digest, bundle.head, bundle.name)], trunk, settings)) as predictor:
        blank = np.zeros((trunk.card.size, trunk.card.size, 3), np.uint8)
        made = standalone(bundle, version, trunk, predictor.features([blank]))
        examiner = Examiner(bundle, predictor)
    return Job(bundle, made, trunk.card.size, examiner, settings, say, brought)
