"""200 scenarios of 200 images each, embedded before: fitted, gated, packed, registered."""

from __future__ import annotations

import json
import random
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import line
from benchmarks.common import THREADS, Classes, Figure, Reference, Result, cost, in_child, main, neu_classes, scratch

SEED = 0
SCENARIOS, IMAGES = 200, 200
SECONDS, MEMORY_GB, BUNDLE_KB = 0.15, 2.0, 64
_NAIVE = 5  # scenarios of the reference; it takes the same for each
_KB = 1024
METHOD = (
    f"Two to six classes of NEU-DET drawn for each scenario, {IMAGES} images in equal parts (CSV lists over one "
    f"folder), embedded before by another scenario. One process, {THREADS} threads; wall seconds of the whole run over "
    "all scenarios, imports included. Reference: for each of a few scenarios, on the same features, scikit-learn's "
    "logistic regression with its usual strength, and a run with a parameter, a metric, the model's file and a "
    "registered version through MLflow's client, on SQLite as well; no gate, no calibration, no report, no signature."
)


def run(quick: bool) -> Result:
    trunk, count, images = (line.QUICK_TRUNK, 3, 12) if quick else (line.TRUNK, SCENARIOS, IMAGES)
    with scratch() as folder:
        source = line.drawn(folder / "drawn", ("a", "b", "c"), 9) if quick else neu_classes()
        cut(folder, line.copied(folder / "images", source), count, images)
        words = (str(folder), trunk)
        module = "benchmarks.many_scenarios"
        embed, build, reference = (
            (embed_all, build_all, naive)
            if quick
            else (partial(in_child, f"{module}:{name}") for name in ("embed_all", "build_all", "naive"))
        )
        embedded, built, other = embed(*words), build(*words), reference(*words)
    return Result(
        _figures(built, other, count, images), METHOD, (SEED,), {"embedding": embedded, **built, "naive": other}
    )


def _figures(built: dict[str, Any], other: dict[str, Any], count: int, images: int) -> list[Figure]:
    each, memory = built["wall"] / count, built.get("max_rss_mb", 0) / 1024
    largest = max(built["bundle_kb"].values())
    naive_each = Reference("scikit-learn and MLflow, by themselves", round(other["wall_each"], 3), "s a scenario")
    return [
        Figure(
            f"{count} scenarios of {images} images, embedded before: fit, gate, pack, report, register",
            round(each, 4), "s a scenario", f"< {SECONDS} s", each < SECONDS, naive_each, other["wall_each"] / each,
        ),
        Figure("the same: most memory held", round(memory, 2), "GB", f"< {MEMORY_GB:g} GB", memory < MEMORY_GB),
        Figure("the same: all bundles together", round(built["bundles_kb"] / _KB, 2), "MB"),
        Figure(
            f"bundle of a head with {built['most_classes']} classes", largest, "KB", f"< {BUNDLE_KB} KB",
            largest < BUNDLE_KB, Reference("scikit-learn's model, weights alone", other["model_kb"], "KB"),
        ),
    ]  # fmt: skip


def cut(folder: Path, classes: Classes, count: int, images: int) -> None:
    """Write a list for each scenario, `lists.json` with their names, and a list of everything."""
    rng = random.Random(SEED)
    names = []
    for number in range(count):
        labels = sorted(rng.sample(sorted(classes), rng.randint(2, len(classes))))
        share, more = divmod(images, len(labels))
        parts = {label: rng.sample(list(classes[label]), share + (i < more)) for i, label in enumerate(labels)}
        names.append(line.listed(folder / f"cut-{number:03}.csv", {"": parts}).stem)
    line.listed(folder / "everything.csv", {"": classes})
    (folder / "lists.json").write_text(json.dumps(names))


def embed_all(folder: str, trunk: str) -> dict[str, Any]:
    """Build one scenario on all images, so that they are embedded."""
    place = Path(folder)
    line.set_up(place / "home", trunk)
    built = line.build(place / "home", [line.scenario("everything", place / "everything.csv", trunk=trunk)])
    return {"images": built.results[0].images, "wall": round(built.spent.wall, 2), "cpu": round(built.spent.cpu, 2)}


def build_all(folder: str, trunk: str) -> dict[str, Any]:
    """Build all scenarios in one run."""
    place = Path(folder)
    names = json.loads((place / "lists.json").read_text())
    with cost() as spent:
        built = line.build(place / "home", [line.scenario(n, place / f"{n}.csv", trunk=trunk) for n in names])
    largest: dict[int, float] = {}
    for result in built.results:
        largest[result.classes] = max(largest.get(result.classes, 0.0), round(result.bundle_bytes / _KB, 1))
    return {
        "wall": round(spent.wall, 2),
        "cpu": round(spent.cpu, 2),
        "cpu_by_station": built.cpu_by_station,
        "embedded": built.embedded,
        "statuses": sorted({result.status for result in built.results}),
        "accuracy_mean": round(sum(r.metrics["accuracy"] for r in built.results) / len(names), 4),
        "bundles_kb": round(sum(result.bundle_bytes for result in built.results) / _KB, 1),
        "bundle_kb": {str(classes): largest[classes] for classes in sorted(largest)},
        "most_classes": max(largest),
    }


def naive(folder: str, trunk: str) -> dict[str, Any]:
    """What a script would do: fit with scikit-learn, log and register with MLflow."""
    import numpy as np
    from mlflow.tracking import MlflowClient
    from sklearn.linear_model import LogisticRegression

    place = Path(folder)
    names = json.loads((place / "lists.json").read_text())[:_NAIVE]
    uri = f"sqlite:///{place / 'naive.db'}"
    client = MlflowClient(uri, uri)
    experiment = client.create_experiment("naive", artifact_location=(place / "naive").as_uri())
    tables = [line.pooled(place / "home", name, trunk) for name in names]
    started = time.perf_counter()
    for name, (features, numbers, labels) in zip(names, tables, strict=True):
        scale = features["train"].std(axis=0) + 1e-6
        model = LogisticRegression(max_iter=200)
        model.fit(features["train"] / scale, numbers["train"])
        accuracy = float(np.mean(model.predict(features["test"] / scale) == numbers["test"]))
        path = place / f"{name}.npz"
        np.savez_compressed(path, weight=model.coef_, bias=model.intercept_, scale=scale)
        run = client.create_run(experiment, run_name=name).info
        client.log_param(run.run_id, "labels", ",".join(labels))
        client.log_metric(run.run_id, "accuracy", accuracy)
        client.log_artifact(run.run_id, str(path))
        client.create_registered_model(name)
        version = client.create_model_version(name, f"{run.artifact_uri}/{path.name}", run.run_id)
        client.set_registered_model_alias(name, "champion", version.version)
        client.set_terminated(run.run_id)
    each = (time.perf_counter() - started) / len(names)
    model_kb = round(max((place / f"{name}.npz").stat().st_size for name in names) / _KB, 1)
    return {"scenarios": len(names), "wall_each": round(each, 4), "model_kb": model_kb}


if __name__ == "__main__":
    main(run)
