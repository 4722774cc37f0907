"""Trunks: frozen backbones, exported once to ONNX and kept by digest."""

from __future__ import annotations

from trunkline.algorithms.trunks.card import Tap, TrunkCard
from trunkline.algorithms.trunks.preprocess import preprocess
from trunkline.algorithms.trunks.store import (
    Trunk,
    anchored,
    by_digest,
    exported,
    install,
    list_trunks,
    resolve,
    stamp,
)
from trunkline.algorithms.trunks.table import TRUNKS
from trunkline.algorithms.trunks.use import TrunkSession, open_trunk

__all__ = [
    "TRUNKS", "Tap", "Trunk", "TrunkCard", "TrunkSession", "anchored", "by_digest", "exported", "install",
    "list_trunks", "open_trunk", "preprocess", "resolve", "stamp",
]  # fmt: skip
