"""OpenVINO on the CPU: throughput by several single-threaded streams, latency by all threads on one picture."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.compute.runtimes.base import check_batch, check_open
from trunkline.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np

_TELEMETRY = "openvino_telemetry"
_PART = 2
"""Images of a batch that go through a stream at once. Of 1, 2, 4 and 8 the least CPU time an image (11.6, 11.2, 11.8
and 12.1 ms; efficientnet-lite0, 0.5 MB of L2 a core)."""
_HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_NAMES = {"float32": "fp32", "f32": "fp32", "bfloat16": "bf16", "bf16": "bf16", "float16": "fp16", "f16": "fp16"}
_WHOLE = ("i8", "u8", "int8", "uint8")


@contextlib.contextmanager
def without_telemetry() -> Iterator[None]:
    """Within the block, the package that sends telemetry cannot be imported; OpenVINO and NNCF then do without."""
    hidden = _TELEMETRY not in sys.modules
    if hidden:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            sys.modules.pop(_TELEMETRY, None)


def library() -> Any:
    """OpenVINO, imported without its telemetry: it then takes the stub that it brings for want of that package.

    Raises:
        ImportError: When it is not there.
    """
    with without_telemetry():
        import openvino
    return openvino


class OpenVINORuntime:
    """Runs graphs with OpenVINO, in float32 if not told otherwise so that features are the same on every CPU."""

    def available(self) -> str:
        try:
            library()
        except Exception as error:  # whatever the import raises is the reason  # noqa: BLE001
            return f"{type(error).__name__}: {error}"
        return ""

    def open(self, model: Path, *, outputs: tuple[str, ...], threads: int, precision: str = "fp32") -> OpenVINOSession:
        """Load a graph.

        Args:
            model: An ONNX file, or one that NNCF quantised.
            outputs: The outputs that are wanted.
            threads: CPU threads to use.
            precision: fp32, bf16 or fp16: what its floats may be computed in. A wish: `OpenVINOSession.precision` says
                what came of it.

        Raises:
            InputError: When the file is no graph that OpenVINO takes.
        """
        ov = library()
        core = ov.Core()
        try:
            graph = core.read_model(model)
            found = {name: port for port in graph.outputs for name in port.get_names()}
            missing = [name for name in outputs if name not in found]
            if missing:
                raise InputError(f"expected an output {missing[0]!r}, got {sorted(found)}", where=str(model))
            graph = ov.Model([found[name] for name in outputs], graph.get_parameters(), graph.get_friendly_name())
            return OpenVINOSession(core, graph, outputs, threads=threads, hint=_HINTS[precision])
        except RuntimeError as error:
            raise InputError(f"OpenVINO cannot read the graph: {error}", where=str(model)) from error


class OpenVINOSession:
    """A compiled graph with one stream a thread."""

    def __init__(self, core: Any, graph: Any, outputs: tuple[str, ...], *, threads: int, hint: str = "f32") -> None:
        self.outputs = outputs
        self._hint = hint
        self._side = int(graph.inputs[0].get_partial_shape()[1].get_length())
        self._core = core
        self._graph = graph
        self._threads = self.streams = threads
        self._compiled = self._compile("THROUGHPUT", streams=threads)
        self._idle: list[Any] = []
        self._single: Any = None

    def _compile(self, hint: str, *, streams: int) -> Any:
        config = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": streams,
            "INFERENCE_PRECISION_HINT": self._hint,
            "ENABLE_CPU_PINNING": False,
        }
        return self._core.compile_model(self._graph, "CPU", config)

    @property
    def precision(self) -> str:
        """What is really computed in: int8 when most products are, else what the plugin made of the wish."""
        check_open(self._compiled)
        products = [
            op.get_rt_info()["runtimePrecision"].astype(str)
            for op in self._compiled.get_runtime_model().get_ops()
            if op.get_rt_info()["layerType"].astype(str) in ("Convolution", "FullyConnected", "MatMul")
        ]
        if 2 * sum(kind in _WHOLE for kind in products) > len(products):
            return "int8"
        used = str(self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        return _NAMES.get(used, used)

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        import numpy as np

        check_open(self._compiled)
        check_batch(images, self._side)
        if len(images) == 1 and self._threads > 1:
            return self._run_one(images)
        count = max(self._threads, -(-len(images) // _PART))
        parts = list(self.stream(np.array_split(images, min(len(images), count))))
        return {name: np.concatenate([part[name] for part in parts]) for name in self.outputs}

    def _run_one(self, image: np.ndarray) -> dict[str, np.ndarray]:
        if self._single is None:  # compiled on first use: most sessions only ever see whole batches
            self._single = self._compile("LATENCY", streams=1).create_infer_request()
        self._single.infer({0: image})
        return self._results(self._single)

    def _results(self, request: Any) -> dict[str, np.ndarray]:
        return {name: request.get_output_tensor(i).data.copy() for i, name in enumerate(self.outputs)}

    def stream(self, batches: Iterable[np.ndarray]) -> Generator[Mapping[str, np.ndarray], None, None]:
        check_open(self._compiled)
        waiting: deque[Any] = deque()
        try:
            for batch in batches:
                check_batch(batch, self._side)
                request = self._request()
                request.start_async({0: batch})
                waiting.append(request)
                if len(waiting) > self._threads:  # one more than run at once, so that no stream waits for the caller
                    yield self._finish(waiting)
            while waiting:
                yield self._finish(waiting)
        finally:
            for request in waiting:  # the caller stopped early, or a batch failed
                request.cancel()
            for request in waiting:
                with contextlib.suppress(RuntimeError):  # it says that it was cancelled
                    request.wait()
            self._idle.extend(waiting)

    def _request(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:
            return self._compiled.create_infer_request()

    def _finish(self, waiting: deque[Any]) -> dict[str, np.ndarray]:
        request = waiting.popleft()
        try:
            request.wait()
            return self._results(request)
        finally:
            self._idle.append(request)

    def close(self) -> None:
        self._idle.clear()
        self._single = self._compiled = self._graph = self._core = None
