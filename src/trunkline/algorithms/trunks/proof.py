"""Proof that a trunk's graphs are what its card says: they are run before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.compute.runtimes import MEASURED, RUNTIMES
from trunkline.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.trunks.card import TrunkCard
    from trunkline.algorithms.trunks.loader import Exported

_CLOSE = 1e-3
"""Largest difference, beside the largest feature, between the two graphs, and between an image alone and in a batch."""


def check_runs(exported: Exported, scratch: Path) -> None:
    """Run a trunk's two graphs on two pictures, together and alone.

    Args:
        exported: The trunk.
        scratch: A folder for files on the way.

    Raises:
        InputError: When a graph does not run, gives other shapes than the card says, NaN, or mixes pictures.
    """
    import numpy as np

    card = exported.card
    pictures: Any = np.random.default_rng(0).integers(0, 256, (2, card.size, card.size, 3), dtype=np.uint8)
    maps = tuple(tap.name for tap in card.taps)
    dense = _run(exported.dense, ("pooled", *maps), pictures, card, scratch)
    pooled = _run(exported.pooled, ("pooled",), pictures, card, scratch)["pooled"]
    alone = _run(exported.pooled, ("pooled",), pictures[:1], card, scratch)["pooled"]
    expected: dict[str, tuple[int, ...]] = {"pooled": (2, card.width)}
    expected |= {tap.name: (2, tap.channels) for tap in card.taps}
    found = {name: array.shape[: len(expected[name])] for name, array in dense.items()}
    if found != expected or pooled.shape != (2, card.width) or any(dense[name].ndim != 4 for name in maps):
        raise _wrong(card, f"expected features of shapes {expected}, got {found} and {pooled.shape}")
    sides = {tap.name: card.size / tap.stride for tap in card.taps}  # where there is no padding, one less
    if any(abs(side - sides[name]) > 1 for name in maps for side in dense[name].shape[2:]):
        raise _wrong(card, f"expected maps of the sides {sides}, got { ({name: dense[name].shape for name in maps}) }")
    if not all(np.isfinite(array).all() for array in (pooled, *dense.values())):
        raise _wrong(card, "expected finite features, the graph gives NaN or infinity")
    near = _CLOSE * (1 + float(np.abs(pooled).max()))
    if np.abs(pooled - dense["pooled"]).max() > near or np.abs(pooled[:1] - alone).max() > near:
        raise _wrong(card, "expected the same features from both graphs and in any batch, they differ")


def _run(
    graph: bytes, outputs: tuple[str, ...], pictures: np.ndarray, card: TrunkCard, scratch: Path
) -> Mapping[str, np.ndarray]:
    path = scratch / "check.onnx"
    path.write_bytes(graph)
    try:
        with closing(_runtime().open(path, outputs=outputs, threads=1)) as session:
            out: Mapping[str, np.ndarray] = session.run(pictures)
            return out
    except InputError as error:
        raise _wrong(card, error.message) from error
    except Exception as error:  # a runtime's own exception types are not public
        raise _wrong(card, f"the graph does not run: {' '.join(str(error).split())[:300]}") from error


def _runtime() -> Any:
    """The first runtime that works here.

    Raises:
        InputError: When none does.
    """
    reasons = {}
    for name in MEASURED:
        runtime = RUNTIMES.load(name)()
        reasons[name] = runtime.available()
        if not reasons[name]:
            return runtime
    said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    raise InputError(f"no runtime works on this machine: {said}", fix="`trunkline doctor` shows more")


def _wrong(card: TrunkCard, message: str) -> InputError:
    return InputError(message, where=f"trunk {card.name}", fix="get the trunk again from where it was made")
