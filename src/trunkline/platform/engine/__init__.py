"""Bundles in, observations out."""
