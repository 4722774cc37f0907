"""A whole report of a small classification, and pictures to put into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from trunkline.core.types.dataset import Finding
from trunkline.core.types.gate import GateCheck, GateReport
from trunkline.platform.line.report import data as d
from trunkline.platform.line.report.pictures import thumbnail

GATE = GateReport(
    head="a" * 64,
    dataset="b" * 64,
    checks=(
        GateCheck("accuracy", 0.9972, 0.9845, 0.9995, ">= 0.99", "passed", "thin"),
        GateCheck("recall_min", 0.96, 0.9, 0.97, ">= 0.98", "failed", note="worst class: dent"),
        GateCheck("bundle_kb", 41.2, 41.2, 41.2, "<= 64", "passed"),
    ),
    metrics={"accuracy": 0.9972, "recall_min": 0.96, "bundle_kb": 41.2, "f1_macro": 0.98},
    intervals={"accuracy": (0.9845, 0.9995), "recall_min": (0.9, 0.97), "f1_macro": (0.97, 0.99)},
)


def whole(**changes: Any) -> d.ReportData:
    """A report with something in each of its parts."""
    picture = thumbnail(Image.new("RGB", (40, 40), "grey"))
    fields: dict[str, Any] = {
        "name": "steel",
        "task": "classify",
        "gate": GATE,
        "labels": ("dent", "scratch"),
        "train_images": 1440,
        "test_images": 360,
        "costs": d.Costs((d.StationCost("embed", 2.0, 4.0), d.StationCost("fit", 0.5, 0.5)), 42188, 1800, 1000),
        "scenario": {"Trunk": "efficientnet-lite0"},
        "model": "steel@3",
        "made": "2025-11-03",
        "per_class": (
            d.ClassFigures("dent", 180, d.Figure(0.96, 0.9, 0.97), d.Figure(1.0, 0.98, 1.0)),
            d.ClassFigures("scratch", 180, d.Figure(1.0, 0.98, 1.0), d.Figure(float("nan"), 0.0, 1.0)),
        ),
        "confusion": ((173, 7), (0, 180)),
        "curve": d.Curve("sure", (d.CurvePoint(1.0, 0.98), d.CurvePoint(0.9, 1.0)), d.CurvePoint(0.95, 0.99, 0.62)),
        "mistakes": (d.Picture("one.jpg", "dent", "scratch", 0.981, picture, picture),),
        "unsure": (d.Picture("two.jpg", "dent", "dent", 0.51, picture),),
        "mistakes_total": 7,
        "unsure_total": 1,
        "findings": (
            Finding(
                "near-duplicate",
                "info",
                "Two are nearly the same.",
                ("1" * 64, "2" * 64),
                ("x.jpg", "y.jpg"),
                {"labels": ["dent", "dent"], "ends": [2]},
            ),
            Finding("duplicate", "info", "One is a copy.", ("1" * 64,), ("copy.jpg",), {"of": ["x.jpg"]}),
            Finding(
                "label-likely-wrong",
                "warning",
                "One label.",
                ("1" * 64,),
                ("odd.jpg",),
                {"given": ["dent"], "said": ["scratch"], "confidence": [0.98]},
            ),
            Finding("unreadable", "warning", "One was left out.", (), ("broken.jpg",), {"reasons": ["truncated"]}),
        ),
        "thumbnails": {"1" * 64: picture},
        "lineage": {"bundle": "c" * 64},
        "licences": {"trunk": "Apache-2.0"},
        "versions": {"trunkline": "0.1"},
        "overview": "overview.html",
    }
    return d.ReportData(**{**fields, **changes})


@pytest.fixture
def make() -> Callable[..., d.ReportData]:
    return whole
