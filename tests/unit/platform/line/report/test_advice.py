import dataclasses
import math

import pytest

from trunkline.core.types.gate import GateCheck, GateReport
from trunkline.core.types.scenario import Limit
from trunkline.platform.line.report import advice


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def gate(*checks: GateCheck, **metrics: float) -> GateReport:
    return GateReport("a" * 64, "b" * 64, checks, metrics, dict.fromkeys(metrics, (0.9, 0.9999)))


OK = GateCheck("accuracy", 0.998, 0.99, 0.9999, ">= 0.99", "passed")
BAD = dataclasses.replace(OK, verdict="failed")


@pytest.mark.parametrize(
    ("task", "report", "text"),
    [
        ("classify", gate(OK, accuracy=0.998), "Passed: 99.8 % of 360 test pictures right (90.0 to 100 %)"),
        ("classify", gate(BAD, accuracy=0.9), "Failed: 90.0 % of 360 test pictures right (90.0 to 100 %)"),
        ("classify", gate(accuracy=1.0), "Measured, nothing asked: 100 % of 360 test pictures right (90.0 to 100 %)"),
        (
            "multilabel",
            gate(OK, f1_macro=0.95),
            "Passed: 95.0 % F1 over all labels on 360 test pictures (90.0 to 100 %)",
        ),
        (
            "anomaly",
            gate(OK, recall=0.98, false_reject_rate=0.01),
            "Passed: 98.0 % of the flawed caught (90.0 to 100 %), 1.0 % of the good rejected (90.0 to 100 %), "
            "on 360 test pictures",
        ),
        (
            "anomaly",
            gate(OK, auroc=0.99),
            "Passed: good told from flawed with an AUROC of 0.990 on 360 test pictures (0.900 to 1.000)",
        ),
    ],
)
def test_headline(make, task: str, report: GateReport, text: str) -> None:
    assert plain(advice.headline(make(task=task, gate=report))) == text


def test_a_failed_model_is_not_recommended(make) -> None:
    assert advice.use(make()).startswith("Not for deciding on its own: it missed what was asked for “Found, in the")


def test_a_passed_model_says_its_limits(make) -> None:
    thin = dataclasses.replace(OK, evidence="thin")
    text = plain(advice.use(make(gate=gate(thin, unsure_rate=0.019))))
    assert "2 classes" in text
    assert "Let a person check samples" in text
    assert "leaves 1.9 % of the pictures" in text


def test_next_steps_begin_with_what_failed(make) -> None:
    assert [plain(step) for step in advice.next_steps(make())] == [
        "Found, in the worst class (worst class: dent): 96.0 %, asked at least 98 %. "
        "Add pictures and check their labels.",
        "Look at the 7 mistakes below: is the model wrong, or the labels?",
        "Label the unsure pictures first: they teach the next version most.",
        "Get firm evidence on “Pictures right”. About 740 test pictures instead of 360 would settle it.",
        "Check the labels under “Label likely wrong” below: a wrong label teaches a wrong answer.",
    ]


def test_the_lines_own_steps_come_instead(make) -> None:
    assert advice.next_steps(make(next_steps=("promote it",))) == ("promote it",)


@pytest.mark.parametrize(
    ("value", "limit", "needed"),
    [
        (0.9972, ">= 0.99", 740),
        (1.0, ">= 0.99", 390),
        (0.99, ">= 0.99", None),
        (0.5, ">= 0.9", 3),
        (0.02, "<= 0.05", 210),
        (0.98, ">= 1", None),
        (0.99001, ">= 0.99", None),
    ],
)
def test_pictures_needed(value: float, limit: str, needed: int | None) -> None:
    assert advice.pictures_needed(value, Limit.parse(limit)) == needed


def test_thin_evidence_is_explained_and_firm_is_not() -> None:
    thin = dataclasses.replace(OK, low=0.98, evidence="thin")
    assert plain(advice.thin_words(thin)) == (
        "The true figure may be anywhere from 98.0 to 100 %, and what was asked (at least 99 %) lies inside."
    )
    assert advice.thin_words(OK) == ""


def test_an_anomaly_model_without_flawed_pictures_is_not_said_to_catch_none(make) -> None:
    figures = {"auroc": math.nan, "recall": math.nan, "false_reject_rate": 0.0}
    report = GateReport("a", "b", (), figures, {"false_reject_rate": (0.0, 0.1)})
    data = make(task="anomaly", gate=report)
    assert plain(advice.headline(data)) == (
        "Measured, nothing asked: 0 % of the good rejected (0 to 10.0 %), on 360 test pictures; how many of the flawed "
        "it catches was not measured: no flawed picture"
    )
    assert (data.status, advice.use(data)[:26]) == ("measured", "That is for you to say: no")


@pytest.mark.parametrize(
    ("name", "limit", "note", "step"),
    [
        (
            "auroc",
            ">= 0.9",
            "not measured: add flawed ones",
            "Good told from flawed (AUROC): not measured: add flawed ones.",
        ),
        ("champion", "no-worse", "not compared: it is lost", "Against the model in service: not compared: it is lost."),
    ],
)
def test_what_was_not_measured_is_said_to_be_so_and_what_to_do(
    make, name: str, limit: str, note: str, step: str
) -> None:
    check = GateCheck(name, math.nan, math.nan, math.nan, limit, "failed", note=note)
    assert advice.next_steps(make(task="anomaly", gate=gate(check)))[0] == step
