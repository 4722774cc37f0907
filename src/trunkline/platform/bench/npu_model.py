"""A model's head on `npu-int8` beside the same head in floats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trunkline.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from trunkline.compute.chips.npu_int8.program import Program
    from trunkline.core.types.bundle import Bundle
    from trunkline.core.types.dataset import Sample
    from trunkline.core.types.head import TrainedHead


@dataclass(frozen=True)
class ModelRow:
    """What a model says on the chip and in floats.

    Attributes:
        name: The model's.
        task: Its task.
        bundle: Digest of the bundle.
        program: Digest of the head's program.
        images: Pictures that both answered.
        changed: Of these, how many got another label (classify) or other labels (multilabel).
        largest_score_change: Of any label's probability.
        test_images: Pictures of the frozen test set among them.
        accuracy_float, accuracy_npu: Share of those answered rightly, all labels of a picture right; None without.
    """

    name: str
    task: str
    bundle: str
    program: str
    images: int
    changed: int
    largest_score_change: float
    test_images: int
    accuracy_float: float | None
    accuracy_npu: float | None


def head_program(head: TrainedHead, features: np.ndarray, *, source: str, where: str) -> Program:
    """Compile a head; its temperature is folded into the weights.

    Args:
        head: A linear head.
        features: Integers of the trunk's program on calibration pictures.
        source: Digest of the head.
        where: The model's name, for messages.

    Raises:
        InputError: When the head is not a linear one.
    """
    from trunkline.compute.chips.npu_int8.heads import compile_head

    if not linear(head):
        raise InputError(
            f"npu-int8 runs linear heads of classify and multilabel models, got a {head.task} head "
            f"with {', '.join(sorted(head.weights))}",
            where=where,
            fix="name another model, or none: the trunk alone can be simulated",
        )
    temperature = head.calibration["temperature"]
    return compile_head(
        head.weights["weight"] / temperature,
        head.weights["bias"] / temperature,
        channels=head.config["channels"],
        features=features,
        source=source,
        where=where,
    )


def linear(head: TrainedHead) -> bool:
    """Whether a head is a matrix and a bias, on features with their contrast taken out tap by tap."""
    known = head.task in ("classify", "multilabel") and set(head.weights) == {"weight", "bias"}
    return known and bool(head.config.get("channels")) and "temperature" in head.calibration


def measure_model(
    bundle: Bundle, program: Program, integers: np.ndarray, features: np.ndarray, samples: Sequence[Sample]
) -> ModelRow:
    """Both sides' answers on the same pictures.

    Args:
        bundle: The model.
        program: Its head, compiled.
        integers: The trunk program's features, int32 (n, d).
        features: The float trunk's, float32 (n, d).
        samples: The first so many pictures are these, with their labels.
    """
    import numpy as np

    from trunkline.algorithms.heads import HEADS
    from trunkline.compute.chips.npu_int8.running import run
    from trunkline.core.types.features import FeatureTable

    kind: Any = HEADS.load(bundle.task, where=bundle.name)()
    table = FeatureTable(("",) * len(features), features, bundle.trunk.digest)
    floats = kind.predict(bundle.head, table)
    logits = program.step("logits").values(run(program, integers)["logits"])
    chip = kind.decide(logits.astype(np.float32), kind.limits(bundle.head))
    ours, theirs = (_answers(bundle.task, scores.probabilities, scores.accepted) for scores in (chip, floats))
    right = np.array([[label in sample.labels for label in bundle.head.labels] for sample in samples], bool)
    return ModelRow(
        name=bundle.name,
        task=bundle.task,
        bundle=bundle.digest,
        program=program.digest,
        images=len(features),
        changed=int((ours != theirs).any(axis=1).sum()),
        largest_score_change=float(np.abs(chip.probabilities - floats.probabilities).max()),
        test_images=len(samples),
        accuracy_float=float((theirs[: len(right)] == right).all(axis=1).mean()) if samples else None,
        accuracy_npu=float((ours[: len(right)] == right).all(axis=1).mean()) if samples else None,
    )


def _answers(task: str, probabilities: np.ndarray, accepted: np.ndarray) -> np.ndarray:
    """Labels of each picture, bool (n, k): of classify the likeliest, sure or not."""
    import numpy as np

    if task != "classify":
        return accepted
    return np.asarray(np.arange(probabilities.shape[1]) == probabilities.argmax(axis=1)[:, None])
