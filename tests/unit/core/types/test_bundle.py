"""A bundle says honestly how its gate went, and is of one trunk and one head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from trunkline.core.types.bundle import Bundle, Manifest
from trunkline.core.types.head import TrainedHead

T, D, S = "a" * 64, "b" * 64, "c" * 64
HEAD = TrainedHead("classify", ("dent", "good"), T, {"w": np.ones(2, np.float32)}, {"rung": "linear"})
TEST = {"dataset": D, "images": 40}
OVERRIDE = {"who": "ana", "why": "trial line", "bundle": D}


def check(verdict: str) -> dict[str, Any]:
    return {
        "name": "accuracy", "limit": ">= 0.9", "verdict": verdict, "evidence": "ok", "value": 0.95, "low": 0.9,
        "high": 0.99, "note": "", "machine": False,
    }  # fmt: skip


def row(**changes: Any) -> dict[str, Any]:
    return {
        "schema_version": 1, "name": "steel", "task": "classify", "labels": ["dent", "good"], "thresholds": {},
        "unsure": {}, "calibration": {}, "config": {"rung": "linear"}, "data_licence": "CC0-1.0",
        "trunk": {"name": "test-trunk", "digest": T, "preprocessing": D, "licence": "Apache-2.0"},
        "lineage": {"scenario": S, "dataset": D, "trunk": T, "head": HEAD.digest()}, **changes,
    }  # fmt: skip


PASSED = {"status": "passed", "test": TEST, "gates": [check("passed")]}
FAILED = {"status": "failed", "test": TEST, "gates": [check("failed")]}


@pytest.mark.parametrize(
    "changes", [{}, PASSED, {"status": "passed", "test": TEST}, FAILED, {**FAILED, "status": "overridden",
     "override": OVERRIDE}]
)  # fmt: skip
def test_what_goes_together(changes: dict[str, Any]) -> None:
    assert Manifest.model_validate(row(**changes)).status == changes.get("status", "candidate")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "candidate", "test": TEST}, "status 'candidate' does not go with failed gates [], no override"),
        ({"status": "passed"}, "status 'passed' does not go with failed gates [], no override"),
        ({**FAILED, "status": "passed"}, "status 'passed' does not go with failed gates ['accuracy'], no override"),
        ({**PASSED, "override": OVERRIDE}, "status 'passed' does not go with failed gates [], an override"),
        ({**PASSED, "status": "failed"}, "status 'failed' does not go with failed gates [], no override"),
        ({**FAILED, "status": "overridden"}, "status 'overridden' does not go with failed gates ['accuracy'], no"),
        ({"name": "a/b"}, "expected a name without"),
        ({"labels": []}, "List should have at least 1 item"),
        ({"extra": 1}, "Extra inputs are not permitted"),
        ({"schema_version": "1"}, "Input should be a valid integer"),
        ({"thresholds": {"dent": float("nan")}}, "Input should be a finite number"),
        ({"unsure": {"dent": [0.1]}}, "List should have at least 2 items"),
        ({"test": {"dataset": "xyz", "images": 1}}, "String should match pattern"),
        (
            {"lineage": {"scenario": S, "dataset": D, "trunk": D, "head": D}},
            f"expected one trunk, got {T} and {D} in the lineage",
        ),
    ],
)
def test_what_a_manifest_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Manifest.model_validate(row(**changes))
    assert message in str(caught.value)


def bundle(*, trusted: bool = True, head: TrainedHead = HEAD, **changes: Any) -> Bundle:
    manifest = Manifest.model_validate(row(**changes))
    return Bundle("d" * 64, manifest, head, b"", {}, "e" * 64, trusted, 10)


@pytest.mark.parametrize(
    ("changes", "head", "message"),
    [
        ({}, HEAD, "expected a model that was measured (with a gate report), got a candidate"),
        (PASSED, TrainedHead("classify", ("dent", "good"), T, {}), f"expected the head {HEAD.digest()}, got "),
    ],
)
def test_what_a_bundle_refuses(changes: dict[str, Any], head: TrainedHead, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        bundle(head=head, **changes)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("changes", "trusted", "warnings"),
    [
        (PASSED, True, []),
        (FAILED, True, ["steel: this model failed its gate (accuracy)"]),
        (
            {**FAILED, "status": "overridden", "override": OVERRIDE},
            True,
            ["steel: this model failed its gate (accuracy); let through by ana: trial line"],
        ),
        (PASSED, False, ["steel: signed with a key that this home does not know (eeeeeeeeeeee)"]),
    ],
)
def test_what_a_user_must_know(changes: dict[str, Any], trusted: bool, warnings: list[str]) -> None:
    made = bundle(trusted=trusted, **changes)
    assert (made.warnings, made.name, made.task, made.trunk.digest, made.status) == (
        warnings, "steel", "classify", T, changes["status"],
    )  # fmt: skip


def test_a_manifest_gives_its_head_back() -> None:
    manifest = Manifest.model_validate(row(unsure={"dent": [0.4, 0.6]}, thresholds={"dent": 0.5}))
    head = manifest.head(HEAD.weights)
    assert (head.labels, head.unsure, head.thresholds, head.trunk) == (
        ("dent", "good"), {"dent": (0.4, 0.6)}, {"dent": 0.5}, T,
    )  # fmt: skip
