"""From what a user names to what answers: bundles, checked, on their trunks. Imports neither torch nor MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from trunkline.core.errors import BundleError, InputError
from trunkline.platform.engine.fleet import Model
from trunkline.platform.engine.predictor import TOGETHER, Predictor
from trunkline.platform.registry.registry import Registry

if TYPE_CHECKING:
    from trunkline.algorithms.trunks import Trunk, TrunkCard
    from trunkline.core.settings import Settings
    from trunkline.core.types.bundle import Bundle
    from trunkline.core.types.observation import Observation, Reading

_MOST_PIXELS = 64_000_000
"""Pixels of one batch of pictures, 192 MB; a larger picture is a batch of its own."""


class Named(Protocol):
    """A model, as far as its answers need it."""

    @property
    def name(self) -> str:
        """Its name."""


class Answers(Protocol):
    """Models that answer together: those on one trunk, or one that somebody brought.

    Attributes:
        settings: Threads, batch size, runtime.
    """

    settings: Settings

    @property
    def models(self) -> Sequence[Named]:
        """The models, in the order of their answers."""

    def predict(self, readings: Iterable[Reading]) -> Iterator[Observation]:
        """Observations in the order of the readings, for each reading one a model."""

    def close(self) -> None:
        """Free what was opened."""


def predictors(ref: str, settings: Settings, *, warn: Callable[[str], None]) -> Sequence[Answers]:
    """The models that a bundle file, a reference or a model that somebody brings stands for, one predictor a trunk.

    Args:
        ref: A bundle file, or NAME[@VERSION|@ALIAS]; NAME may hold `*` and `?`. Or a TFLite file, or its card.
        settings: The home, threads, batch size, runtime.
        warn: Told of each model whose gate failed or whose signer is not known, and before a trunk is made ready.

    Returns:
        Predictors in the order in which their trunks are first needed; each holds its models in the order of names.

    Raises:
        NotFoundError: When nothing matches, with near names.
        BundleError: When a bundle was changed, its trunk is not on this machine, or its head does not fit the trunk.
        InputError: When a model that somebody brings lacks its card, or is not what its card says.
    """
    from trunkline.platform.engine.brought_card import is_brought

    if is_brought(ref):
        return [_brought(ref, settings, warn)]
    models: dict[str, list[Model]] = {}
    trunks: dict[str, Trunk] = {}
    for bundle in Registry(settings).open_many(ref):
        for sentence in bundle.warnings:
            warn(sentence)
        digest = bundle.trunk.digest
        if digest in trunks:
            check_head(bundle, trunks[digest].card)
        else:
            trunks[digest] = trunk_of(bundle, settings.home, say=warn)
        models.setdefault(digest, []).append(Model(bundle.digest, bundle.head, bundle.name))
    return [_predictor(same, trunks[digest], settings, warn) for digest, same in models.items()]


def _predictor(models: Sequence[Model], trunk: Trunk, settings: Settings, warn: Callable[[str], None]) -> Predictor:
    """In the runtime and precision that were chosen for all of the models, or that the settings name."""
    from trunkline.platform.engine.precision import way_for

    way = way_for(trunk, [model.bundle for model in models], settings, say=warn)
    predictor = Predictor(models, trunk, settings, way=way)
    if way is not None and predictor.precision != way.precision:
        warn(f"{trunk.card.name}: this chip has no unit for {way.precision}, it runs in {predictor.precision}")
    return predictor


def _brought(ref: str, settings: Settings, warn: Callable[[str], None]) -> Answers:
    from trunkline.platform.engine.brought import BroughtPredictor

    predictor = BroughtPredictor(Path(ref), settings)
    warn(predictor.models[0].warning)
    return predictor


def observe(opened: Sequence[Answers], readings: Iterable[Reading]) -> Iterator[tuple[Named, Observation]]:
    """What every model says of every reading, each reading taken once: reading by reading, models by name.

    Holds one batch of pictures at a time.

    Args:
        opened: As `predictors` gives them.
        readings: Pictures.
    """
    for batch in _batches(readings, max(TOGETHER, *(predictor.settings.batch for predictor in opened))):
        answers = [(predictor.models, predictor.predict(batch)) for predictor in opened]
        for _ in batch:
            said = [(model, next(stream)) for models, stream in answers for model in models]
            yield from sorted(said, key=lambda pair: pair[0].name)


def trunk_of(bundle: Bundle, home: Path, *, say: Callable[[str], None] | None = None) -> Trunk:
    """The trunk that a bundle's head reads: one of this home, or a built-in one, exported on first use.

    Args:
        bundle: The model.
        home: The home folder.
        say: Told before an export, which takes a while.

    Raises:
        BundleError: When it is not on this machine, saying what to bring, or the head does not fit it.
    """
    from trunkline.algorithms.trunks import by_digest

    try:
        trunk = by_digest(bundle.trunk.digest, home, name=bundle.trunk.name, say=say)
    except InputError as error:
        raise BundleError(error.message, where=bundle.name, fix=error.fix) from error
    check_head(bundle, trunk.card)
    return trunk


def check_head(bundle: Bundle, card: TrunkCard) -> None:
    """Make sure that a bundle's head answers on the features of its trunk.

    Raises:
        BundleError: When its weights or settings are of another shape.
    """
    from trunkline.algorithms.heads import HEADS
    from trunkline.algorithms.heads.base import check

    try:
        check(HEADS.load(bundle.task)(), bundle.head, card.maps())
    except ValueError as error:
        raise BundleError(
            f"head.safetensors: {error}", where=bundle.name, fix="build the model again, or ask whoever signed it"
        ) from error


def _batches(readings: Iterable[Reading], count: int) -> Iterator[list[Reading]]:
    batch: list[Reading] = []
    pixels = 0
    for reading in readings:
        size = reading.pixels.shape[0] * reading.pixels.shape[1]
        if batch and (len(batch) == count or pixels + size > _MOST_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(reading)
        pixels += size
    if batch:
        yield batch
