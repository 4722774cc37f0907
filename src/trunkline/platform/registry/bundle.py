"""Pack and read bundles.

In two steps, because the gate measures what ships: `candidate` packs the head, the gate reads it back and measures it,
`seal` adds the figures and the signature around the very same head bytes.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from trunkline.core.digest import canonical_json, digest_json
from trunkline.core.errors import BundleError
from trunkline.core.types.bundle import SCHEMA, Bundle, Manifest, Override
from trunkline.core.types.scenario import PRECISION_LOSS
from trunkline.platform.registry.archive import LIMITS, MAX_BYTES, first_member, read_archive, write_archive
from trunkline.platform.registry.keys import SigningKey
from trunkline.platform.registry.seals import canonical_member, check_signature, signed

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.trunks.card import TrunkCard
    from trunkline.core.types.gate import GateCheck, GateReport
    from trunkline.core.types.head import TrainedHead

_MAX_HEADER = 64 << 10
_DTYPES = ("float32", "float16")
_MACHINE_METRICS = ("latency_", "cpu_", "seconds_", "images_per_second")
_AGAIN = "get the bundle again from where it was made; it is used whole or not at all"


def candidate(
    head: TrainedHead,
    *,
    name: str,
    trunk: TrunkCard,
    scenario: str,
    dataset: str,
    data_licence: str = "",
    precision_loss: float = PRECISION_LOSS,
) -> bytes:
    """Pack a head before the gate has measured it.

    Args:
        head: The head.
        name: The model's name.
        trunk: Card of the trunk that the head reads.
        scenario: Digest of the scenario.
        dataset: Digest of the data set, splits included.
        data_licence: Licence of the data.
        precision_loss: What a class may lose when the model runs in a reduced precision, 0..1.

    Raises:
        ValueError: When the head is of another trunk, or a weight is neither float32 nor float16.
    """
    from safetensors.numpy import save

    if head.trunk != trunk.digest:
        raise ValueError(f"expected a head on trunk {trunk.digest}, got one on {head.trunk}")
    wrong = {key: str(array.dtype) for key, array in head.weights.items() if str(array.dtype) not in _DTYPES}
    if wrong:
        raise ValueError(f"expected weights of {' or '.join(_DTYPES)}, got {wrong}")
    preprocessing = digest_json({"size": trunk.size, "mean": list(trunk.mean), "scale": list(trunk.scale)})
    manifest = {
        **head.meta(),
        "schema_version": SCHEMA,
        "name": name,
        "trunk": {
            "name": trunk.name,
            "digest": trunk.digest,
            "preprocessing": preprocessing,
            "licence": trunk.licence,
        },
        "data_licence": data_licence,
        "precision_loss": precision_loss,
        "lineage": {"scenario": scenario, "dataset": dataset, "trunk": head.trunk, "head": head.digest()},
    }
    read_back = _manifest(json.loads(_dump(_manifest(manifest))))  # ints are floats where the manifest says so
    lineage = read_back.lineage.model_copy(update={"head": read_back.head(head.weights).digest()})
    packed = read_back.model_copy(update={"lineage": lineage})
    return write_archive({"bundle.json": _dump(packed), "head.safetensors": save(_contiguous(head.weights))})


def open_candidate(data: bytes) -> TrainedHead:
    """The head of a candidate, read as a bundle's head is read; what the gate measures.

    Raises:
        BundleError: When the bytes are no candidate.
    """
    members = read_archive(data)
    manifest = _manifest(_json(members, "bundle.json", None))
    if manifest.status != "candidate" or set(members) != {"bundle.json", "head.safetensors"}:
        raise BundleError(f"expected a candidate, got a bundle with status {manifest.status!r}")
    return _head(manifest, members["head.safetensors"], None)


def seal(
    packed: bytes,
    *,
    key: SigningKey,
    report: GateReport,
    test_images: int,
    preview: bytes,
    report_json: Mapping[str, Any],
) -> bytes:
    """Add to a candidate what the gate measured, and sign it; the bytes of the head stay as they were.

    The status is "passed" or "failed" by the gate's report.

    Args:
        packed: The candidate.
        key: Who signs.
        report: The gate's report on this very head.
        test_images: Images in the frozen test set.
        preview: PNG bytes.
        report_json: The part of the report that follows from the inputs (no times).

    Raises:
        ValueError: When the report is on another head, or the preview is no PNG.
    """
    members = read_archive(packed)
    row = _json(members, "bundle.json", None)
    if row["lineage"]["head"] != report.head:
        raise ValueError(f"expected a report on head {row['lineage']['head']}, got one on {report.head}")
    if not preview.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError("expected a preview in PNG")
    row |= {
        "status": "passed" if report.passed else "failed",
        "test": {"dataset": report.dataset, "images": test_images},
        "metrics": {k: _finite(v) for k, v in report.metrics.items() if not k.startswith(_MACHINE_METRICS)},
        "intervals": {
            k: [_finite(low), _finite(high)]
            for k, (low, high) in report.intervals.items()
            if not k.startswith(_MACHINE_METRICS)
        },
        "gates": [_gate(check) for check in report.checks],
    }
    content = {
        "bundle.json": _dump(_manifest(row)),
        "head.safetensors": members["head.safetensors"],
        "preview.png": preview,
        "report.json": canonical_json(report_json),
    }
    return _signed(content, key)


def override(sealed: bytes, *, key: SigningKey, who: str, why: str) -> bytes:
    """A failed bundle with a signed reason to let it through; another bundle, with its own digest.

    Raises:
        BundleError: When the bundle has not failed, or no name or reason is given.
    """
    bundle = read(sealed)
    if bundle.status != "failed":
        raise BundleError(f"expected a bundle that failed its gate, got one with status {bundle.status!r}")
    if not who.strip() or not why.strip():
        raise BundleError("expected a name and a reason for the override", fix='give --why "the reason"')
    members = read_archive(sealed)
    reason = Override(who=who.strip(), why=why.strip(), bundle=bundle.digest)
    row = {
        **bundle.manifest.model_dump(mode="json"),
        "status": "overridden",
        "override": reason.model_dump(mode="json"),
    }
    content = {name: members[name] for name in members if name != "signature"}
    return _signed({**content, "bundle.json": _dump(_manifest(row))}, key)


def read(source: Path | bytes, *, trusted: Collection[str] = (), where: str | None = None) -> Bundle:
    """Read a bundle, refusing it when a single byte is not as it was sealed.

    A valid signature by a key that is not trusted is accepted and told of in `Bundle.trusted` and `Bundle.warnings`:
    the digest says what the model is, the signature says who vouches for it.

    Args:
        source: A file, or its bytes.
        trusted: Public keys (hex) that this home trusts, as `keys.trusted_keys` gives them.
        where: What messages name; the file when it is read here.

    Raises:
        BundleError: When it was changed or truncated, is no bundle, or was made by a newer Trunkline.
    """
    if not isinstance(source, bytes):
        source, where = load(source), str(source)
    data = source
    _check_schema(data, where)
    members = read_archive(data, where=where)
    missing = [name for name in LIMITS if name not in members]
    if missing:
        raise BundleError(f"expected a sealed bundle, {' and '.join(missing)} not there", where=where, fix=_AGAIN)
    digest, signer = check_signature(members, kind="bundle", where=where)
    try:
        manifest = _manifest(_json(members, "bundle.json", where))
        report = _json(members, "report.json", where)
        if not isinstance(report, dict):
            raise BundleError("expected an object in report.json")
        return Bundle(
            digest=digest,
            manifest=manifest,
            head=_head(manifest, members["head.safetensors"], where),
            preview=members["preview.png"],
            report=report,
            signer=signer,
            trusted=signer in trusted,
            size=len(data),
        )
    except BundleError as error:
        raise BundleError(error.message, where=where, fix=error.fix) from error
    except ValueError as error:
        raise BundleError(str(error), where=where, fix=_AGAIN) from error


def _signed(content: Mapping[str, bytes], key: SigningKey) -> bytes:
    return write_archive(signed(content, key, kind="bundle"))


def _check_schema(data: bytes, where: str | None) -> None:
    """Tell a newer bundle from a broken one, whatever else a newer Trunkline does to the archive."""
    try:
        version = json.loads(first_member(data, "bundle.json") or b"{}").get("schema_version")
    except (ValueError, AttributeError, RecursionError):
        return  # broken; `read_archive` and `_json` say how
    if isinstance(version, int) and version > SCHEMA:
        raise BundleError(
            f"made by a newer Trunkline: expected schema {SCHEMA} or older, got {version}",
            where=where,
            fix="upgrade: pip install --upgrade trunkline",
        )


def load(path: Path) -> bytes:
    """A bundle file's bytes, not checked yet.

    Raises:
        BundleError: When there is no such file, or it cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise BundleError("expected a bundle file", where=str(path), fix="name a .tlb file")
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise BundleError(f"cannot be read: {error.strerror}", where=str(path), fix="name a .tlb file") from error


def _json(members: Mapping[str, bytes], name: str, where: str | None) -> Any:
    return canonical_member(members, name, where, fix=_AGAIN)


def _manifest(row: Any) -> Manifest:
    try:
        return Manifest.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise BundleError(f"bundle.json: {field}: {first['msg']}"[:500], fix=_AGAIN) from error


def _dump(manifest: Manifest) -> bytes:
    return canonical_json(manifest.model_dump(mode="json"))


def _head(manifest: Manifest, data: bytes, where: str | None) -> TrainedHead:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if int.from_bytes(data[:8], "little") > _MAX_HEADER:
        raise BundleError(f"expected a head with a header of at most {_MAX_HEADER} bytes", where=where, fix=_AGAIN)
    try:
        weights = load(data)
        wrong = {key: str(array.dtype) for key, array in weights.items() if str(array.dtype) not in _DTYPES}
        if wrong:
            raise ValueError(f"expected weights of {' or '.join(_DTYPES)}, got {wrong}")
        return manifest.head(weights)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"head.safetensors: {error}"[:500], where=where, fix=_AGAIN) from error


def _contiguous(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    import numpy as np

    return {name: np.ascontiguousarray(array) for name, array in weights.items()}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _gate(check: GateCheck) -> dict[str, Any]:
    row = check.to_json()
    if check.machine:
        return {**row, "value": None, "low": None, "high": None, "note": "", "evidence": "ok"}
    return {**row, **{name: _finite(row[name]) for name in ("value", "low", "high")}}
