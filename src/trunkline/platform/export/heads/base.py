"""What every exported head is: nodes from a trunk's features to answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from trunkline.core.types.features import FeatureTable
    from trunkline.core.types.head import TrainedHead
    from trunkline.platform.export.graph import Graph


@dataclass(frozen=True)
class Outputs:
    """Names of the tensors that answer, of n images and k labels; they mean what `heads.base.Scores` means.

    Attributes:
        scores: Float32 of shape (n, k).
        accepted: Bool of shape (n, k).
        unsure: Bool of shape (n,).
        anomaly: Float32 of shape (n,); None for other tasks.
    """

    scores: str
    accepted: str
    unsure: str
    anomaly: str | None = None


class HeadExport(Protocol):
    """A task's head as a graph."""

    def nodes(self, graph: Graph, head: TrainedHead, features: Mapping[str, str], sample: FeatureTable) -> Outputs:
        """Add the nodes of a head.

        Args:
            graph: Where they are added.
            head: The head.
            features: Name of a feature ("pooled", or a tap that the head asks for) -> name of its tensor.
            sample: Features of one picture: the shapes of what the trunk gives.
        """

    def margin(self, head: TrainedHead, scores: np.ndarray, anomaly: float | None) -> float:
        """How far an answer is from one where another decision begins, in units of the scores.

        Args:
            head: The head.
            scores: Of shape (k,).
            anomaly: The raw anomaly score, for tasks that have one.
        """
