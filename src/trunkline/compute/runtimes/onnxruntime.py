"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.compute.runtimes.base import INPUT
from trunkline.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np


def _import() -> Any:
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(3)
    return onnxruntime


class ONNXRuntime:
    """Runs graphs with ONNX Runtime's CPU provider."""

    def available(self) -> str:
        try:
            _import()
        except Exception as error:  # whatever the import raises is the reason  # noqa: BLE001
            return f"{type(error).__name__}: {error}"
        return ""

    def open(self, model: Path, *, outputs: tuple[str, ...], threads: int) -> ONNXSession:
        ort = _import()
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own exception types are not public
            raise InputError(f"ONNX Runtime cannot read the graph: {error}", where=str(model)) from error
        found = [output.name for output in session.get_outputs()]
        missing = [name for name in outputs if name not in found]
        if missing:
            raise InputError(f"expected an output {missing[0]!r}, got {sorted(found)}", where=str(model))
        return ONNXSession(session, outputs, threads=threads)


class ONNXSession:
    """A loaded graph; a batch is one thread's work, several batches run at once."""

    def __init__(self, session: Any, outputs: tuple[str, ...], *, threads: int) -> None:
        self.outputs = outputs
        self._session = session
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="onnxruntime")

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        return dict(zip(self.outputs, self._session.run(list(self.outputs), {INPUT: images}), strict=True))

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[Mapping[str, np.ndarray]]:
        waiting: deque[Future[Mapping[str, np.ndarray]]] = deque()
        for batch in batches:
            waiting.append(self._pool.submit(self.run, batch))
            if len(waiting) > self._threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        self._session = None
