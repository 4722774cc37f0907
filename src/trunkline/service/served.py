"""A model as the server knows it: enough to describe it and to check what it is asked, without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trunkline.core.digest import short
from trunkline.platform.engine.fleet import Model

if TYPE_CHECKING:
    from trunkline.core.types.bundle import Bundle
    from trunkline.platform.registry.versions import ModelVersion


@dataclass(frozen=True, slots=True)
class Served:
    """One version of a model.

    Attributes:
        name: The model's name.
        version: Its number in the registry; of a bundle file the first digits of the digest.
        digest: The bundle's; also the model's key in the engine, so that a request is answered by one bundle alone.
        task: "classify", ...
        labels: In the order of the scores.
        thresholds: Operating threshold for each label.
        unsure: Lower and upper bound for each label.
        status: How its gate went.
        trunk: Its trunk's name.
        trunk_digest: And digest.
    """

    name: str
    version: str
    digest: str
    task: str
    labels: tuple[str, ...]
    thresholds: Mapping[str, float]
    unsure: Mapping[str, tuple[float, float]]
    status: str
    trunk: str
    trunk_digest: str

    @classmethod
    def of(cls, bundle: Bundle, version: ModelVersion | None) -> Served:
        head = bundle.head
        return cls(
            bundle.name,
            str(version.version) if version else short(bundle.digest),
            bundle.digest,
            bundle.task,
            head.labels,
            head.thresholds,
            head.unsure,
            bundle.status,
            bundle.trunk.name,
            bundle.trunk.digest,
        )

    @property
    def anomaly(self) -> bool:
        """Whether it gives anomaly scores."""
        return self.task == "anomaly"


def model_of(bundle: Bundle) -> Model:
    """A bundle's model as the engine takes it."""
    return Model(bundle.digest, bundle.head, bundle.name)
