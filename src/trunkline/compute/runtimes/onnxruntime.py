"""ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.compute.runtimes.base import INPUT, check_batch, check_open, one_ahead
from trunkline.core.errors import InputError

if TYPE_CHECKING:
    import numpy as np


def library() -> Any:
    """ONNX Runtime, imported with its telemetry off.

    Raises:
        ImportError: When it is not there.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at import, which else makes files in the user's home
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    onnxruntime.set_default_logger_severity(4)  # what matters comes as an exception
    return onnxruntime


def providers() -> list[str]:
    """The execution providers that this build of ONNX Runtime brings; none when it cannot be imported."""
    try:
        return list(library().get_available_providers())
    except Exception:  # `ONNXRuntime.available` tells the reason  # noqa: BLE001
        return []


def simplified(model: Path, scratch: Path) -> bytes:
    """A graph with constants computed and padding made part of convolutions, in ONNX's own operators.

    Args:
        model: The graph.
        scratch: A folder for a file on the way.

    Raises:
        InputError: When the file is no graph that ONNX Runtime takes.
    """
    ort = library()
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    path = scratch / "simplified.onnx"
    options.optimized_model_filepath = str(path)
    try:
        ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exception types are not public
        raise InputError(f"ONNX Runtime cannot read the graph: {error}", where=str(model)) from error
    return path.read_bytes()


class ONNXRuntime:
    """Runs graphs with ONNX Runtime, on the CPU if not told otherwise."""

    def available(self) -> str:
        try:
            library()
        except Exception as error:  # whatever the import raises is the reason  # noqa: BLE001
            return f"{type(error).__name__}: {error}"
        return ""

    def open(
        self, model: Path, *, outputs: tuple[str, ...], threads: int, provider: str = "CPUExecutionProvider"
    ) -> ONNXSession:
        """Load a graph.

        Args:
            model: An ONNX file.
            outputs: The outputs that are wanted.
            threads: CPU threads to use.
            provider: Where it runs, by ONNX Runtime's name; what that cannot do runs on the CPU.

        Raises:
            InputError: When the file is no graph that ONNX Runtime takes, or the provider does not start.
        """
        ort = library()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would take the cores from the decoding of the next pictures.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = ort.InferenceSession(str(model), options, providers=_order(provider))
        except Exception as error:  # its own exception types are not public
            raise InputError(f"ONNX Runtime cannot read the graph: {error}", where=str(model)) from error
        if provider not in session.get_providers():  # it falls back to the CPU and says so in a log alone
            raise InputError(
                f"ONNX Runtime could not start {provider}", where=str(model), fix="see that its driver works"
            )
        found = [output.name for output in session.get_outputs()]
        missing = [name for name in outputs if name not in found]
        if missing:
            raise InputError(f"expected an output {missing[0]!r}, got {sorted(found)}", where=str(model))
        return ONNXSession(session, outputs)


def _order(provider: str) -> list[str]:
    return list(dict.fromkeys([provider, "CPUExecutionProvider"]))


class ONNXSession:
    """A loaded graph. All threads work on one batch, while the caller makes the next one."""

    def __init__(self, session: Any, outputs: tuple[str, ...]) -> None:
        self.outputs = outputs
        self.streams = 1
        self._session = session
        self._side = int(session.get_inputs()[0].shape[1])
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="onnxruntime")

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        check_open(self._session)
        check_batch(images, self._side)
        return dict(zip(self.outputs, self._session.run(list(self.outputs), {INPUT: images}), strict=True))

    def stream(self, batches: Iterable[np.ndarray]) -> Generator[Mapping[str, np.ndarray], None, None]:
        check_open(self._session)
        yield from one_ahead(self._worker, self.run, batches)

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._session = None
