"""The card of a model that somebody brings: what a TFLite detector does not say of itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, PlainValidator, field_validator

from trunkline.core.cards import SUFFIXES, Mean, Name, Scale, Strict, card_beside, read_as, read_bytes
from trunkline.core.errors import ConfigError, InputError
from trunkline.core.text import cut

GRAPH_SUFFIX = ".tflite"
EXAMPLE = """\
name: coco-ssd
task: detect
model: detect.tflite      # the graph, from this card's folder, which may be another one
labels: labelmap.txt      # a list, or a text file beside this card or the graph, one label a line
label_offset: 1           # class 0 of the graph is the label after the first
background: ["empty"]     # labels that stand for nothing
threshold: 0.5            # boxes with a lower score are not told
licence: Apache-2.0       # of the weights
source: where the weights are from"""
"""A card to copy."""
OUTPUTS = """\
outputs:
  boxes: boxes            # a tensor's name, or its place among the outputs, from 0
  scores: scores          # one score a box; or one a class, and no `classes`
  classes: classes
  order: yxyx             # or xyxy
  unit: fraction          # of the picture; or pixels, of the graph's input"""
"""The block that says which output is what."""
_MOST_LABELS = 10_000
_MOST_BYTES = 1 << 20


def _tensor(value: Any) -> int | str:
    place = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    if not place and not (isinstance(value, str) and value):
        raise ValueError("expected a tensor's name, or its place among the outputs, from 0")
    tensor: int | str = value
    return tensor


def _label_list(value: Any) -> list[str] | str:
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise ValueError("expected a list of texts ('yes' and '1' need quotes), or the name of a file")
    return value


Tensor = Annotated[int | str, PlainValidator(_tensor)]
Part = Annotated[FiniteFloat, Field(gt=0, le=1)]


class Outputs(Strict):
    """Which output is what.

    Attributes:
        boxes: Tensor of n boxes, 4 numbers each; a name, or a place among the outputs from 0.
        scores: Tensor of n scores; or of n x classes, and the largest of a box counts.
        classes: Tensor of n numbers of classes; left out where there are scores of all classes.
        count: Tensor of one number: how many of the n boxes are meant. Left out, all are.
        order: The order of a box's numbers.
        unit: Whether they are parts of the picture, or pixels of the graph's input.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor | None = None
    count: Tensor | None = None
    order: Literal["yxyx", "xyxy"]
    unit: Literal["fraction", "pixels"]


class BroughtCard(Strict):
    """What a graph does not say of itself.

    Attributes:
        name: The model's name, for people.
        task: What it does.
        model: Its file, from the card's folder; left out, the TFLite file of the card's own name.
        labels: The labels, or a text file beside the card or the graph with one a line.
        label_offset: Place among the labels of what the graph calls class 0.
        background: Labels that stand for nothing; so does an empty one.
        outputs: Which output is what; left out where the graph ends in TFLite_Detection_PostProcess.
        mean, scale: The graph is fed (pixel - mean) / scale. Left out, it takes pixels as they are, in whole numbers.
        threshold: Boxes with a lower score are not told.
        nms: Of boxes of one label that overlap more than this (intersection over union) the best stays; left out, all.
        licence: Licence of the weights.
        source: Where the weights are from.
    """

    name: Name
    task: Literal["detect"]
    model: str = ""
    labels: Annotated[list[str] | str, PlainValidator(_label_list)]
    label_offset: int = Field(default=0, ge=-_MOST_LABELS, le=_MOST_LABELS)
    background: list[str] = Field(default=["???"], max_length=100)
    outputs: Outputs | None = None
    mean: Mean | None = None
    scale: Scale | None = None
    threshold: Part = 0.5
    nms: Part | None = None
    licence: str = Field(min_length=1)
    source: str = Field(min_length=1)

    @field_validator("model")
    @classmethod
    def _graph(cls, model: str) -> str:
        if model and not model.endswith(GRAPH_SUFFIX):
            raise ValueError(f"expected a file that ends in {GRAPH_SUFFIX}")
        return model


@dataclass(frozen=True)
class Brought:
    """A model that somebody brings, its files found.

    Attributes:
        card: What its card says.
        card_at: The card's file.
        graph: The graph's file.
        labels: The labels in their order; empty where one stands for nothing.
    """

    card: BroughtCard
    card_at: Path
    graph: Path
    labels: tuple[str, ...]


def is_brought(ref: str) -> bool:
    """Whether a user who writes this means a model that he brings: a TFLite file, or a card that is there."""
    path = Path(ref)
    return path.suffix == GRAPH_SUFFIX or (path.suffix in SUFFIXES and ("/" in ref or path.is_file()))


def read_brought(path: Path) -> Brought:
    """Read a model's card and labels, and find its graph.

    Args:
        path: The graph, with its card beside it; or the card.

    Raises:
        InputError: When a file is not there, or not what it should be; the message shows a card to copy.
    """
    if not path.is_file():
        raise InputError("expected a TFLite graph or its card; there is nothing here", where=str(path))
    card_at = card_beside(path, EXAMPLE) if path.suffix == GRAPH_SUFFIX else path
    card = read_as(card_at, BroughtCard, EXAMPLE, blocks={"outputs": Outputs})
    if (card.mean is None) != (card.scale is None):
        raise ConfigError("expected mean and scale, or neither", where=str(card_at))
    graph = card_at.parent / card.model if card.model else card_at.with_suffix(GRAPH_SUFFIX)
    if not graph.is_file():
        raise ConfigError(
            f"expected a TFLite graph, there is no file {graph}",
            where=f"{card_at}: model",
            fix="write `model: FILE.tflite`, from this card's folder",
        )
    if path.suffix == GRAPH_SUFFIX and not graph.samefile(path):
        raise ConfigError(f"expected the card of {path.name}, got one of {card.model}", where=f"{card_at}: model")
    return Brought(card, card_at, graph, _labels(card, card_at, graph))


def _labels(card: BroughtCard, card_at: Path, graph: Path) -> tuple[str, ...]:
    """The labels, those that stand for nothing as empty texts."""
    where = f"{card_at}: labels"
    lines = _lines(card.labels, card_at, graph) if isinstance(card.labels, str) else card.labels
    labels = tuple("" if line.strip() in card.background else line.strip() for line in lines)
    named = [label for label in labels if label]
    if not named or len(labels) > _MOST_LABELS:
        raise ConfigError(f"expected 1 to {_MOST_LABELS} labels, got {len(named)}", where=where)
    twice = next((label for label, count in Counter(named).items() if count > 1), "")
    if twice:
        raise ConfigError(
            f"expected each label once, got {cut(twice)!r} again",
            where=where,
            fix=f"where it stands for nothing, write `background: [{cut(twice)}]`",
        )
    return labels


def _lines(name: str, card_at: Path, graph: Path) -> list[str]:
    """The lines of the file of labels beside the card or the graph."""
    where = f"{card_at}: labels"
    found = [(folder.resolve(), (folder / name).resolve()) for folder in (card_at.parent, graph.parent)]
    if any(not path.is_relative_to(folder) for folder, path in found):
        raise ConfigError(f"expected a file inside the folder of the card or the graph, got {cut(name)!r}", where=where)
    path = next((path for _, path in found if path.is_file()), None)
    if path is None:
        raise ConfigError(
            f"no file {cut(name)!r} beside the card or the graph",
            where=where,
            fix="mend the name, or write the labels as a list",
        )
    try:
        text = read_bytes(path, most=_MOST_BYTES, what="labels").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("expected UTF-8 text", where=str(path), fix="save the file as UTF-8") from error
    return text.rstrip().splitlines()
