"""Heads as graphs: one module a task or a family of tasks."""

from __future__ import annotations

from trunkline.core.plugins import Table

HEAD_EXPORTS = Table(
    "head export",
    {
        "classify": "trunkline.platform.export.heads.linear:ClassifyExport",
        "multilabel": "trunkline.platform.export.heads.linear:MultilabelExport",
        "anomaly": "trunkline.platform.export.heads.anomaly:AnomalyExport",
    },
    group="trunkline.head_exports",
)
"""Names of tasks; each is a class without arguments that is a `base.HeadExport`."""
