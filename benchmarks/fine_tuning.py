"""CPU seconds of a build against fine-tuning the same backbone whole in PyTorch, on the same images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks import line, reference
from benchmarks.common import THREADS, Figure, Reference, Result, draw, garments, lay_out, main, neu_classes, scratch
from benchmarks.reference import LAYOUTS, LEARNING_RATES, Plan

SEEDS = (0, 1, 2)
LEARN, GATE = 20, 5
"""Images a class to learn from, and that the gate measures; all others tell the accuracy afterwards."""
ASKED = 100
METHOD = (
    f"{LEARN} images a class to learn from and {GATE} a class for the gate, drawn by seed, the same for both; the rest "
    "tells the accuracy afterwards, outside the time. CPU seconds of all threads, in one process, after imports (a "
    "tiny model was made first). Build: a home that was set up as a machine is once (trunk exported, faster runtime "
    "found; `set_up_cpu`) and that holds nothing else; images read, decoded, embedded, near-duplicates, fit, gate (the "
    "trunk's time on single images included), bundle, report, registry. Fine-tuning: decode, train, predict the gate's "
    "images (benchmarks/reference.py). Of its memory layouts and numbers of threads the one that takes the least CPU "
    "is used (`steps`: milliseconds of CPU an image), and the learning rate that was more accurate on the first seed's "
    "rest. A build before, between and after them, of which the middle one counts. Medians of CPU, means of accuracy "
    "over seeds."
)
Data = Mapping[str, Sequence[Path]]


def run(quick: bool) -> Result:
    seeds = SEEDS[:1] if quick else SEEDS
    figures: list[Figure] = []
    detail: dict[str, Any] = {}
    with scratch() as folder:
        line.warm_up()
        sources = {"drawn": line.drawn(folder / "drawn", ("a", "b"), 12)} if quick else _sources(folder)
        set_up = line.set_up(folder / "set-up", line.trunk(quick))
        plan, steps = cheapest(quick)
        detail |= {"set_up_cpu": round(set_up.cpu, 2), "steps": steps}
        for name, classes in sources.items():
            rates: Sequence[float] = LEARNING_RATES[:1] if quick else LEARNING_RATES
            rows = []
            for seed in seeds:
                rows.append(measure(folder / f"{name} {seed}", classes, seed, plan, rates, folder / "set-up", quick))
                if seed == seeds[0]:
                    rates = [best(rows[0]["fine_tuning"])["learning_rate"]]
            figures += _figures(name, rows)
            detail[name] = rows
    return Result(figures, METHOD, seeds, detail)


def _sources(folder: Path) -> dict[str, Data]:
    return {"NEU-DET": neu_classes(), "Fashion-MNIST": garments(folder / "samples")}


def cheapest(quick: bool) -> tuple[Plan, dict[str, float]]:
    """How to fine-tune for the least CPU, and milliseconds an image of all ways."""
    if quick:
        plan = Plan(LEARNING_RATES[0], threads=1, epochs=1, size=32)
        return plan, {"one thread": reference.step_cost(plan, 2, batches=1)}
    plans = [Plan(LEARNING_RATES[0], layout, threads=n) for layout in LAYOUTS for n in sorted({1, THREADS})]
    steps = {f"{plan.layout}, threads: {plan.threads}": reference.step_cost(plan, 6) for plan in plans}
    return min(zip(steps.values(), plans, strict=True), key=lambda pair: pair[0])[1], steps


def measure(
    folder: Path, classes: Data, seed: int, plan: Plan, rates: Sequence[float], set_up: Path, quick: bool
) -> dict[str, Any]:
    """One fine-tuning a learning rate on one draw, and a build before each and after the last."""
    from dataclasses import replace

    learn, gate, rest = draw(classes, [4, 2, -1] if quick else [LEARN, GATE, -1], seed)
    built = [_build(folder / "0", learn, gate, rest, line.trunk(quick), set_up)]
    rows = []
    for number, rate in enumerate(rates, 1):
        tuned = reference.fine_tune(learn, gate, rest, replace(plan, learning_rate=rate, seed=seed))
        rows.append(
            {
                "learning_rate": rate,
                "cpu": round(tuned.spent.cpu, 2),
                "wall": round(tuned.spent.wall, 2),
                "gate_accuracy": round(tuned.gate_accuracy, 5),
                "accuracy": round(tuned.accuracy, 5),
            }
        )
        built.append(_build(folder / str(number), learn, gate, rest, line.trunk(quick), set_up))
    middle = sorted(built, key=lambda one: one["cpu"])[len(built) // 2]
    return {"seed": seed, "build": middle, "builds_cpu": [one["cpu"] for one in built], "fine_tuning": rows}


def best(tuned: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The more accurate of some fine-tunings."""
    return max(tuned, key=lambda one: one["accuracy"])


def _build(folder: Path, learn: Data, gate: Data, rest: Data, trunk: str, set_up: Path) -> dict[str, Any]:
    from trunkline.core.settings import load_settings
    from trunkline.platform.line.evaluation import evaluate_bundle

    home = line.fresh(folder / "home", like=set_up)
    for side, part in (("train", learn), ("test", gate)):
        lay_out(folder / "data" / side, part)
    built = line.build(home, [line.scenario("one", folder / "data", trunk=trunk)])
    lay_out(folder / "rest", rest)
    judged = evaluate_bundle("one", str(folder / "rest"), load_settings(home), split="all")
    return {
        "cpu": round(built.spent.cpu, 3),
        "wall": round(built.spent.wall, 3),
        "cpu_by_station": built.cpu_by_station,
        "embedded": built.embedded,
        "gate_images": int(built.results[0].metrics["test_images"]),
        "gate_accuracy": round(built.results[0].metrics["accuracy"], 5),
        "accuracy": round(judged["metrics"]["accuracy"], 5),
        "images_of_rest": judged["images"],
    }


def _figures(name: str, rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """CPU and accuracy of one data set."""
    cpu = median(row["build"]["cpu"] for row in rows)
    accuracy = round(mean(row["build"]["accuracy"] for row in rows), 4)
    tuned = [best(row["fine_tuning"]) for row in rows]
    tuned_cpu, tuned_accuracy = median(one["cpu"] for one in tuned), round(mean(one["accuracy"] for one in tuned), 4)
    what = f"{reference.EPOCHS} epochs of fine-tuning in PyTorch"
    return [
        Figure(
            figure=f"{name}, {LEARN} images a class: CPU of a build",
            value=round(cpu, 2),
            unit="s CPU",
            asked=f"{ASKED} times less than fine-tuning",
            met=tuned_cpu >= ASKED * cpu,
            reference=Reference(what, round(tuned_cpu, 1), "s CPU"),
            ratio=tuned_cpu / cpu,
        ),
        Figure(
            figure=f"{name}, {LEARN} images a class: accuracy on the rest",
            value=accuracy,
            asked="no lower than fine-tuning",
            met=accuracy >= tuned_accuracy,
            reference=Reference(what, tuned_accuracy, ""),
            ratio=accuracy / tuned_accuracy,
        ),
    ]


if __name__ == "__main__":
    main(run)
