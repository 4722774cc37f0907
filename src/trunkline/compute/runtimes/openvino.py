"""OpenVINO on the CPU: throughput by several single-threaded streams."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np


def _import() -> Any:
    os.environ.setdefault("OPENVINO_TELEMETRY", "0")
    import openvino

    return openvino


class OpenVINORuntime:
    """Runs graphs with OpenVINO, in float32 so that features are the same on every CPU."""

    def available(self) -> str:
        try:
            _import()
        except Exception as error:  # whatever the import raises is the reason  # noqa: BLE001
            return f"{type(error).__name__}: {error}"
        return ""

    def open(self, model: Path, *, outputs: tuple[str, ...], threads: int) -> OpenVINOSession:
        ov = _import()
        core = ov.Core()
        try:
            graph = core.read_model(model)
            found = {name: port for port in graph.outputs for name in port.get_names()}
            missing = [name for name in outputs if name not in found]
            if missing:
                raise InputError(f"expected an output {missing[0]!r}, got {sorted(found)}", where=str(model))
            graph = ov.Model([found[name] for name in outputs], graph.get_parameters(), graph.get_friendly_name())
        except RuntimeError as error:
            raise InputError(f"OpenVINO cannot read the graph: {error}", where=str(model)) from error
        config = {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        return OpenVINOSession(core.compile_model(graph, "CPU", config), outputs, streams=threads)


class OpenVINOSession:
    """A compiled graph with one request a stream."""

    def __init__(self, compiled: Any, outputs: tuple[str, ...], *, streams: int) -> None:
        self.outputs = outputs
        self._compiled = compiled
        self._idle = [compiled.create_infer_request() for _ in range(streams + 1)]

    def _results(self, request: Any) -> dict[str, np.ndarray]:
        return {name: request.get_output_tensor(i).data.copy() for i, name in enumerate(self.outputs)}

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        return next(self.stream([images]))

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Mapping[str, np.ndarray]]:
        waiting: deque[Any] = deque()
        try:
            for batch in batches:
                request = self._idle.pop()
                request.start_async({0: batch})
                waiting.append(request)
                if not self._idle:
                    yield self._finish(waiting)
            while waiting:
                yield self._finish(waiting)
        finally:
            for request in waiting:  # the reader stopped early
                request.wait()
                self._idle.append(request)

    def _finish(self, waiting: deque[Any]) -> dict[str, np.ndarray]:
        request = waiting.popleft()
        try:
            request.wait()
            return self._results(request)
        finally:
            self._idle.append(request)

    def close(self) -> None:
        self._idle.clear()
        self._compiled = None
