"""The graph that runs is the network that was fitted; the network learns from boxes; odd boxes are borne."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from trunkline.algorithms.heads.detect.graph import build
from trunkline.algorithms.heads.detect.layout import Layout
from trunkline.algorithms.heads.detect.loss import Loss, Truth, complete_iou, iou
from trunkline.algorithms.heads.detect.network import Network, folded
from trunkline.compute.runtimes.small import SmallGraph

TAPS = ("tap0", "tap1", "tap2")
CHANNELS, STRIDES, SIDE = (5, 7, 9), (4, 8, 16), 64


def network(finest: int, *, depth: int = 1) -> Network:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    mean = {tap: rng.normal(0, 1, count) for tap, count in zip(TAPS, CHANNELS, strict=True)}
    std = {tap: rng.uniform(0.5, 2, count) for tap, count in zip(TAPS, CHANNELS, strict=True)}
    layout = Layout(SIDE, CHANNELS, STRIDES, finest)
    return Network(layout, 3, width=8, depth=depth, kernel=3, mean=mean, std=std)


def maps(count: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    sides = zip(TAPS, CHANNELS, STRIDES, strict=True)
    return {tap: rng.normal(0, 1, (count, c, SIDE // s, SIDE // s)).astype(np.float32) for tap, c, s in sides}


def truth(boxes: list[list[tuple[float, float, float, float]]]) -> Truth:
    most = max(1, *map(len, boxes))
    made = torch.zeros(len(boxes), most, 4)
    there = torch.zeros(len(boxes), most, dtype=torch.bool)
    for row, own in enumerate(boxes):
        for place, box in enumerate(own):
            made[row, place], there[row, place] = torch.tensor(box), True
    return Truth(made, torch.zeros(len(boxes), most, dtype=torch.long), there)


@pytest.mark.parametrize(("finest", "depth"), list(product(STRIDES, (1, 2))))
def test_graph_gives_what_the_network_gives(finest: int, depth: int) -> None:
    made = network(finest, depth=depth)
    with torch.no_grad():
        for _ in range(3):
            made({tap: torch.from_numpy(x) for tap, x in maps(4).items()})  # normalisations see something
        made.eval()
        logits, raw = made({tap: torch.from_numpy(x) for tap, x in maps().items()})
        distances = made.distances(raw)
    graph = SmallGraph(build(made.layout, folded(made), TAPS, depth=depth))
    found = graph.run(maps())
    np.testing.assert_allclose(found["logits"], logits.numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["distances"], distances.numpy(), rtol=1e-3, atol=1e-4)
    assert found["logits"].shape == (2, len(made.layout.points()[0]), 3)


def test_weights_that_make_no_graph_are_told() -> None:
    made = network(8)
    weights = folded(made)
    with pytest.raises(KeyError):
        build(made.layout, {}, TAPS, depth=1)
    with pytest.raises(ValueError, match=r"no graph|cannot read|does not run"):
        SmallGraph(build(made.layout, {**weights, "context0.weight": np.zeros((3, 5), np.float32)}, TAPS, depth=1)).run(
            maps()
        )


def test_layout_has_a_point_a_place() -> None:
    layout = Layout(SIDE, CHANNELS, STRIDES, 8)
    centres, strides = layout.points()
    assert (layout.levels, layout.folded, layout.inputs(0), layout.inputs(1)) == ((8, 16), (0,), 7 + 4 * 5, 9)
    assert centres.shape == (8 * 8 + 4 * 4, 2)
    assert centres[[0, 1, 8, -1]].tolist() == [[4, 4], [12, 4], [4, 12], [56, 56]]
    assert strides.tolist() == [8.0] * 64 + [16.0] * 16
    assert Layout.from_json(layout.to_json()) == layout


@pytest.mark.parametrize("wrong", [(64, (5,), STRIDES, 8), (64, CHANNELS, STRIDES, 7), (60, CHANNELS, STRIDES, 8)])
def test_layout_that_cannot_be_is_refused(wrong: tuple[int, tuple[int, ...], tuple[int, ...], int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Layout(*wrong)


def test_iou_is_that_of_the_answers() -> None:
    first = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    second = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 40]])
    assert iou(first, second).tolist() == pytest.approx([1, 1 / 3, 0], abs=1e-5)
    complete = complete_iou(first, second)
    assert complete[0] == pytest.approx(1, abs=1e-4)
    assert complete[1] == pytest.approx(1 / 3 - 25 / 325, abs=1e-4)  # the centres are apart
    assert complete[2] < -0.3  # apart, and of another shape


ODD: dict[str, list[list[tuple[float, float, float, float]]]] = {
    "none in any picture": [[], []],
    "none in one": [[(8, 8, 40, 40)], []],
    "smaller than a place": [[(9, 9, 10, 10)], [(60, 60, 63.9, 63.9)]],
    "larger than the reach": [[(0, 0, 64, 64)], [(0, 0, 64, 64)]],
    "hundreds": [[(x % 50, x // 50, x % 50 + 8.0, x // 50 + 8.0) for x in range(500)], [(8, 8, 40, 40)]],
}


@pytest.mark.parametrize("case", ODD)
def test_loss_of_odd_boxes_is_finite_and_teaches(case: str) -> None:
    made = network(8)
    loss = Loss(made, torch.ones(3))(made({tap: torch.from_numpy(x) for tap, x in maps().items()}), truth(ODD[case]))
    loss.backward()
    gradients = [p.grad for p in made.parameters() if p.grad is not None]
    assert torch.isfinite(loss)
    assert loss > 0
    assert all(torch.isfinite(g).all() for g in gradients)
    assert any(g.abs().max() > 0 for g in gradients)


def test_pictures_one_by_one_are_as_all_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network(8).eval()
    out = made({tap: torch.from_numpy(x) for tap, x in maps().items()})
    boxes = truth([[(8, 8, 40, 40), (20, 20, 60, 60)], [(0, 0, 30, 30)]])
    together = Loss(made, torch.ones(3))(out, boxes)
    monkeypatch.setattr("trunkline.algorithms.heads.detect.loss._TOGETHER", 1)
    assert Loss(made, torch.ones(3))(out, boxes).item() == pytest.approx(together.item(), rel=1e-5)
