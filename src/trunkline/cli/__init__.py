"""The command line: thin commands over the functions of the floors below."""

from __future__ import annotations


def main() -> None:
    """Entry point of the `trunkline` command."""
    try:
        from trunkline.cli.app import run
    except KeyboardInterrupt:  # while Python reads the modules
        raise SystemExit(130) from None
    run()
