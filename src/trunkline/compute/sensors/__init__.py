"""Sensors: readings from what a user points at."""

from __future__ import annotations

from trunkline.core.plugins import Table

SENSORS = Table("sensor", {"folder": "trunkline.compute.sensors.folder:FolderSensor"})
"""Names of sensors; each is called with a path and yields `Reading`s."""
