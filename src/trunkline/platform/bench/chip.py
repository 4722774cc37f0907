"""`trunkline bench chip`: measures what a chip does with trunks, and which way each model may take on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trunkline.compute.chips import CHIPS
from trunkline.compute.chips.base import Chip, Way
from trunkline.compute.chips.cards import Card, ModelRow, TrunkRow, WayRow, changing, load, save
from trunkline.core.errors import ConfigError, InputError, TrunklineError
from trunkline.platform.engine.precision import RUNNING, prefer, trial
from trunkline.platform.engine.trying import Asked, Tried, try_ways

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from trunkline.algorithms.trunks import Trunk, TrunkSession
    from trunkline.compute.runtimes.speed import Speed
    from trunkline.core.settings import Settings
    from trunkline.core.types.bundle import Bundle
    from trunkline.core.types.dataset import Sample
    from trunkline.platform.engine.features import Read

Say = Callable[[str], None]
_TIMED = 16  # pictures that speed is measured on


@dataclass(frozen=True)
class Work:
    """One trunk with what is to be tried on it.

    Attributes:
        trunk: The trunk.
        bundles: Models on it that can be tried, with their frozen test sets.
        lacking: Models on it without one in this home.
        calibration: Digests of images to calibrate on.
        compared: Digests of images to compare on, those of the test sets among them.
        read: Gives (digest, file bytes) for digests.
    """

    trunk: Trunk
    bundles: Sequence[tuple[Bundle, Sequence[Sample]]] = ()
    lacking: Sequence[Bundle] = ()
    calibration: Sequence[str] = ()
    compared: Sequence[str] = ()
    read: Read = lambda digests: ()

    @property
    def dense(self) -> bool:
        """Whether a model needs the maps."""
        from trunkline.algorithms.heads import HEADS

        tasks = {bundle.task for bundle in (*(bundle for bundle, _ in self.bundles), *self.lacking)}
        return any(bool(HEADS.load(task)().dense) for task in tasks)


def bench_chip(
    settings: Settings,
    *,
    chip: str = "cpu",
    refs: Sequence[str] = (),
    trunks: Sequence[str] = (),
    images: Sequence[Path] = (),
    max_loss: float | None = None,
    say: Say = lambda text: None,
) -> tuple[Card, Path]:
    """Measure a chip and write its card.

    Args:
        settings: Home, threads, batch, runtime.
        chip: A name in `CHIPS`, of one that runs.
        refs: Models, each NAME[@VERSION|@ALIAS], patterns, or bundle files: measured on their own test sets. None:
            trunks alone.
        trunks: Trunks to measure where no models are named; none: all that are ready in this home.
        images: Images and folders to calibrate and compare on where no models are named; none: those of this home.
        max_loss: What a class may lose for speed, 0..1; None: what each model's scenario says.
        say: Told what is being done.

    Returns:
        The card, with the rows that were measured now, and its file; the file also keeps rows of earlier runs.

    Raises:
        ConfigError: When options do not go together.
        NotFoundError: On an unknown chip, model or trunk.
        InputError: When the chip cannot be used here.
    """
    if max_loss is not None and not 0 <= max_loss <= 1:
        raise ConfigError(f"expected 0 to 1, got {max_loss}", where="--max-loss", fix="half a point is 0.005")
    if chip not in RUNNING:
        CHIPS.load(chip, where="--chip")
        raise ConfigError(f"expected a chip that runs, {' or '.join(RUNNING)}, got {chip!r}", where="--chip")
    if refs and (trunks or images):
        raise ConfigError(
            "expected models, or trunks and images; models bring their own of both",
            where="bench chip",
            fix="leave out --trunk and --images",
        )
    target: Chip = CHIPS.load(chip)()
    reason = target.available()
    if reason:
        raise InputError(f"the chip {chip} cannot be used here: {reason}", where="--chip")
    fresh = Card(chip, target.describe())
    with changing(settings.home, chip):
        for work in _works(settings, refs, trunks, images, say):
            name, digest = work.trunk.card.name, work.trunk.card.digest
            say(f"{name}: measuring on {chip}, {settings.threads} threads")
            row, models = _measured(target, work, settings, max_loss, say)
            fresh = fresh.with_rows({digest: row}, models)
            known = load(settings.home, chip) or Card(chip)
            path = save(settings.home, replace(known, what=fresh.what).with_rows(fresh.trunks, fresh.models))
    return fresh, path


def _works(
    settings: Settings, refs: Sequence[str], trunks: Sequence[str], images: Sequence[Path], say: Say
) -> Iterator[Work]:
    from trunkline.platform.bench.chip_work import of_models, of_trunks

    yield from of_models(settings, refs, say) if refs else of_trunks(settings, trunks, images, say)


def _measured(
    chip: Chip, work: Work, settings: Settings, max_loss: float | None, say: Say
) -> tuple[TrunkRow, dict[str, ModelRow]]:
    """One trunk's row, and those of its models."""
    from trunkline.algorithms.trunks import open_trunk
    from trunkline.algorithms.trunks.use import plain_way

    plain = plain_way(work.trunk, settings)
    with ExitStack() as held:

        def opened(way: Way) -> TrunkSession:
            return held.enter_context(closing(open_trunk(work.trunk, settings, dense=work.dense, way=way)))

        sessions = {plain: opened(plain)}
        others = [way for way in chip.ways() if way != plain]
        failed = [fault for way in others if (fault := _open(way, work, settings, opened, sessions, say)) is not None]
        speeds = _speeds(sessions, work.trunk.card.size, settings)
        used = {way: session.precision for way, session in sessions.items()}
        say(f"{work.trunk.card.name}: answers on {len(work.compared)} images in {len(sessions)} ways")
        asked = _asked(work)
        tried = try_ways(work.trunk, sessions, work.compared, asked, read=work.read, settings=settings)
    ways = [_row(way, used[way], speeds[way], speeds[plain], tried.cosines[way]) for way in used]
    row = TrunkRow(
        name=work.trunk.card.name,
        dense=work.dense,
        threads=settings.threads,
        batch=settings.batch,
        images=len(work.compared),
        plain=plain,
        ways=(*ways, *failed),
    )
    return row, _models(work, row, asked, tried, max_loss)


def _open(
    way: Way,
    work: Work,
    settings: Settings,
    opened: Callable[[Way], TrunkSession],
    sessions: dict[Way, TrunkSession],
    say: Say,
) -> WayRow | None:
    """Open a trunk in one more way; a row that says why not, where that cannot be done or would be another's double."""
    try:
        if way.precision == "int8":
            way = replace(way, calibration=_calibrated(work, settings, say))
        session = opened(way)
    except TrunklineError as error:
        return WayRow(way, reason=error.message)
    if session.precision != way.precision:
        session.close()
        return WayRow(way, session.precision, reason=f"there is no unit for it: it would run in {session.precision}")
    sessions[way] = session
    return None


def _calibrated(work: Work, settings: Settings, say: Say) -> str:
    """The name of the trunk's INT8 graph, made now where there is none of these images."""
    import numpy as np

    from trunkline.algorithms.trunks.int8 import make_int8
    from trunkline.platform.engine.features import decoded

    if not work.calibration:
        raise InputError("there are no images to calibrate INT8 on")

    def pictures() -> np.ndarray:
        say(f"{work.trunk.card.name}: calibrating INT8 on {len(work.calibration)} images")
        stream = decoded(work.calibration, work.read, work.trunk.card, settings)
        return np.stack([pixels for _, pixels in stream])

    return make_int8(work.trunk, work.calibration, pictures, dense=work.dense)


def _speeds(sessions: Mapping[Way, TrunkSession], side: int, settings: Settings) -> dict[Way, Speed]:
    """Speed of each way, on pictures of noise: what is in them changes nothing."""
    import numpy as np

    from trunkline.compute.runtimes.speed import measure

    count = max(_TIMED, settings.batch)
    images: Any = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    raw = {way: session.session for way, session in sessions.items()}
    return measure(raw, images, threads=settings.threads, batch=settings.batch)


def _row(way: Way, used: str, speed: Speed, plain: Speed, cosines: np.ndarray) -> WayRow:
    return WayRow(
        way=way,
        used=used,
        **speed.to_json(),
        times=round(speed.over(plain), 3),
        cosine=round(float(cosines.mean()), 6) if len(cosines) else 0.0,
        cosine_least=round(float(cosines.min()), 6) if len(cosines) else 0.0,
    )


def _asked(work: Work) -> list[Asked]:
    from trunkline.platform.data.view import truths
    from trunkline.platform.engine.fleet import Model

    return [
        Asked(
            Model(bundle.digest, bundle.head, bundle.name),
            tuple(sample.image for sample in samples),
            truths(bundle.task, samples),
        )
        for bundle, samples in work.bundles
    ]


def _models(
    work: Work, row: TrunkRow, asked: Sequence[Asked], tried: Tried, max_loss: float | None
) -> dict[str, ModelRow]:
    """Every model's row: the fastest way that holds."""
    found: dict[str, ModelRow] = {}
    for place, ((bundle, samples), one) in enumerate(zip(work.bundles, asked, strict=True)):
        allowed = bundle.manifest.precision_loss if max_loss is None else max_loss
        trials = tuple(
            trial(bundle.head, one.targets, tried.scores[row.plain][place], scores[place], way=way, max_loss=allowed)
            for way, scores in tried.scores.items()
            if way != row.plain
        )
        way, reason = prefer(row, trials)
        lineage, trunk = bundle.manifest.lineage, work.trunk.card.digest
        found[bundle.digest] = ModelRow(bundle.name, trunk, lineage.dataset, len(samples), allowed, way, reason, trials)
    for bundle in work.lacking:
        allowed = bundle.manifest.precision_loss if max_loss is None else max_loss
        found[bundle.digest] = ModelRow(
            bundle.name, work.trunk.card.digest, bundle.manifest.lineage.dataset, 0, allowed, row.plain,
            "its data set, or its test part, is not in this home: there is no evidence",
        )  # fmt: skip
    return found
