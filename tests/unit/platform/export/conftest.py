"""Models of each task on the tiny trunk, sealed as the line seals them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Pictures
from trunkline.algorithms.heads import HEADS
from trunkline.algorithms.heads.base import FitJob
from trunkline.algorithms.trunks import Trunk, open_trunk, preprocess, resolve
from trunkline.core.digest import digest_bytes
from trunkline.core.settings import Settings
from trunkline.core.types.bundle import Bundle
from trunkline.core.types.gate import GateCheck, GateReport
from trunkline.platform.engine.fleet import Model
from trunkline.platform.engine.predictor import Predictor, features_of
from trunkline.platform.export.standalone import Standalone, standalone
from trunkline.platform.registry import bundle as bundles
from trunkline.platform.registry import keys

LABELS = {"classify": ("crack", "划痕", "<b>"), "multilabel": ("crack", "划痕", "<b>"), "anomaly": ("good", "anomaly")}
Seal = Callable[..., bytes]


@pytest.fixture(scope="session")
def export_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the tiny trunk; tests read it, and write only where they say."""
    return tmp_path_factory.mktemp("export") / "home"


@pytest.fixture(scope="session")
def export_settings(export_home: Path) -> Settings:
    return Settings(home=export_home, threads=1, runtime="onnxruntime")


@pytest.fixture(scope="session")
def tiny(export_home: Path) -> Trunk:
    return resolve("test-trunk", export_home)


def preview() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(Pictures.array(3, size=(70, 44))).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def seal_model(export_home: Path, export_settings: Settings) -> Seal:
    """Fits a model of a task on a trunk, on pictures of stripes, and seals it."""

    def make(task: str, trunk: Trunk, *, verdict: str = "passed") -> bytes:
        kinds = np.arange(36) % len(LABELS[task])
        inputs = [
            preprocess(Image.fromarray(Pictures.array(seed, kind=int(kind))), trunk.card)
            for seed, kind in enumerate(kinds)
        ]
        kind = HEADS.load(task)()
        with closing(open_trunk(trunk, export_settings, dense=bool(kind.dense))) as session:
            table = features_of(session, trunk, inputs)
        table = replace(table, images=tuple(f"{seed:064x}" for seed in range(len(inputs))))
        channels = tuple(tap.channels for tap in trunk.card.taps)
        targets = tuple((LABELS[task][kind],) for kind in kinds)
        job = FitJob("steel", LABELS[task], table, targets, np.arange(len(inputs)), channels=channels)
        (fitted,) = kind.fit([job])
        digest = digest_bytes(b"made here")
        packed = bundles.candidate(
            fitted.head, name="steel", trunk=trunk.card, scenario=digest, dataset=digest, data_licence="CC0-1.0"
        )
        check = GateCheck("accuracy", 0.9, 0.8, 1.0, ">= 0.5", verdict, "ok", "")  # type: ignore[arg-type]
        report = GateReport(bundles.open_candidate(packed).digest(), digest, (check,), {"accuracy": 0.9}, {})
        return bundles.seal(
            packed, key=keys.signing_key(export_home), report=report, test_images=9, preview=preview(), report_json={}
        )

    return make


@pytest.fixture(scope="session")
def exported_models(seal_model: Seal, tiny: Trunk) -> dict[str, Bundle]:
    """One model a task."""
    return {task: bundles.read(seal_model(task, tiny)) for task in LABELS}


@pytest.fixture
def predictor(export_settings: Settings) -> Iterator[Callable[[Bundle, Trunk], Predictor]]:
    """Opens the engine with one model."""
    opened: list[Predictor] = []

    def open_one(bundle: Bundle, trunk: Trunk) -> Predictor:
        opened.append(Predictor([Model(bundle.digest, bundle.head, bundle.name)], trunk, export_settings))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


@pytest.fixture
def make_standalone(predictor: Callable[[Bundle, Trunk], Predictor]) -> Callable[[Bundle, Trunk], Standalone]:
    """Makes one graph of a model and its trunk."""

    def make(bundle: Bundle, trunk: Trunk) -> Standalone:
        blank = np.zeros((trunk.card.size, trunk.card.size, 3), np.uint8)
        return standalone(bundle, 3, trunk, predictor(bundle, trunk).features([blank]))

    return make
