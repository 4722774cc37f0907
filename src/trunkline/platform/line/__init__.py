"""Stations, gates, the runner, the report."""
