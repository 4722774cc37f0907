"""A scenario is checked when it is made: names, limits, gates, shapes of `data`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trunkline.core.types.scenario import (
    GATE_NAMES,
    MACHINE_GATES,
    Limit,
    OperatingPoint,
    Scenario,
    Source,
    check_name,
    safe_name,
)


@pytest.mark.parametrize("name", ["steel", "Teil 1", "齿轮", "a.b-c_d", "[x]", "100%", "a'b", "x?", "👷‍♀️"])
def test_names_that_can_be(name: str) -> None:
    assert (check_name(name), safe_name(name)) == (name, name)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a/b", "a-b"),
        ("a\\b", "a-b"),
        ("a:b", "a-b"),
        ("a@1", "a-1"),
        ("a*", "a-"),
        ('"a"', "a-"),
        (" a ", "a"),
        ("a\nb", "a-b"),
        ("a\x7f\x85", "a--"),
        ("not utf-8 \udce9", "not utf-8 -"),
        (".hidden", "hidden"),
        ("-option", "option"),
        ("- . -x", "x"),
        ("", "scenario"),
        ("...", "scenario"),
        ("steel.tlb", "steel"),
    ],
)
def test_names_that_cannot_be_and_what_is_made_of_them(name: str, safe: str) -> None:
    with pytest.raises(ValueError, match="expected a name"):
        check_name(name)
    assert (safe_name(name), check_name(safe)) == (safe, safe)


def test_a_safe_name_is_short_enough_for_a_scenario() -> None:
    assert scenario(name=safe_name("x" * 199 + " y")).name == "x" * 199


@pytest.mark.parametrize(
    ("text", "op", "value", "shown"),
    [
        (">= 0.99", ">=", 0.99, ">= 0.99"),
        ("<=20", "<=", 20.0, "<= 20"),
        ("  >  .5 ", ">", 0.5, "> 0.5"),
        ("< 1e-3", "<", 0.001, "< 0.001"),
    ],
)
def test_a_limit_is_read_from_its_text(text: str, op: Any, value: float, shown: str) -> None:
    limit = Limit.parse(text)
    assert (limit, str(limit)) == (Limit(op=op, value=value), shown)


@pytest.mark.parametrize("text", ["0.99", "= 0.99", ">= ", ">= high", "≥ 0.9", ">= 99 %", ">= 1e999", ">= -1", ""])
def test_a_text_that_is_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a limit such as '>= 0\.99' or '<= 20', got") as caught:
        Limit.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("op", "below", "at", "above"),
    [(">=", False, True, True), ("<=", True, True, False), (">", False, False, True), ("<", True, False, False)],
)
def test_a_limit_holds(op: Any, below: bool, at: bool, above: bool) -> None:
    limit = Limit(op=op, value=0.5)
    assert [limit.holds(value) for value in (0.4, 0.5, 0.6, math.nan)] == [below, at, above, False]


def scenario(**changes: Any) -> Scenario:
    return Scenario.model_validate({"name": "steel", "task": "classify", "data": "images", **changes})


@pytest.mark.parametrize(
    ("data", "sources"),
    [
        ("a", (Source(path=Path("a")),)),
        (Path("a"), (Source(path=Path("a")),)),
        (["a", {"path": "b", "format": "coco"}], (Source(path=Path("a")), Source(path=Path("b"), format="coco"))),
        ({"path": "b"}, (Source(path=Path("b")),)),
        (Source(path=Path("b")), (Source(path=Path("b")),)),
    ],
)
def test_data_may_be_a_path_a_block_or_a_list(data: Any, sources: tuple[Source, ...]) -> None:
    assert scenario(data=data).data == sources


def test_defaults() -> None:
    made = scenario()
    assert (made.trunk, made.split.test, made.split.seed, made.gates, made.budget) == (
        "efficientnet-lite0", 0.25, 0, {}, None,
    )  # fmt: skip
    assert made.labels.good == ("good", "normal", "ok")
    assert made.operating_point == OperatingPoint()


@pytest.mark.parametrize("task", GATE_NAMES)
def test_every_gate_of_a_task_can_be_asked_for(task: str) -> None:
    names = [name for name in (*GATE_NAMES[task], *MACHINE_GATES) if name != "champion"]
    made = scenario(task=task, gates={**dict.fromkeys(names, ">= 0.5"), "champion": "no-worse"})
    assert [made.limit(name) for name in names] == [Limit(op=">=", value=0.5)] * len(names)
    assert (made.limit("champion"), made.limit("not asked for")) == (None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nme": 1}, "Extra inputs are not permitted"),
        ({"labels": {"renam": {}}}, "Extra inputs are not permitted"),
        ({"task": "locate"}, "Input should be 'classify', 'multilabel', 'anomaly' or 'detect'"),
        ({"plan": {"side": 224}}, "plan: expected none for classify"),
        ({"task": "detect", "plan": {"sides": 224}}, "Extra inputs are not permitted"),
        ({"task": "detect", "plan": {"kernel": 4}}, "expected an odd number, got 4"),
        ({"name": "a/b"}, "expected a name without"),
        ({"name": ""}, "String should have at least 1 character"),
        ({"name": "x" * 201}, "String should have at most 200 characters"),
        ({"data": []}, "Tuple should have at least 1 item"),
        ({"gates": {"accurcy": ">= 0.9"}}, "gates.accurcy: no such gate for classify; did you mean 'accuracy'?"),
        ({"gates": {"auroc": ">= 0.9"}}, "gates.auroc: no such gate for classify; anomaly knows it; known here: accu"),
        ({"gates": {"speed": ">= 0.9"}}, "gates.speed: no such gate for classify; known here: accuracy, recall_min"),
        ({"gates": {"accuracy": "high"}}, "gates.accuracy: expected a limit such as '>= 0.99' or '<= 20', got 'high'"),
        ({"split": {"test": 0.51}}, "expected at most 0.5, got 0.51; at least half of each label is learned from"),
        ({"gates": {"champion": "better"}}, "gates.champion: expected 'no-worse', got 'better'"),
        ({"operating_point": {"recall": 0.9, "precision": 0.9}}, "at most one operating point, got recall and prec"),
        ({"operating_point": {"recall": 1.1}}, "Input should be less than or equal to 1"),
        ({"operating_point": {"recall": math.nan}}, "Input should be a finite number"),
        ({"operating_point": {"recall": True}}, "Input should be a valid number"),
        ({"budget": {"cpu_minutes": 0}}, "Input should be greater than 0"),
        ({"budget": {"cpu_minutes": math.inf}}, "Input should be a finite number"),
        ({"budget": {}}, "Field required"),
        ({"split": {"test": 0}}, "Input should be greater than 0"),
        ({"split": {"test": 1.0}}, "Input should be less than 1"),
        ({"split": {"seed": -1}}, "Input should be greater than or equal to 0"),
        ({"split": {"seed": 2**32}}, "Input should be less than 4294967296"),
        ({"split": {"seed": True}}, "Input should be a valid integer"),
    ],
)
def test_what_a_scenario_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        scenario(**changes)
    assert message in str(caught.value)


def test_a_scenario_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        scenario().name = "other"
