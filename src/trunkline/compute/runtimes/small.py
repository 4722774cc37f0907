"""Small graphs on floats, as heads with convolutions are: ONNX Runtime on the CPU, in the caller's thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trunkline.compute.runtimes.onnxruntime import library

if TYPE_CHECKING:
    import numpy as np


class SmallGraph:
    """A graph that several threads may run at the same time.

    Args:
        graph: ONNX bytes.
        threads: CPU threads of a run; 1 is the caller's own.

    Raises:
        ValueError: When it is no graph that ONNX Runtime takes.
    """

    def __init__(self, graph: bytes, *, threads: int = 1) -> None:
        ort = library()
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its own exception types are not public
            raise ValueError(f"ONNX Runtime cannot read the graph: {error}") from error
        self.outputs = tuple(output.name for output in self._session.get_outputs())

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name, for arrays by the inputs' names.

        Raises:
            ValueError: When they are not of the shapes that it takes.
        """
        try:
            out = self._session.run(list(self.outputs), dict(inputs))
        except Exception as error:  # as above
            raise ValueError(f"the graph does not run: {error}") from error
        return dict(zip(self.outputs, out, strict=True))
