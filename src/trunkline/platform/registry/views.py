"""What `models ls|show|compare` print, as plain JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.platform.registry.versions import CHALLENGER, CHAMPION, ModelVersion, status_of

if TYPE_CHECKING:
    from trunkline.core.types.bundle import Bundle
    from trunkline.platform.registry.audit import Entry

Side = tuple[str, "Bundle", Mapping[str, float | None]]


def listing(versions: Iterable[ModelVersion]) -> list[dict[str, Any]]:
    """One row a model; figures are the champion's, else the newest version's.

    Args:
        versions: All versions, by name and version.
    """
    rows = []
    for name, group in groupby(versions, key=lambda version: version.name):
        same = list(group)
        aliases = {alias: version for version in same for alias in version.aliases}
        shown = aliases.get(CHAMPION, same[-1])
        rows.append(
            {
                "name": name,
                "task": shown.task,
                "versions": len(same),
                "latest": same[-1].version,
                "champion": _number(aliases.get(CHAMPION)),
                "challenger": _number(aliases.get(CHALLENGER)),
                "status": shown.status,
                "figure": shown.figure,
                "bundle_bytes": shown.bundle_bytes,
                "digest": shown.digest,
            }
        )
    return rows


def details(
    bundle: Bundle,
    path: Path,
    report: Path,
    version: ModelVersion | None,
    metrics: Mapping[str, float | None],
    history: Sequence[Entry],
) -> dict[str, Any]:
    """Everything about one bundle.

    Args:
        bundle: The bundle.
        path: Its file.
        report: Where the report on it is, if this home has one.
        version: What it is in the registry; None for a file that is looked at by itself.
        metrics: All figures; those of the machine are in the registry alone.
        history: Its model's entries in the audit log.
    """
    manifest = bundle.manifest
    registered: dict[str, Any] = {}
    if version is not None:
        registered = {
            "version": version.version,
            "aliases": list(version.aliases),
            "created": version.created,
            "mlflow_run": version.run,
        }
    return {
        "name": bundle.name,
        **registered,
        "task": bundle.task,
        "status": status_of(bundle),
        "labels": list(bundle.head.labels),
        "digest": bundle.digest,
        "bundle": str(path),
        "bundle_bytes": bundle.size,
        "report": str(report) if report.is_file() else None,
        "signer": bundle.signer,
        "trusted": bundle.trusted,
        "metrics": dict(metrics),
        "gates": [_with_value(gate.model_dump(mode="json"), metrics) for gate in manifest.gates],
        "test": manifest.test.model_dump(mode="json") if manifest.test else None,
        "trunk": manifest.trunk.model_dump(mode="json"),
        "data_licence": manifest.data_licence,
        "lineage": manifest.lineage.model_dump(mode="json"),
        "override": manifest.override.model_dump(mode="json") if manifest.override else None,
        "warnings": bundle.warnings,
        "history": [entry.to_json() for entry in history] if version is not None else [],
    }


def _with_value(gate: dict[str, Any], metrics: Mapping[str, float | None]) -> dict[str, Any]:
    """A gate's row; one on a figure of the machine with the value that the registry has of it."""
    return {**gate, "value": metrics.get(gate["name"])} if gate["machine"] else gate


def comparison(first: Side, second: Side) -> dict[str, Any]:
    """Figures of two bundles side by side, and whether both were measured on the same frozen test set."""
    (ref_a, a, metrics_a), (ref_b, b, metrics_b) = first, second
    names = [*metrics_a, *(name for name in metrics_b if name not in metrics_a)]
    return {
        "first": ref_a,
        "second": ref_b,
        "digests": [a.digest, b.digest],
        "status": [status_of(a), status_of(b)],
        "same_test": a.manifest.test == b.manifest.test,
        "same_trunk": a.trunk.digest == b.trunk.digest,
        "metrics": {name: [metrics_a.get(name), metrics_b.get(name)] for name in names},
    }


def _number(version: ModelVersion | None) -> int | None:
    return version.version if version else None
