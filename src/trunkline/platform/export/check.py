"""An export is done when it has answered as the engine does, in each runtime that it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import InputError, TrunklineError
from trunkline.core.types.observation import Observation, Reading
from trunkline.platform.export.heads import HEAD_EXPORTS
from trunkline.platform.export.standalone import ACCEPTED, ANOMALY, IMAGE, SCORES, UNSURE

if TYPE_CHECKING:
    import numpy as np

    from trunkline.core.types.bundle import Bundle
    from trunkline.platform.engine.predictor import Predictor

TOLERANCE = 1e-3
"""Most that a score may differ from the engine's, and a raw anomaly score by its share; decisions must be the same
where the answer is farther than this from one where another decision begins."""
Run = Callable[["np.ndarray"], Mapping[str, "np.ndarray"]]
"""Runs an exported model on pictures, uint8 of shape (n, height, width, 3); gives its outputs by name."""
_SIDES = ((1, 1), (40, 30), (3, 701), (333, 257), (480, 640))
"""Height and width of drawn pictures: smaller and larger than a trunk's input, odd, and very wide."""


@dataclass(frozen=True)
class Checked:
    """How near an exported model is to the engine.

    Attributes:
        runtime: What ran it.
        pictures: How many pictures it was asked about.
        largest_difference: Of all scores; of raw anomaly scores by their share.
    """

    runtime: str
    pictures: int
    largest_difference: float


class Examiner:
    """Asks exported models what the engine was asked.

    Args:
        bundle: The model.
        predictor: The engine with this one model.
    """

    def __init__(self, bundle: Bundle, predictor: Predictor) -> None:
        self._bundle = bundle
        self._pictures = pictures(bundle)
        readings = [Reading(f"picture {number}", 0, 0.0, pixels) for number, pixels in enumerate(self._pictures)]
        self._expected = [observation for one in readings for observation in predictor.predict([one])]

    def check(self, runtime: str, run: Run) -> Checked:
        """Compare a runtime's answers with the engine's.

        Raises:
            TrunklineError: When they differ: the exported model must not be used.
        """
        largest = 0.0
        for pixels, expected in zip(self._pictures, self._expected, strict=True):
            size = f"{pixels.shape[1]} x {pixels.shape[0]}"
            difference, decided = compare(self._bundle, expected, run(pixels[None]))
            largest = max(largest, difference)
            if not difference <= TOLERANCE or not decided:  # also where it is no number
                said = f"scores differ by {difference:.2g}" if decided else "it decides otherwise"
                raise TrunklineError(
                    f"the exported model does not answer as the engine does: on a picture of {size} pixels {said} "
                    f"(expected at most {TOLERANCE:g}) in {runtime}; nothing was written",
                    where=self._bundle.name,
                    fix="report it, with the bundle and what `trunkline doctor` prints",
                )
        return Checked(runtime, len(self._pictures), largest)


def compare(bundle: Bundle, expected: Observation, got: Mapping[str, np.ndarray]) -> tuple[float, bool]:
    """How far an answer is from the engine's, and whether it decides the same wherever the engine's is clear.

    Args:
        bundle: The model.
        expected: The engine's answer on a picture.
        got: An exported model's outputs on the same picture.
    """
    import numpy as np

    labels = bundle.head.labels
    scores = {prediction.label: prediction.score for prediction in expected.predictions}
    wanted = np.array([scores[label] for label in labels])
    difference = float(np.abs(got[SCORES][0] - wanted).max())
    raw = expected.anomaly_score
    if raw is not None:
        difference = max(difference, abs(float(got[ANOMALY][0]) - raw) / max(1.0, abs(raw)))
    margin = HEAD_EXPORTS.load(bundle.task)().margin(bundle.head, wanted, raw)
    accepted = {label for label, taken in zip(labels, got[ACCEPTED][0], strict=True) if taken}
    same = accepted == set(expected.accepted) and bool(got[UNSURE][0]) == expected.unsure
    return difference, same or margin <= TOLERANCE


def pictures(bundle: Bundle) -> list[np.ndarray]:
    """The bundle's preview and drawn noise, fine and coarse, of many sizes."""
    import numpy as np
    from PIL import Image

    from trunkline.core.images import decode

    rng = np.random.default_rng(0)
    found = [np.asarray(decode(bundle.preview))]
    for height, width in _SIDES:
        found.append(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        blobs = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        found.append(np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC)))
    return found


@contextmanager
def onnxruntime_run(model: Path, *, threads: int) -> Iterator[Run]:
    """An exported ONNX file in ONNX Runtime.

    Raises:
        InputError: When it cannot be opened.
    """
    from trunkline.compute.runtimes.onnxruntime import library as onnxruntime_library

    ort = onnxruntime_library()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exception types are not public
        raise InputError(f"ONNX Runtime cannot read the graph: {error}", where=str(model)) from error
    names = [output.name for output in session.get_outputs()]
    yield lambda images: dict(zip(names, session.run(names, {IMAGE: images}), strict=True))


@contextmanager
def openvino_run(model: Path, *, threads: int) -> Iterator[Run]:
    """An exported ONNX file or OpenVINO IR in OpenVINO, in float32.

    Raises:
        InputError: When it cannot be opened.
    """
    from trunkline.compute.runtimes.openvino import library as openvino_library

    ov = openvino_library()
    config = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
    try:
        compiled = ov.Core().compile_model(str(model), "CPU", config)
    except RuntimeError as error:
        raise InputError(f"OpenVINO cannot read the graph: {error}", where=str(model)) from error
    request = compiled.create_infer_request()
    names = [(place, name) for place, port in enumerate(compiled.outputs) for name in port.get_names()]

    def run(images: np.ndarray) -> dict[str, Any]:
        request.infer({IMAGE: images})
        return {name: request.get_output_tensor(place).data.copy() for place, name in names}

    yield run
