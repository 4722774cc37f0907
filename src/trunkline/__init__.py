"""Trunkline: a factory for vision models on one shared, frozen backbone."""

__version__ = "0.1.0"
