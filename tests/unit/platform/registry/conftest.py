"""Small heads and sealed bundles, made without a trunk."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trunkline.algorithms.trunks.card import Tap, TrunkCard
from trunkline.core.digest import digest_bytes
from trunkline.core.types.gate import GateCheck, GateReport
from trunkline.core.types.head import TrainedHead
from trunkline.platform.registry import bundle, keys

CARD = TrunkCard(
    name="test-trunk",
    size=32,
    mean=(127.0, 127.0, 127.0),
    scale=(128.0, 128.0, 128.0),
    taps=(Tap("tap0", 4, 8),),
    weights="0" * 64,
    licence="Apache-2.0",
    source="made here",
)
SCENARIO = digest_bytes(b"scenario")
DATASET = digest_bytes(b"dataset")


def png() -> bytes:
    """One grey pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\x80")) + chunk(b"IEND", b"")
    )


def make_head(seed: int = 0) -> TrainedHead:
    rng = np.random.default_rng(seed)
    return TrainedHead(
        task="classify",
        labels=("crack", "划痕"),
        trunk=CARD.digest,
        weights={"weight": rng.normal(size=(12, 2)).astype(np.float32), "bias": np.zeros(2, np.float16)},
        config={"rung": "linear", "channels": (4,)},
        thresholds={"crack": 0.5, "划痕": 0.5},
        unsure={"crack": (0.0, 0.5), "划痕": (0.0, 0.5)},
        calibration={"temperature": 1},
    )


def make_check(verdict: str = "passed", *, machine: bool = False, value: float = 0.95) -> GateCheck:
    name = "latency_ms_p95" if machine else "accuracy"
    return GateCheck(name, value, value - 0.01, value + 0.01, ">= 0.9", verdict, "ok", "note", machine)  # type: ignore[arg-type]


def make_report(head: str, *checks: GateCheck, accuracy: float = 0.95) -> GateReport:
    metrics = {"accuracy": accuracy, "recall_min": float("nan"), "latency_ms_p50": 3.0}
    return GateReport(head, DATASET, checks or (make_check(),), metrics, {"accuracy": (0.9, 1.0)})


def make_bundle(home: Path, *checks: GateCheck, name: str = "steel", seed: int = 0, accuracy: float = 0.95) -> bytes:
    packed = bundle.candidate(
        make_head(seed), name=name, trunk=CARD, scenario=SCENARIO, dataset=DATASET, data_licence="CC0-1.0"
    )
    report = make_report(bundle.open_candidate(packed).digest(), *checks, accuracy=accuracy)
    return bundle.seal(
        packed,
        key=keys.signing_key(home),
        report=report,
        test_images=40,
        preview=png(),
        report_json={"findings": []},
    )


@pytest.fixture
def write_bundle(home: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a sealed bundle into a file of its own."""

    def write(*checks: GateCheck, name: str = "steel", seed: int = 0, accuracy: float = 0.95) -> Path:
        path = tmp_path / f"{name}-{seed}-{len(checks)}.tlb"
        path.write_bytes(make_bundle(home, *checks, name=name, seed=seed, accuracy=accuracy))
        return path

    return write
