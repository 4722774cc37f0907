"""Figures that Trunkline claims, each beside its reference in the same run. `python -m benchmarks` runs all."""
