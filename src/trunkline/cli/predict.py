"""`trunkline predict`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline.cli.common import HomeOption, JsonOption, emit, settings, stdout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trunkline.core.errors import DataError
    from trunkline.core.types.observation import Observation, Reading


def predict(
    bundle: Annotated[str, typer.Argument(help="A bundle file, or NAME[@VERSION|@ALIAS]; NAME may hold * and ?.")],
    sources: Annotated[list[Path], typer.Argument(help="Images and folders of images.")],
    json: JsonOption = False,
    home: HomeOption = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads.", show_default="all")] = None,
) -> None:
    """Ask one or many models what is in images.

    The trunk runs once an image, however many models are asked. An image that cannot be read is named on standard
    error, the others go on, and the exit status is 2.

    Examples:

    `trunkline predict steel parts/`

    `trunkline predict 'steel*@champion' parts/ --json`
    """
    from trunkline.compute.sensors import SENSORS
    from trunkline.platform.registry.use import predictors

    chosen = settings(home, threads=threads)
    failed: list[Path] = []

    def unreadable(path: Path, error: DataError) -> None:
        failed.append(path)
        sys.stderr.write(f"trunkline: {error}\n")

    sensor = SENSORS.load("folder")
    found = [sensor(source, max_pixels=chosen.max_pixels, on_error=unreadable) for source in sources]
    opened = predictors(bundle, chosen, warn=lambda text: sys.stderr.write(f"trunkline: {text}\n"))

    def readings() -> Iterator[Reading]:
        for folder in found:
            yield from folder

    for predictor in opened:
        names = {model.bundle: model.name for model in predictor.models}
        for observation in predictor.predict(readings()):
            if json:
                emit(observation.to_json())
            else:
                _print(observation, names[observation.bundle] if len(names) > 1 or len(opened) > 1 else "")
    if failed:
        raise typer.Exit(2)


def _print(observation: Observation, name: str) -> None:
    parts: Sequence[str] = [f"{p.label} {p.score:.3f}" for p in observation.predictions[:3]]
    if len(observation.predictions) > 1 and observation.accepted:
        parts = [f"{p.label} {p.score:.3f}" for p in observation.predictions if p.label in observation.accepted][:5]
    head = f"{observation.source}: " + (f"{name}: " if name else "")
    stdout().print(head + ", ".join(parts) + ("  (unsure)" if observation.unsure else ""), markup=False)
