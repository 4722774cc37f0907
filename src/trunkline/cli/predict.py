"""`trunkline predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline.cli import complete
from trunkline.cli.common import HomeOption, JsonOption, complain, emit, name_or_path, settings, stdout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trunkline.core.errors import DataError
    from trunkline.core.types.observation import Observation, Prediction, Reading


def predict(
    bundle: Annotated[
        str,
        typer.Argument(
            help="A bundle file, or NAME[@VERSION|@ALIAS]; NAME may hold * and ?. Or a TFLite detector, or its card.",
            callback=name_or_path,
            autocompletion=complete.models,
        ),
    ],
    sources: Annotated[list[Path], typer.Argument(help="Images and folders of images.")],
    show: Annotated[
        Path | None, typer.Option("--show", help="A folder for copies of the images with boxes drawn on them.")
    ] = None,
    json: JsonOption = False,
    home: HomeOption = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="all")] = None,
) -> None:
    """Ask one or many models what is in images.

    The trunk runs once an image, however many models are asked. Answers come image by image, models by name. An image
    that cannot be read is named on standard error, the others go on, and the exit status is 2.

    Examples:

    `trunkline predict steel parts/`

    `trunkline predict 'steel*@champion' parts/ --json`

    `trunkline predict detect.tflite photographs/ --show drawn/`
    """
    from contextlib import ExitStack
    from itertools import groupby

    from trunkline.compute.sensors import SENSORS
    from trunkline.core.text import printable
    from trunkline.platform.engine.show import Show
    from trunkline.platform.registry.use import observe, predictors

    chosen = settings(home, threads=threads, writes=False)
    failed: list[Path] = []

    def unreadable(path: Path, error: DataError) -> None:
        failed.append(path)
        complain(str(error))

    sensor = SENSORS.load("folder")
    found = [sensor(source, max_pixels=chosen.max_pixels, on_error=unreadable) for source in sources]
    opened = predictors(bundle, chosen, warn=lambda sentence: complain(printable(sentence)))

    def readings() -> Iterator[Reading]:
        for folder in found:
            yield from folder

    shown = Show(show, chosen) if show is not None else None
    out = stdout()
    many = sum(len(predictor.models) for predictor in opened) > 1
    with ExitStack() as held:
        for predictor in opened:
            held.callback(predictor.close)
        for source, answers in groupby(observe(opened, readings()), key=lambda pair: pair[1].source):
            said = [(model.name, observation) for model, observation in answers]
            for name, observation in said:
                if json:
                    emit({"model": name, **observation.to_json()})
                else:
                    out.print(_line(observation, name if many else ""), markup=False)
            if shown is not None:
                shown.add(source, said)
    if failed:
        raise typer.Exit(2)


def _line(observation: Observation, name: str) -> str:
    """One answer for people: the labels that the model stands for, else the nearest ones, and why they are not said."""
    scores = {p.label: f"{p.label} {p.score:.3f}" for p in observation.predictions}
    if not scores or observation.predictions[0].box:
        answer = ", ".join(_thing(p) for p in observation.predictions if p.accepted is not False) or "nothing"
    elif observation.accepted:
        answer = ", ".join(scores[label] for label in observation.accepted)
    else:
        nearest = ", ".join(list(scores.values())[:3])
        answer = nearest if observation.unsure else f"no label (nearest {nearest})"
    head = f"{observation.source}: " + (f"{name}: " if name else "")
    return head + answer + ("  (unsure)" if observation.unsure else "")


def _thing(seen: Prediction) -> str:
    """Something with a box, in whole pixels: x1, y1, x2, y2."""
    corners = " ".join(f"{place:.0f}" for place in seen.box or ())
    return f"{seen.label} {seen.score:.3f} at {corners}"
