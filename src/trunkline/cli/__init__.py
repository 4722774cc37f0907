"""The command line: thin commands over the functions of the floors below."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `trunkline` command."""
    from trunkline.cli.app import run

    run()
