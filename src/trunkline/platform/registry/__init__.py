"""Bundles, signatures, versions, promotion."""
