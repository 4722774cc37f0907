"""The vocabulary of the house: boundary types, errors, settings, digests, plugin tables."""
