"""LiteRT on the CPU (XNNPACK), for TFLite graphs that somebody brings; each graph in a process of its own.

The library verifies a file and may still crash on it, or never come back; a graph from outside must not take the
caller along (`litert_worker`). Pictures go over a pipe, 0.1 ms for one of 300 x 300.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.compute.runtimes.base import check_batch, check_open, one_ahead
from trunkline.core.errors import InputError, MissingExtraError
from trunkline.core.text import cut

if TYPE_CHECKING:
    import numpy as np

_SECONDS = 60  # what opening a graph may take, and what each picture may
_SECONDS_TO_END = 5
_PACKAGE = "ai_edge_litert"
_MOST_BYTES = 1 << 30
_MOST_LINE = 1 << 20  # bytes of a line of JSON from the process
_MOST_ANSWER = 256 << 20  # bytes of the outputs for one batch


@dataclass(frozen=True)
class Facts:
    """What a graph says of itself.

    Attributes:
        size: Height and width of the pictures that it takes.
        dtype: "uint8", "int8" or "float32".
        outputs: Names of its outputs, in its order.
        detection: Places of boxes, classes, scores and count among them, where the graph ends in
            TFLite_Detection_PostProcess; else empty.
    """

    size: tuple[int, int]
    dtype: str
    outputs: tuple[str, ...]
    detection: tuple[int, ...]


class LiteRTRuntime:
    """Runs TFLite graphs with LiteRT, picture by picture: most are fixed to a batch of one."""

    def available(self) -> str:
        try:
            import ai_edge_litert.interpreter  # type: ignore[import-untyped]  # noqa: F401
        except Exception as error:  # whatever the import raises is the reason  # noqa: BLE001
            return f"{type(error).__name__}: {error}"
        return ""

    def open(
        self,
        model: Path,
        *,
        outputs: tuple[str, ...],
        threads: int,
        mean: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
    ) -> LiteRTSession:
        """Load a graph.

        Args:
            model: A TFLite file with one input: a picture, uint8, int8 or float32 of shape (1, height, width, 3).
            outputs: The outputs that are wanted, by name; none means all.
            threads: CPU threads to use.
            mean, scale: The graph is fed (pixel - mean) / scale. Without, uint8 and float32 are the pixels as they
                are, int8 the pixels less 128.

        Raises:
            InputError: When the file is no graph that the runtime takes.
            MissingExtraError: When LiteRT is not installed.
        """
        if find_spec(_PACKAGE) is None:
            raise MissingExtraError("ai-edge-litert", "litert", f"the graph {model.name}")
        if not model.is_file():
            raise InputError("expected a TFLite graph; there is nothing here", where=str(model))
        if model.stat().st_size > _MOST_BYTES:
            raise InputError("expected a graph of at most 1 GB", where=str(model))
        scaling = {"mean": mean and list(mean), "scale": scale and list(scale)}
        process = _Process(model, {"model": str(model), "threads": threads, "seconds": _SECONDS, **scaling})
        try:
            facts = process.facts()
            missing = [name for name in outputs if name not in facts.outputs]
            if missing:
                raise InputError(f"expected an output {missing[0]!r}, got {sorted(facts.outputs)}", where=str(model))
        except BaseException:
            process.close()
            raise
        return LiteRTSession(process, facts, outputs or facts.outputs)


class _Process:
    """The process that has a graph open; one question at a time.

    Args:
        model: The graph, for messages.
        words: What the worker is told.
    """

    def __init__(self, model: Path, words: Mapping[str, Any]) -> None:
        # -P: no module from the present folder; -B: no cache of bytecode is written.
        command = [sys.executable, "-P", "-B", "-m", "trunkline.compute.runtimes.litert_worker", json.dumps(words)]
        self._model = model
        self._lock = threading.Lock()
        self._popen = subprocess.Popen(  # noqa: S603 (a list of our own words, no shell)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert self._popen.stdin and self._popen.stdout  # noqa: S101 (both are pipes)
        self._requests, self._answers = self._popen.stdin, self._popen.stdout

    def facts(self) -> Facts:
        row = self._line()
        size = row["size"]
        return Facts((size[0], size[1]), row["dtype"], tuple(row["outputs"]), tuple(row["detection"]))

    def ask(self, images: np.ndarray, outputs: Sequence[int]) -> list[np.ndarray]:
        """The outputs at some places, float32 of shape (n, ...)."""
        import numpy as np

        with self._lock:
            try:
                self._requests.write(json.dumps({"shape": images.shape, "outputs": list(outputs)}).encode() + b"\n")
                self._requests.write(np.ascontiguousarray(images).data)
                self._requests.flush()
            except (OSError, ValueError) as error:  # it ended meanwhile, or earlier
                raise self._ended() from error
            shapes = [tuple(int(side) for side in shape) for shape in self._line()["shapes"]]
            size = sum(4 * prod(shape) for shape in shapes)
            if not 0 <= size <= _MOST_ANSWER:
                self.close()
                raise InputError(
                    f"expected outputs of at most {_MOST_ANSWER >> 20} MB a batch, got {size >> 20} MB",
                    where=str(self._model),
                )
            return [self._array(shape) for shape in shapes]

    def _line(self) -> dict[str, Any]:
        line = self._answers.readline(_MOST_LINE)
        if not line.endswith(b"\n"):
            raise self._ended()
        row: dict[str, Any] = json.loads(line)
        if "error" in row:
            self.close()
            raise InputError(f"LiteRT cannot run the graph: {cut(str(row['error']), 300)}", where=str(self._model))
        return row

    def _array(self, shape: tuple[int, ...]) -> np.ndarray:
        import numpy as np

        value = np.empty(shape, np.float32)
        if value.size and self._answers.readinto(value.data.cast("B")) != value.nbytes:  # type: ignore[attr-defined]
            raise self._ended()
        return value

    def _ended(self) -> InputError:
        """The error for a process that is no more."""
        self.close(kill=False)
        code = self._popen.returncode
        if code == -signal.SIGALRM:
            said = f"took over {_SECONDS} s"
        elif code < 0 and code != -signal.SIGKILL:
            said = f"crashed LiteRT ({signal.Signals(-code).name})"
        else:
            said = "ended LiteRT, or its process was killed"
        return InputError(f"the graph {said}", where=str(self._model), fix="bring another one, or export it anew")

    def close(self, *, kill: bool = True) -> None:
        """End the process: at once, or by itself, as it does when there are no more requests."""
        if kill:
            self._popen.kill()
        with contextlib.suppress(OSError):  # bytes that it never read
            self._requests.close()
        try:
            self._popen.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._answers.close()


class LiteRTSession:
    """A loaded graph. The process works on one batch, while the caller makes the next one.

    Attributes:
        outputs: Names of the outputs that it computes.
        facts: What the graph says of itself.
    """

    def __init__(self, process: _Process, facts: Facts, outputs: tuple[str, ...]) -> None:
        self.outputs = outputs
        self.streams = 1
        self.facts = facts
        self._places = [facts.outputs.index(name) for name in outputs]
        self._process: _Process | None = process
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="litert")

    def run(self, images: np.ndarray) -> Mapping[str, np.ndarray]:
        check_open(self._process)
        check_batch(images, *self.facts.size)
        process = self._process
        assert process is not None  # noqa: S101 (checked above)
        return dict(zip(self.outputs, process.ask(images, self._places), strict=True))

    def stream(self, batches: Iterable[np.ndarray]) -> Generator[Mapping[str, np.ndarray], None, None]:
        check_open(self._process)
        yield from one_ahead(self._worker, self.run, batches)

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)
        if self._process is not None:
            self._process.close()
        self._process = None
