"""Models on one trunk as they answer together: linear heads stacked, the others one by one.

A fleet never changes. Who adds, swaps or removes a model makes the next fleet, which shares all blocks but the one
touched; a batch that is under way ends with the fleet that it began with, so that no answer is mixed.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.algorithms.heads import HEADS
from trunkline.algorithms.heads.base import Scores
from trunkline.algorithms.heads.linear import without_contrast
from trunkline.core.errors import BundleError
from trunkline.core.types.features import FeatureTable
from trunkline.core.types.head import TrainedHead

if TYPE_CHECKING:
    import numpy as np

    from trunkline.algorithms.heads.stack import Stack

_BLOCK = 256
"""Heads of one stack: 9 MB of six classes. A model that comes or goes costs the copy of one block."""
_LARGE = 64
"""Heads from which on a block's weights are mapped from a file."""


@dataclass(frozen=True)
class Model:
    """A head with the digest of the bundle that it came in, and the model's name."""

    bundle: str
    head: TrainedHead
    name: str = ""


def score(head: TrainedHead, table: FeatureTable) -> Scores:
    """What one head says of n rows of features.

    Raises:
        ValueError: When the features are of another trunk than the head's.
        BundleError: When it gives numbers that are not finite.
    """
    import numpy as np

    if table.trunk != head.trunk:
        raise ValueError(f"expected features of trunk {head.trunk}, got {table.trunk}")
    kind = HEADS.load(head.task)()
    asked = {tap: maps for tap, maps in table.dense.items() if tap in kind.dense}  # as when it was fitted
    with np.errstate(all="ignore"):  # told below
        scores: Scores = kind.predict(head, replace(table, dense=asked))
    return _finite(scores, head.task)


def _finite(scores: Scores, task: str) -> Scores:
    import numpy as np

    if not np.isfinite(scores.probabilities.sum()):  # NaN and infinity come through a sum
        raise BundleError(
            f"the {task} head gives numbers that are not finite",
            fix="build the model again, or ask whoever signed it",
        )
    return scores


@dataclass(frozen=True)
class _Block:
    """Models that answer together; without a stack there is one, which answers by itself."""

    models: Mapping[str, Model]
    stack: Stack | None

    @classmethod
    def of(cls, models: Mapping[str, Model], folder: Path | None) -> _Block:
        from trunkline.algorithms.heads.stack import Stack, is_linear

        heads = [model.head for model in models.values()]
        kind = HEADS.load(heads[0].task)()
        if not is_linear(kind):
            return cls(models, None)
        on_disk = partial(mapped, folder=folder) if folder is not None and len(heads) >= _LARGE else None
        stack = Stack.of(kind, heads, empty=on_disk)
        thin = (replace(model, head=stack.thin(at, model.head)) for at, model in enumerate(models.values()))
        return cls(dict(zip(models, thin, strict=True)), stack)

    @cached_property
    def kind(self) -> tuple[Any, ...]:
        return _kind(*next(iter(self.models.items())))

    def answers(self, table: FeatureTable, plain: dict[tuple[int, ...], np.ndarray], only: Sequence[int]) -> Scores:
        """Answers of some of its models; in arrays (n, models, labels) where there is a stack."""
        import numpy as np

        if self.stack is None:
            (model,) = self.models.values()
            return score(model.head, table)
        stack = self.stack if len(only) == len(self.models) else self.stack.take(only)
        if stack.channels not in plain:
            plain[stack.channels] = without_contrast(table.pooled, stack.channels)
        with np.errstate(all="ignore"):  # told below
            return _finite(stack.answers(plain[stack.channels]), self.kind[0])


def mapped(shape: tuple[int, ...], *, folder: Path) -> np.ndarray:
    """A float32 array in a file without a name, which is gone when the array is, however the process ends.

    Where the disk has no room for it, it is in memory.

    Args:
        shape: Of the array.
        folder: Where the file lies; made when missing.
    """
    import numpy as np

    size = 4 * math.prod(shape)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)  # else a full disk shows as a signal that kills, at some write
            return np.memmap(file, np.float32, "r+", shape=shape)
    except OSError:
        return np.empty(shape, np.float32)


class Answers(Mapping[str, Scores]):
    """What models say of n images: key -> scores, taken from the arrays that they were computed in.

    Args:
        parts: Keys, whether their scores are stacked, their scores.
    """

    def __init__(self, parts: Iterable[tuple[Sequence[str], bool, Scores]]) -> None:
        self._parts = list(parts)

    @cached_property
    def _place(self) -> dict[str, tuple[Scores, int | None]]:
        return {
            key: (scores, at if stacked else None)
            for keys, stacked, scores in self._parts
            for at, key in enumerate(keys)
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)

    def __getitem__(self, key: str) -> Scores:
        scores, at = self._place[key]
        if at is None:
            return scores
        return Scores(scores.probabilities[:, at], scores.accepted[:, at], scores.unsure[:, at])


class Fleet(Mapping[str, Model]):
    """Models on one trunk, by keys that the caller chooses.

    Args:
        trunk: Digest of the trunk.
        blocks: As `changed` makes them.
        folder: Where the weights of large blocks lie, mapped into memory, so that they are the kernel's to page out;
            all in memory when not given.
    """

    def __init__(self, trunk: str, blocks: Sequence[_Block] = (), *, folder: Path | None = None) -> None:
        self.trunk = trunk
        self._folder = folder
        self._blocks = tuple(blocks)
        self._place = {key: (b, at) for b, block in enumerate(self._blocks) for at, key in enumerate(block.models)}

    def __len__(self) -> int:
        return len(self._place)

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __getitem__(self, key: str) -> Model:
        return self._blocks[self._place[key][0]].models[key]

    @cached_property
    def dense(self) -> tuple[str, ...]:
        """Taps whose maps some model needs, sorted."""
        tasks = {block.kind[0] for block in self._blocks}
        return tuple(sorted({tap for task in tasks for tap in HEADS.load(task)().dense}))

    def changed(self, models: Mapping[str, Model], *, without: Iterable[str] = ()) -> Fleet:
        """The next fleet: some models added, or put in the place of those of the same key; some removed.

        Args:
            models: Models on this trunk.
            without: Keys to remove; those that are not there are passed over.

        Raises:
            ValueError: When a model is of another trunk.
        """
        for model in models.values():
            if model.head.trunk != self.trunk:
                raise ValueError(f"expected models of trunk {self.trunk}, got {model.head.trunk}")
        new, gone = dict(models), set(without) - models.keys()
        blocks: list[_Block] = []
        for block in self._blocks:
            if block.models.keys().isdisjoint(gone) and block.models.keys().isdisjoint(new):
                blocks.append(block)
                continue
            stay: dict[str, Model] = {}
            for key, model in block.models.items():
                if key not in gone and _kind(key, new.get(key, model)) == block.kind:
                    stay[key] = new.pop(key, model)
            if stay:
                blocks.append(_Block.of(stay, self._folder))
        return Fleet(self.trunk, _filled(blocks, new, self._folder), folder=self._folder)

    def answers(self, table: FeatureTable, keys: Iterable[str] | None = None) -> Answers:
        """What models say of n images.

        Args:
            table: Features of n images, with the maps that the models need.
            keys: The models to ask; None: all.

        Raises:
            KeyError: On a key that is not here.
            ValueError: When the features are of another trunk.
        """
        if table.trunk != self.trunk:
            raise ValueError(f"expected features of trunk {self.trunk}, got {table.trunk}")
        plain: dict[tuple[int, ...], np.ndarray] = {}
        parts: list[tuple[Sequence[str], bool, Scores]] = []
        for number, only in self._wanted(keys).items():
            block = self._blocks[number]
            names = list(block.models)
            parts.append(([names[at] for at in only], block.stack is not None, block.answers(table, plain, only)))
        return Answers(parts)

    def _wanted(self, keys: Iterable[str] | None) -> dict[int, list[int]]:
        """Block -> places in it."""
        if keys is None:
            return {number: list(range(len(block.models))) for number, block in enumerate(self._blocks)}
        wanted: dict[int, list[int]] = defaultdict(list)
        for number, at in sorted({self._place[key] for key in keys}):
            wanted[number].append(at)
        return wanted


def _kind(key: str, model: Model) -> tuple[Any, ...]:
    """Models of the same kind can share a block; it begins with the task."""
    from trunkline.algorithms.heads.stack import is_linear, shape_of

    return shape_of(model.head) if is_linear(HEADS.load(model.head.task)()) else (model.head.task, key)


def _filled(blocks: list[_Block], models: Mapping[str, Model], folder: Path | None) -> list[_Block]:
    """Blocks with models added: those of the same kind are filled up, then new ones are begun."""
    waiting: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for key, model in models.items():
        waiting[_kind(key, model)].append(key)
    for at, block in enumerate(blocks):
        more, room = waiting.get(block.kind, []), _BLOCK - len(block.models)
        if more and room > 0:
            blocks[at] = _Block.of({**block.models, **{key: models[key] for key in more[:room]}}, folder)
            del more[:room]
    for keys in waiting.values():
        for start in range(0, len(keys), _BLOCK):
            blocks.append(_Block.of({key: models[key] for key in keys[start : start + _BLOCK]}, folder))
    return blocks
