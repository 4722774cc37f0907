"""What the shell offers for arguments: names that are quick to find; nothing, in silence, where they cannot be had."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import get_args

import typer


def models(ctx: typer.Context) -> list[str]:
    """Names of the home's models with their champion and challenger, read without MLflow."""
    from trunkline.core.settings import default_home
    from trunkline.platform.registry.versions import SqliteReads

    home = Path(ctx.params.get("home") or default_home())
    found: list[str] = []
    with contextlib.suppress(Exception):  # a shell's prompt is no place for a message
        for version in SqliteReads(home / "mlflow.db", home / "bundles").versions():
            found += [version.name, *(f"{version.name}@{alias}" for alias in version.aliases)]
    return sorted(set(found))


def tasks() -> list[str]:
    """The tasks of a scenario."""
    from trunkline.core.types.scenario import Task

    return sorted(get_args(Task))


def trunks() -> list[str]:
    """Names of trunks."""
    from trunkline.algorithms.trunks.table import TRUNKS

    return TRUNKS.names()


def formats() -> list[str]:
    """Data formats."""
    from trunkline.platform.data.formats import FORMATS

    return FORMATS.names()


def runtimes() -> list[str]:
    """What `--runtime` takes."""
    return ["auto", "onnxruntime", "openvino"]


def aliases() -> list[str]:
    """Aliases of models."""
    from trunkline.platform.registry.versions import ALIASES

    return list(ALIASES)


def splits() -> list[str]:
    """Parts of a data set."""
    return ["all", "test", "train"]


def export_formats() -> list[str]:
    """What a model can be exported to."""
    from trunkline.platform.export.formats import EXPORT_FORMATS

    return EXPORT_FORMATS.names()
