"""INT8 graphs of a trunk: made once for some images, kept beside its float graphs, never in their place.

`HOME/trunks/DIGEST/int8-CALIBRATION.onnx`, with a file of facts that names its digest.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.core.digest import canonical_json, digest_bytes, digest_file, digest_json
from trunkline.core.errors import InputError
from trunkline.core.files import locked, storage_errors, write_atomic

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.trunks.store import Trunk

_DIGITS = 16
_AGAIN = "measure again: `trunkline bench chip MODEL` makes it"


def calibration(trunk: Trunk, images: Sequence[str], *, dense: bool) -> str:
    """Names the INT8 graph that some images give.

    Args:
        trunk: The trunk.
        images: Digests of the images.
        dense: With the maps.

    Raises:
        MissingExtraError: When NNCF is not installed.
    """
    from trunkline.compute.runtimes.quantise import recipe

    facts = {"graph": digest_file(trunk.path(dense=dense)), "images": sorted(images), "recipe": recipe()}
    return digest_json(facts)[:_DIGITS]


def int8_graph(trunk: Trunk, name: str, *, dense: bool = False) -> Path:
    """A graph that was made, checked against the digest that was written down then.

    Args:
        trunk: The trunk.
        name: As `calibration` gave it.
        dense: Whether its maps are wanted.

    Raises:
        InputError: When it is missing, was changed, or has no maps.
    """
    path = _path(trunk.folder, name)
    try:
        facts: dict[str, Any] = json.loads(path.with_suffix(".json").read_bytes())
        whole = digest_file(path) == facts["digest"]
        maps = bool(facts["dense"])
    except (OSError, ValueError, KeyError, TypeError):
        whole, maps = False, False
    if not whole:
        raise InputError("the trunk's INT8 graph is missing or was changed", where=str(path), fix=_AGAIN)
    if dense and not maps:
        raise InputError("the trunk's INT8 graph was made without maps", where=str(path), fix=_AGAIN)
    return path


def make_int8(trunk: Trunk, images: Sequence[str], pictures: Callable[[], np.ndarray], *, dense: bool = False) -> str:
    """Quantise a trunk on some images, if that was not done before.

    Args:
        trunk: The trunk.
        images: Their digests.
        pictures: Gives them, uint8 of shape (n, size, size, 3); called only when there is work.
        dense: With the maps.

    Returns:
        The name of the graph, for `int8_graph`.

    Raises:
        MissingExtraError: When NNCF is not installed.
        InputError: When NNCF cannot quantise the graph.
        StorageError: When the home cannot be written.
    """
    from trunkline.compute.runtimes.quantise import quantise, recipe

    name = calibration(trunk, images, dense=dense)
    path = _path(trunk.folder, name)
    with locked(trunk.folder.parent.parent / "locks" / "int8.lock"):
        try:
            int8_graph(trunk, name, dense=dense)
        except InputError:  # made now
            with (
                storage_errors(trunk.folder),
                tempfile.TemporaryDirectory(dir=trunk.folder, prefix=".int8-") as scratch,
            ):
                data = quantise(trunk.path(dense=dense), pictures(), Path(scratch))
            facts = {"digest": digest_bytes(data), "dense": dense, "recipe": recipe(), "images": sorted(images)}
            write_atomic(path, data)
            write_atomic(path.with_suffix(".json"), canonical_json(facts))
    return name


def _path(folder: Path, name: str) -> Path:
    if len(name) != _DIGITS or not all(digit in "0123456789abcdef" for digit in name):
        raise InputError(f"expected the name of an INT8 graph, got {name!r}", fix=_AGAIN)
    return folder / f"int8-{name}.onnx"
