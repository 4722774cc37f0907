"""Heads: one module or folder a task."""

from __future__ import annotations

from trunkline.core.plugins import Table

HEADS = Table(
    "head",
    {
        "classify": "trunkline.algorithms.heads.classify:Classify",
        "multilabel": "trunkline.algorithms.heads.multilabel:Multilabel",
        "anomaly": "trunkline.algorithms.heads.anomaly:Anomaly",
        "detect": "trunkline.algorithms.heads.detect:Detect",
    },
)
"""Names of heads, which are the names of tasks; each is a class without arguments that is a `base.Head`."""
