"""`npu-int8` beside the float network: layer by layer, in its features, and in a model's answers."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.core.digest import json_ready
from trunkline.core.errors import ConfigError, InputError
from trunkline.platform.bench.npu_model import ModelRow, head_program, measure_model
from trunkline.platform.bench.npu_pictures import CALIBRATION, Pictures, from_files, from_home

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.trunks import Trunk
    from trunkline.compute.chips.npu_int8.closeness import Closeness
    from trunkline.compute.chips.npu_int8.compiler import Compiled
    from trunkline.compute.chips.npu_int8.cycles import Array
    from trunkline.compute.chips.npu_int8.program import Program
    from trunkline.core.settings import Settings
    from trunkline.core.types.bundle import Bundle

LAYERWISE = 8
"""Pictures on which layers are compared: every tensor of both networks is looked at."""
_CLOCK = 1e9  # Hz, to put cycles into words


@dataclass(frozen=True)
class LayerRow:
    """One step of a program.

    Attributes:
        name: The node's name.
        kind: What it does.
        shape: Of its output, one picture: (h, w, c) or (c,).
        macs: Multiplications with addition.
        cycles: On the array; 0 for what the vector unit beside it does, which is not modelled.
        utilisation: Share of the array's multipliers at work, 0..1; None where the array is not used.
        sqnr_db: Power of the float tensor over that of the difference, decibels; None where there is no such tensor.
        cosine: Of both tensors.
        largest_difference: Of any element, in the float network's unit.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    macs: int
    cycles: int
    utilisation: float | None
    sqnr_db: float | None = None
    cosine: float | None = None
    largest_difference: float | None = None


@dataclass(frozen=True)
class NpuReport:
    """What a simulation found.

    Attributes:
        trunk: The trunk's name.
        trunk_digest: Its digest.
        array: Name, rows, columns and dataflow of the systolic array.
        program: Digest of the trunk's program: the same on every machine that calibrates on the same pictures.
        calibration_images: Pictures that were calibrated on.
        compared_images: Other pictures, on which features and answers are compared.
        layerwise_images: Those of them on which layers are compared.
        layers: The trunk's steps in order, then the head's.
        macs, cycles: Of one picture, all layers.
        utilisation: Share of the array's multipliers at work over those cycles.
        features_cosine: Mean over pictures of the cosine of simulated and float features.
        features_cosine_least: The least of them.
        seconds_per_image: What the simulator took, all threads at work.
        model: A model's answers; None when none was named.
    """

    trunk: str
    trunk_digest: str
    array: dict[str, Any]
    program: str
    calibration_images: int
    compared_images: int
    layerwise_images: int
    layers: tuple[LayerRow, ...]
    macs: int
    cycles: int
    utilisation: float
    features_cosine: float
    features_cosine_least: float
    seconds_per_image: float
    model: ModelRow | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON only, with the milliseconds that the cycles are at 1 GHz."""
        row: dict[str, Any] = json_ready(asdict(self))
        return {**row, "ms_at_1_ghz": round(1e3 * self.cycles / _CLOCK, 3)}


def simulate(
    settings: Settings,
    *,
    trunk: str,
    model: str | None,
    array: str,
    images: Sequence[Path] | None,
    say: Callable[[str], None] | None = None,
) -> NpuReport:
    """Compile a trunk, and a model's head, for npu-int8, run them, and set them beside the float network.

    Args:
        settings: Home, threads, runtime.
        trunk: A trunk's name; "" for the one that the model reads.
        model: A bundle file, or NAME[@VERSION|@ALIAS]; None for the trunk alone.
        array: An array's name, or ROWSxCOLUMNS[-os|-ws|-is].
        images: Images and folders to calibrate and compare on; None for those that the model learned from, and its
            frozen test set.
        say: Told of what takes a while.

    Raises:
        ConfigError: On an array that is none, or a trunk that is not the model's.
        NotFoundError: On an unknown trunk or model.
        InputError: When there are no images, the head is not linear, or the chip lacks an operator of the trunk.
        MissingExtraError: When onnx or scalesim is not installed.
    """
    from trunkline.compute.chips.npu_int8.compiler import compile_graph
    from trunkline.compute.chips.npu_int8.cycles import array_of, check_installed

    target = array_of(array)
    check_installed()
    bundle = _bundle(model, settings) if model is not None else None
    chosen = _trunk(trunk, bundle, settings, say)
    pictures = _pictures(chosen, bundle, images, settings)
    if say:
        say(f"compiling {chosen.card.name} for npu-int8 on {len(pictures.calibration)} images")
    graph = chosen.path(dense=False)
    compiled = compile_graph(
        graph.read_bytes(), pictures.calibration, where=f"trunk {chosen.card.name}", outputs=("pooled",)
    )
    return _report(chosen, bundle, compiled, pictures, target, settings, say)


def _bundle(model: str, settings: Settings) -> Bundle:
    from trunkline.platform.registry.bundle import read
    from trunkline.platform.registry.keys import trusted_keys
    from trunkline.platform.registry.registry import Registry

    return read(Registry(settings).resolve(model), trusted=trusted_keys(settings.home))


def _trunk(spec: str, bundle: Bundle | None, settings: Settings, say: Callable[[str], None] | None) -> Trunk:
    from trunkline.algorithms.trunks import resolve
    from trunkline.platform.registry.use import trunk_of

    if bundle is None:
        return resolve(spec, settings.home, where="trunk", say=say)
    found = trunk_of(bundle, settings.home, say=say)
    if spec and resolve(spec, settings.home, where="trunk", say=say).card.digest != found.card.digest:
        raise ConfigError(
            f"expected the trunk that the model reads, {found.card.name}, got {spec!r}",
            where="trunk",
            fix="leave the trunk out: the model names its own",
        )
    return found


def _pictures(trunk: Trunk, bundle: Bundle | None, images: Sequence[Path] | None, settings: Settings) -> Pictures:
    if images:
        return from_files(images, trunk.card, settings)
    found = from_home(bundle, trunk.card, settings) if bundle is not None else None
    if found is None:
        lacking = "the images that the model learned from are not in this home" if bundle else "got none"
        raise InputError(
            f"expected images to calibrate and compare on: {lacking}",
            where="images",
            fix=f"name images or a folder of what the chip will see; {CALIBRATION} are enough to calibrate on",
        )
    return found


def _report(
    trunk: Trunk,
    bundle: Bundle | None,
    compiled: Compiled,
    pictures: Pictures,
    array: Array,
    settings: Settings,
    say: Callable[[str], None] | None,
) -> NpuReport:
    import numpy as np

    from trunkline.compute.chips.npu_int8.closeness import cosines
    from trunkline.compute.chips.npu_int8.running import run_many

    program = compiled.program
    if say:
        say(f"running {len(pictures.compared)} images on the simulator")
    start = time.perf_counter()
    integers = run_many(program, pictures.compared, threads=settings.threads)["pooled"]
    seconds = (time.perf_counter() - start) / len(pictures.compared)
    features = _features(trunk, pictures.compared, settings)
    alike = cosines(compiled.real("pooled", integers), features)
    closeness = _layerwise(trunk, compiled, pictures.compared[:LAYERWISE], settings)
    rows = _rows(program, array, closeness)
    answers = None
    if bundle is not None:
        learned = run_many(program, pictures.calibration, threads=settings.threads)["pooled"]
        head = head_program(bundle.head, learned, source=bundle.manifest.lineage.head, where=bundle.name)
        rows += _rows(head, array, {})
        answers = measure_model(bundle, head, integers, features, pictures.samples)
    macs, cycles = sum(row.macs for row in rows), sum(row.cycles for row in rows)
    return NpuReport(
        trunk=trunk.card.name,
        trunk_digest=trunk.card.digest,
        array=asdict(array),
        program=program.digest,
        calibration_images=len(pictures.calibration),
        compared_images=len(pictures.compared),
        layerwise_images=min(LAYERWISE, len(pictures.compared)),
        layers=tuple(rows),
        macs=macs,
        cycles=cycles,
        utilisation=macs / (cycles * array.multipliers),
        features_cosine=float(np.mean(alike)),
        features_cosine_least=float(np.min(alike)),
        seconds_per_image=seconds,
        model=answers,
    )


def _features(trunk: Trunk, pictures: np.ndarray, settings: Settings) -> np.ndarray:
    """What the engine's own runtime gives: the features that heads were fitted on."""
    import numpy as np

    from trunkline.algorithms.trunks import open_trunk

    with closing(open_trunk(trunk, settings)) as session:
        return np.concatenate([session.embed([picture])["pooled"] for picture in pictures])


def _layerwise(trunk: Trunk, compiled: Compiled, pictures: np.ndarray, settings: Settings) -> dict[str, Closeness]:
    """How close each tensor of the program is to ONNX Runtime's, over all pictures."""
    from trunkline.compute.chips.npu_int8.closeness import Closeness, with_outputs
    from trunkline.compute.chips.npu_int8.running import run
    from trunkline.compute.runtimes.onnxruntime import ONNXRuntime

    names = [step.output for step in compiled.program.steps]
    model, found = with_outputs(trunk.path().read_bytes(), names)
    total = {name: Closeness() for name in found}
    with tempfile.TemporaryDirectory(dir=settings.home, prefix=".npu-") as folder:
        path = Path(folder) / "layers.onnx"
        path.write_bytes(model)
        with closing(ONNXRuntime().open(path, outputs=tuple(found), threads=settings.threads)) as session:
            for at in range(len(pictures)):
                one = pictures[at : at + 1]
                integers, floats = run(compiled.program, one, keep=found), session.run(one)
                for name in found:
                    total[name] = total[name].with_pair(compiled.real(name, integers[name]), floats[name])
    return total


def _rows(program: Program, array: Array, closeness: Mapping[str, Closeness]) -> list[LayerRow]:
    from trunkline.compute.chips.npu_int8.cycles import cycles
    from trunkline.compute.chips.npu_int8.work import works

    def made() -> Iterator[LayerRow]:
        for work in works(program):
            macs = work.product.macs if work.product else 0
            spent = cycles(work.product, array) if work.product else 0
            alike = closeness.get(work.step.output)
            yield LayerRow(
                name=work.step.name,
                kind=work.step.kind,
                shape=work.shape,
                macs=macs,
                cycles=spent,
                utilisation=macs / (spent * array.multipliers) if spent else None,
                sqnr_db=alike.sqnr_db if alike else None,
                cosine=alike.cosine if alike else None,
                largest_difference=alike.largest if alike else None,
            )

    return list(made())
