"""The reference: the trunk's own backbone, fine-tuned whole in PyTorch, as an engineer would who knows how.

12 epochs of batches of 16, AdamW (weight decay 0.01), one-cycle schedule, random flips, cross-entropy, a new last layer
with ten times the backbone's learning rate, the backbone's own dropout. Batch normalisation keeps its statistics with
PyTorch's usual momentum of 0.1, not with the 0.01 of the ImageNet recipe, which is too slow for a hundred steps.
Pictures are decoded and resized once, by the product's own code, and kept in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.common import THREADS, Classes, Cost, cost

EPOCHS, BATCH, SIZE, WEIGHT_DECAY = 12, 16, 224, 0.01
LEARNING_RATES = (1e-3, 3e-4)
LAYOUTS = ("as it comes", "channels last")


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned network and what it cost, predictions on the gate's test images included."""

    spent: Cost
    gate_accuracy: float
    accuracy: float


@dataclass(frozen=True)
class Plan:
    """How to fine-tune."""

    learning_rate: float
    layout: str = "channels last"
    seed: int = 0
    threads: int = THREADS
    epochs: int = EPOCHS
    size: int = SIZE


def fine_tune(learn: Classes, gate: Classes, rest: Classes, plan: Plan) -> Tuned:
    """Fine-tune and predict.

    Args:
        learn: Images to learn from.
        gate: Images predicted within the time measured, as the product's gate does.
        rest: Images predicted afterwards, for a more certain accuracy.
        plan: How.
    """
    import torch

    torch.set_num_threads(plan.threads)
    labels = sorted(learn)
    with cost() as spent:
        torch.manual_seed(plan.seed)
        pixels, targets = tensors(learn, labels, plan.size)
        net, layout = network(len(labels), plan.layout)
        train(net, layout, pixels, targets, plan)
        gate_accuracy = right(net, layout, gate, labels, plan.size)
    return Tuned(spent, gate_accuracy, right(net, layout, rest, labels, plan.size))


def step_cost(plan: Plan, labels: int, batches: int = 3) -> float:
    """Milliseconds of CPU that one image takes to train on, the least of some batches."""
    import torch

    torch.set_num_threads(plan.threads)
    net, layout = network(labels, plan.layout)
    pixels = torch.randint(0, 256, (BATCH, 3, plan.size, plan.size), dtype=torch.uint8)
    targets = torch.arange(BATCH) % labels
    once = replace(plan, epochs=2)  # the schedule needs more than one step
    train(net, layout, pixels, targets, once)  # allocates
    seconds = []
    for _ in range(batches):
        with cost() as spent:
            train(net, layout, pixels, targets, once)
        seconds.append(spent.cpu / (once.epochs * BATCH))
    return round(1e3 * min(seconds), 1)


def tensors(classes: Classes, labels: Sequence[str], size: int) -> tuple[Any, Any]:
    """Pictures, uint8 of shape (n, 3, size, size), and label numbers of shape (n,)."""
    import numpy as np
    import torch

    from trunkline.algorithms.trunks.preprocess import preprocess
    from trunkline.core.images import decode

    side: Any = SimpleNamespace(size=size)

    def one(path: Path) -> Any:
        return preprocess(decode(path.read_bytes(), max_pixels=100_000_000), side)

    rows = [(one(path), number) for number, label in enumerate(labels) for path in classes[label]]
    pixels = torch.from_numpy(np.stack([row for row, _ in rows])).permute(0, 3, 1, 2).contiguous()
    return pixels, torch.tensor([number for _, number in rows])


def network(labels: int, layout: str) -> tuple[Any, Any]:
    """The backbone with a new last layer, and the memory layout of its pictures."""
    import torch

    from trunkline.algorithms.trunks.efficientnet_lite import backbone

    net = backbone()
    net._fc = torch.nn.Linear(net._fc.in_features, labels)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.1
    memory = torch.channels_last if layout == "channels last" else torch.contiguous_format
    return net.to(memory_format=memory), memory


def train(net: Any, layout: Any, pixels: Any, targets: Any, plan: Plan) -> None:
    """All epochs; every image once an epoch, the last batch as large as it is."""
    import torch

    head = list(net._fc.parameters())
    heads = {id(p) for p in head}
    body = [p for p in net.parameters() if id(p) not in heads]
    optimiser = torch.optim.AdamW(
        [{"params": body}, {"params": head}], lr=plan.learning_rate, weight_decay=WEIGHT_DECAY
    )
    steps = plan.epochs * -(-len(pixels) // BATCH)
    rates = [plan.learning_rate, 10 * plan.learning_rate]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rates, total_steps=steps)
    net.train()
    for _ in range(plan.epochs):
        for rows in torch.randperm(len(pixels)).split(BATCH):
            batch = normal(flipped(pixels[rows]), layout)
            loss = torch.nn.functional.cross_entropy(net(batch), targets[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


def flipped(batch: Any) -> Any:
    """Each picture mirrored left to right with probability one half."""
    import torch

    mirror = torch.rand(len(batch)) < 0.5
    return torch.where(mirror[:, None, None, None], batch.flip(3), batch)


def normal(batch: Any, layout: Any) -> Any:
    """Pixels as the weights expect them."""
    return ((batch.float() - 127) / 128).contiguous(memory_format=layout)


def right(net: Any, layout: Any, classes: Classes, labels: Sequence[str], size: int) -> float:
    """Share of pictures whose most likely label is right."""
    import torch

    pixels, targets = tensors(classes, labels, size)
    net.eval()
    with torch.inference_mode():
        answers = torch.cat([net(normal(batch, layout)).argmax(1) for batch in pixels.split(BATCH)])
    return float((answers == targets).float().mean())
