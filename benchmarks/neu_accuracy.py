"""Accuracy on NEU-DET, six defects of rolled steel, with 5, 20 and 100 images a class to learn from."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks import line
from benchmarks.common import Figure, Reference, Result, draw, main, neu_classes, scratch

SEEDS = (0, 1, 2)
ASKED = {5: 0.95, 20: 0.98, 100: 0.998}
"""Images a class to learn from -> accuracy on all others."""
_FOLDS, _STRENGTHS = 5, 10


def run(quick: bool) -> Result:
    trunk = line.trunk(quick)
    seeds, asked = (SEEDS[:1], {5: 0.0}) if quick else (SEEDS, ASKED)
    rows: dict[int, list[dict[str, Any]]] = {}
    with scratch() as folder:
        source = line.drawn(folder / "drawn", ("a", "b", "c"), 9) if quick else neu_classes()
        images = line.copied(folder / "images", source)
        for count in asked:
            for seed in seeds:
                learn, test = draw(images, [count, -1], seed)
                path = line.listed(folder / f"k{count}-seed{seed}.csv", {"train": learn, "test": test})
                built = line.build(folder / "home", [line.scenario(path.stem, path, trunk=trunk)])
                row = {
                    "seed": seed,
                    "accuracy": built.results[0].metrics["accuracy"],
                    "reference": logistic_regression(folder / "home", path.stem, trunk),
                    "test_images": built.results[0].metrics["test_images"],
                    "bundle_kb": built.results[0].metrics["bundle_kb"],
                }
                rows.setdefault(count, []).append(row)
    figures = [_figure(count, limit, rows[count]) for count, limit in asked.items()]
    method = (
        "Images drawn class by class, the rest to test, through the line (CSV list with splits, gate on the packed "
        f"head); mean of {len(seeds)} seeds. Reference: scikit-learn, standardised features of the same images, "
        f"logistic regression, strength by {_FOLDS}-fold cross-validation on the training images."
    )
    return Result(figures, method, seeds, {f"k={count}": rows[count] for count in asked})


def logistic_regression(home: Path, name: str, trunk: str) -> float:
    """Accuracy of scikit-learn's logistic regression on the very features that the scenario's head learned from."""
    import warnings

    import numpy as np
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, numbers, _ = line.pooled(home, name, trunk)
    judge = LogisticRegressionCV(
        Cs=_STRENGTHS, cv=_FOLDS, max_iter=1000, scoring="neg_log_loss", l1_ratios=(0,), use_legacy_attributes=False
    )
    model = make_pipeline(StandardScaler(), judge)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weak regularisation does not converge; it is not what is chosen
        model.fit(features["train"], numbers["train"])
    return float(np.mean(model.predict(features["test"]) == numbers["test"]))


def _figure(count: int, limit: float, rows: list[dict[str, Any]]) -> Figure:
    value, reference = (round(mean(row[key] for row in rows), 5) for key in ("accuracy", "reference"))
    return Figure(
        figure=f"NEU-DET, {count} images a class to learn from: accuracy on the rest",
        value=value,
        asked=f">= {limit:g}",
        met=value >= limit,
        reference=Reference("logistic regression (scikit-learn) on the same features", reference, ""),
        ratio=value / reference,
    )


if __name__ == "__main__":
    main(run)
