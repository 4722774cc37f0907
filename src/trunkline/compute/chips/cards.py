"""Target cards: what a chip was measured to do, and which way each model takes on it; `HOME/chips/NAME.json`.

A card holds on the machine that it was measured on, with the versions of the libraries that it names. Another one is
as good as none: everything then runs in float32.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from trunkline.compute.chips.base import Way
from trunkline.compute.chips.machine import machine
from trunkline.core.digest import canonical_json, json_ready
from trunkline.core.files import locked, write_atomic

SCHEMA = 1


@dataclass(frozen=True)
class WayRow:
    """One way to run a trunk, measured.

    Attributes:
        way: The way.
        used: The precision that it really computed in.
        images_per_second: Of batches, by the clock.
        cpu_ms: CPU milliseconds of an image, all threads.
        p50_ms, p95_ms: Of single images.
        times: Faster than the way that everything takes without a card.
        cosine, cosine_least: Of its features with that way's; mean and least over the images.
        reason: Why it was not measured; the figures are then 0.
    """

    way: Way
    used: str = ""
    images_per_second: float = 0.0
    cpu_ms: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    times: float = 0.0
    cosine: float = 0.0
    cosine_least: float = 0.0
    reason: str = ""


@dataclass(frozen=True)
class TrunkRow:
    """What a chip does with one trunk.

    Attributes:
        name: The trunk's name.
        dense: With its maps.
        threads, batch: As it was measured.
        images: Real pictures that features were compared on; 0 where there were none.
        plain: The way that everything takes without a card.
        ways: One row a way.
    """

    name: str
    dense: bool
    threads: int
    batch: int
    images: int
    plain: Way
    ways: tuple[WayRow, ...]


@dataclass(frozen=True)
class Trial:
    """A model's answers in one way beside those in float32, on its own frozen test set.

    Attributes:
        way: The way.
        classes: Label -> [images, recall in float32, recall in this way]; what could not be measured is None.
        worst: The most recall that a class loses, or false alarms that it gains, 0..1.
        unsure: Change of the share of images that the model is unsure of.
        holds: Whether every class has test images and loses no more than allowed.
        reason: Why it does not hold.
    """

    way: Way
    classes: Mapping[str, tuple[int, float | None, float | None]]
    worst: float
    unsure: float
    holds: bool
    reason: str = ""


@dataclass(frozen=True)
class ModelRow:
    """The way that one model takes, and why.

    Attributes:
        name: The model's name.
        trunk: Digest of its trunk.
        dataset: Digest of the data set whose test part it was measured on.
        test_images: Images of that part.
        max_loss: What a class may lose, 0..1.
        way: The way it takes.
        reason: Why.
        trials: One for each way that was tried.
    """

    name: str
    trunk: str
    dataset: str
    test_images: int
    max_loss: float
    way: Way
    reason: str
    trials: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class Card:
    """A target card.

    Attributes:
        chip: The chip's name in the table.
        what: What the chip says of itself.
        facts: The machine that it was measured on.
        trunks: Digest of a trunk -> what the chip does with it.
        models: Digest of a bundle -> the way it takes.
    """

    chip: str
    what: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=machine)
    trunks: Mapping[str, TrunkRow] = field(default_factory=dict)
    models: Mapping[str, ModelRow] = field(default_factory=dict)

    def with_rows(self, trunks: Mapping[str, TrunkRow], models: Mapping[str, ModelRow]) -> Card:
        """The card with these rows in the place of those of the same digest."""
        return replace(self, trunks={**self.trunks, **trunks}, models={**self.models, **models})

    def to_json(self) -> dict[str, Any]:
        row: dict[str, Any] = json_ready({"schema": SCHEMA, **asdict(self)})
        return row

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> Card:
        """A card from its JSON.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: When it is none.
        """
        if row["schema"] != SCHEMA:
            raise ValueError(f"expected schema {SCHEMA}, got {row['schema']}")
        trunks = {key: _trunk(value) for key, value in row["trunks"].items()}
        models = {key: _model(value) for key, value in row["models"].items()}
        return cls(row["chip"], row["what"], row["facts"], trunks, models)


def _trunk(row: dict[str, Any]) -> TrunkRow:
    ways = tuple(WayRow(**{**way, "way": Way(**way["way"])}) for way in row["ways"])
    return TrunkRow(**{**row, "plain": Way(**row["plain"]), "ways": ways})


def _model(row: dict[str, Any]) -> ModelRow:
    trials = tuple(
        Trial(**{**trial, "way": Way(**trial["way"]), "classes": {k: tuple(v) for k, v in trial["classes"].items()}})
        for trial in row["trials"]
    )
    return ModelRow(**{**row, "way": Way(**row["way"]), "trials": trials})


def path_of(home: Path, chip: str) -> Path:
    """The file of a chip's card."""
    return home / "chips" / f"{chip}.json"


def load(home: Path, chip: str) -> Card | None:
    """A chip's card; None where there is none of this machine, or what is there is no card."""
    try:
        card = Card.from_json(json.loads(path_of(home, chip).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return card if card.chip == chip and dict(card.facts) == machine() else None


@contextmanager
def changing(home: Path, chip: str) -> Iterator[None]:
    """Hold a chip's card, so that two measurements neither disturb each other nor lose rows."""
    with locked(home / "locks" / f"chip-{chip}.lock"):
        yield


def save(home: Path, card: Card) -> Path:
    """Write a card; the caller holds it with `changing`.

    Raises:
        StorageError: When the home cannot be written.
    """
    path = path_of(home, card.chip)
    write_atomic(path, canonical_json(card.to_json()))
    return path
