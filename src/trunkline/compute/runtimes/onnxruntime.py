"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.compute.runtimes.base import INPUT, check_batch, check_open
from trunkline.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np


def _import() -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at import, which else makes files in the user's home
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(4)  # what matters comes as an exception
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
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would take the cores from the decoding of the next pictures.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own exception types are not public
            raise InputError(f"ONNX Runtime cannot read the graph: {error}", where=str(model)) from error
        found = [output.name for output in session.get_outputs()]
        missing = [name for name in outputs if name not in found]
        if missing:
            raise InputError(f"expected an output {missing[0]!r}, got {sorted(found)}", where=str(model))
        return ONNXSession(session, outputs)


class ONNXSession:
    """A loaded graph. All threads work on one batch, while the caller makes the next one."""

    def __init__(self, session: Any, outputs: tuple[str, ...]) -> None:
        self.outputs = outputs
        self._session = session
        self._side = int(session.get_inputs()[0].shape[1])
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="onnxruntime")

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        check_open(self._session)
        check_batch(images, self._side)
        return dict(zip(self.outputs, self._session.run(list(self.outputs), {INPUT: images}), strict=True))

    def stream(self, batches: Iterable[np.ndarray]) -> Generator[Mapping[str, np.ndarray], None, None]:
        check_open(self._session)
        waiting: deque[Future[Mapping[str, np.ndarray]]] = deque()
        try:
            for batch in batches:
                check_batch(batch, self._side)
                waiting.append(self._worker.submit(self.run, batch))
                if len(waiting) > 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:  # the caller stopped early, or a batch failed
                future.cancel()

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._session = None
