"""The process in which LiteRT runs one graph: `python -m` this module, with a JSON object as its argument.

A TFLite graph is verified when it is loaded, and can still make the library crash, ask for all memory or never come
back; here that ends this process, not the caller's. It answers with one line of JSON, then reads requests: a line of
JSON and, behind it, pictures as raw bytes; each answer is a line of JSON and, behind it, the outputs as raw float32.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

_MEMORY, _MEMORY_A_THREAD = 4 << 30, 128 << 20  # bytes of address space, stacks and arenas of threads with it
_DETECTION = "TFLite_Detection_PostProcess"  # the operator whose outputs are boxes, classes, scores, count, in order


class Graph:
    """A graph, ready to run on one picture at a time.

    Args:
        model: The file.
        threads: CPU threads.
        mean, scale: The graph is fed (pixel - mean) / scale; without, what `_fed` says.
        seconds: What opening it may take, and what each picture may; the process ends then.

    Raises:
        ValueError: When it is no TFLite graph, or none that takes one RGB picture.
    """

    def __init__(
        self, model: str, threads: int, mean: list[float] | None, scale: list[float] | None, seconds: int
    ) -> None:
        import numpy as np
        from ai_edge_litert.interpreter import Interpreter  # type: ignore[import-untyped]

        self._seconds = seconds
        signal.alarm(seconds)
        self._interpreter = Interpreter(model_path=model, num_threads=threads)
        self._input = self._checked(self._interpreter.get_input_details())
        self._interpreter.allocate_tensors()
        self._outputs = self._interpreter.get_output_details()
        if any(output["dtype"].__name__ in ("bytes_", "object_", "str_") for output in self._outputs):
            raise ValueError("expected outputs of numbers, got one of texts")
        self._mean = None if mean is None else np.array(mean, np.float32)
        self._scale = None if scale is None else np.array(scale, np.float32)
        if self._mean is not None and self._input["dtype"] != np.float32 and not self._input["quantization"][0]:
            raise ValueError("the graph takes whole numbers without a scale; leave mean and scale out")
        signal.alarm(0)

    @staticmethod
    def _checked(inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """The one input, which takes a picture."""
        if len(inputs) != 1:
            raise ValueError(f"expected a graph with one input, got {len(inputs)}")
        shape, kind = tuple(int(side) for side in inputs[0]["shape_signature"]), inputs[0]["dtype"].__name__
        fits = len(shape) == 4 and shape[0] in (1, -1) and shape[3] == 3 and min(shape[1:3]) > 0
        if not fits or kind not in ("uint8", "int8", "float32"):
            raise ValueError(
                "expected an input of one RGB picture, uint8, int8 or float32 of shape (1, height, width, 3), "
                f"got {kind} {shape}"
            )
        return inputs[0]

    def facts(self) -> dict[str, Any]:
        """What the caller needs to know of the graph."""
        return {
            "size": [int(side) for side in self._input["shape"][1:3]],
            "dtype": self._input["dtype"].__name__,
            "outputs": [output["name"] for output in self._outputs],
            "detection": self._detection(),
        }

    def _detection(self) -> list[int]:
        """Places of the outputs boxes, classes, scores and count, when the graph ends in that operator."""
        places = {int(output["index"]): place for place, output in enumerate(self._outputs)}
        # Not public, but the only way to know: names and order of outputs are the converter's whim.
        for operator in getattr(self._interpreter, "_get_ops_details", list)():
            if operator["op_name"] == _DETECTION:
                found = [places.get(int(tensor), -1) for tensor in operator["outputs"][:4]]
                return found if len(found) == 4 and min(found) >= 0 else []
        return []

    def run(self, pictures: np.ndarray, outputs: list[int]) -> list[np.ndarray]:
        """The outputs at some places, float32 of shape (n, ...), for uint8 pictures of shape (n, height, width, 3)."""
        import numpy as np

        rows = []
        for picture in pictures:
            signal.alarm(self._seconds)
            self._interpreter.set_tensor(self._input["index"], self._fed(picture)[None])
            self._interpreter.invoke()
            rows.append([self._result(self._outputs[place]) for place in outputs])
        signal.alarm(0)
        return [np.ascontiguousarray(np.concatenate(column), np.float32) for column in zip(*rows, strict=True)]

    def _fed(self, picture: np.ndarray) -> np.ndarray:
        """A picture as the graph takes it: as it is, or (pixel - mean) / scale; int8 is the pixel less 128."""
        import numpy as np

        dtype = self._input["dtype"]
        if self._mean is None or self._scale is None:
            shift = 128 if dtype == np.int8 else 0
            return picture if dtype == np.uint8 else (picture.astype(np.int16) - shift).astype(dtype)
        real = (picture.astype(np.float32) - self._mean) / self._scale
        if dtype == np.float32:
            return np.asarray(real, np.float32)
        unit, zero = self._input["quantization"]
        bounds = np.iinfo(dtype)
        return np.asarray(np.clip(np.rint(real / unit) + zero, bounds.min, bounds.max), dtype)

    def _result(self, output: dict[str, Any]) -> np.ndarray:
        """One output of one picture with a leading axis of 1; whole numbers that stand for others are those."""
        import numpy as np

        value = self._interpreter.get_tensor(output["index"])
        unit, zero = output["quantization"]
        if unit and value.dtype.kind in "iu":
            value = (value.astype(np.float32) - zero) * np.float32(unit)
        batched = len(output["shape"]) > 0 and output["shape"][0] == 1 and len(value) == 1
        return np.asarray(value if batched else value[None], np.float32)


def main(words: dict[str, Any]) -> None:
    """Open a graph, then answer requests until there are no more."""
    requests, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the library prints is no answer
    _confine(words["threads"])
    try:
        graph = Graph(**words)
        _say(answers, graph.facts())
        while line := requests.readline():
            _answer(graph, json.loads(line), requests, answers)
    except Exception as error:  # whatever the library raises is the caller's to tell  # noqa: BLE001
        _say(answers, {"error": f"{error}" or type(error).__name__})


def _confine(threads: int) -> None:
    """Limits that a graph runs into before the machine does."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, also in the middle of a graph
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the caller's to answer
    memory = _MEMORY + threads * _MEMORY_A_THREAD
    for limit, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(limit)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (value, value))


def _answer(graph: Graph, request: dict[str, Any], requests: BinaryIO, answers: BinaryIO) -> None:
    import numpy as np

    shape = request["shape"]
    pictures = np.frombuffer(requests.read(int(np.prod(shape))), np.uint8).reshape(shape)
    outputs = graph.run(pictures, request["outputs"])
    _say(answers, {"shapes": [output.shape for output in outputs]}, *(output.data for output in outputs))


def _say(answers: BinaryIO, value: dict[str, Any], *arrays: memoryview) -> None:
    answers.write(json.dumps(value).encode() + b"\n")
    for array in arrays:
        answers.write(array.cast("B") if array.nbytes else b"")
    answers.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
