"""What every export format does: files into an empty folder, each of them checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from trunkline.core.settings import Settings
    from trunkline.core.types.bundle import Bundle
    from trunkline.platform.export.check import Checked, Examiner
    from trunkline.platform.export.standalone import Standalone


@dataclass(frozen=True)
class ExportJob:
    """One model to export.

    Attributes:
        bundle: The model.
        made: The model as one graph.
        size: Height and width of the trunk's input, pixels.
        examiner: Asks what was written.
        settings: Home and threads.
        say: Told before what takes a while.
        onnxruntime_web: A folder or an archive with ONNX Runtime Web, where the user brings one.
    """

    bundle: Bundle
    made: Standalone
    size: int
    examiner: Examiner
    settings: Settings
    say: Callable[[str], None]
    onnxruntime_web: Path | None = None


class ExportFormat(Protocol):
    """A format.

    Attributes:
        start: What to do with the folder, one line; `{folder}` stands for it.
    """

    start: str

    def write(self, job: ExportJob, folder: Path) -> list[Checked]:
        """Write a model's files into an empty folder and compare their answers with the engine's.

        Raises:
            TrunklineError: When they differ.
            InputError: When something that it needs is missing, saying what to bring.
        """
