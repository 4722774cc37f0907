"""Fuzz targets with atheris: `python -m tests.fuzz [NAME...] [--seconds N]`, each in a process of its own.

What made a target fail is left in a file whose name is printed; `python -m tests.fuzz NAME --replay FILE` runs it
again.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

_NAMES = ("bundle", "signed-bundle", "trunk-file", "trunk-card", "request", "image")
_LONGEST = 64 << 10  # bytes of an input
_SLOW = 10  # seconds that one input may take
_MEMORY_MB = 2048


def main() -> int:
    """1 when a target failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(_NAMES)}; all by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--replay", type=Path, help="run one target on one file, without atheris")
    parser.add_argument("--found", default=f"{tempfile.gettempdir()}/", help="with --here: where findings go, a prefix")
    parser.add_argument("--here", action="store_true", help="fuzz in this process")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in _NAMES]
    if unknown:
        parser.error(f"no target named {', '.join(unknown)}; known: {', '.join(_NAMES)}")
    names = options.names or _NAMES
    if options.replay or options.here:
        if len(names) != 1:
            parser.error("expected one target")
        _here(names[0], options.seconds, options.replay, options.found)
        return 0
    failed = []
    for name in names:
        sys.stderr.write(f"fuzz {name}, {options.seconds} s ...\n")
        command = [sys.executable, "-m", "tests.fuzz", name, "--here", "--seconds", str(options.seconds)]
        found = f"{tempfile.gettempdir()}/trunkline-fuzz-{name}-"
        with tempfile.TemporaryDirectory(prefix="trunkline-fuzz-") as scratch:  # atheris ends without tidying up
            if subprocess.run([*command, "--found", found], env={**os.environ, "TMPDIR": scratch}).returncode:
                failed.append(name)
    sys.stderr.write(f"fuzz: failed: {', '.join(failed)}\n" if failed else "fuzz: nothing found\n")
    return 1 if failed else 0


def _here(name: str, seconds: int, replay: Path | None, found: str) -> None:
    if replay:
        from tests.fuzz.targets import TARGETS

        TARGETS[name].run(replay.read_bytes())
        return
    import atheris

    with atheris.instrument_imports(include=["trunkline"]):
        from tests.fuzz.targets import TARGETS

    corpus = Path(tempfile.mkdtemp(prefix=f"trunkline-fuzz-{name}-"))
    for number, seed in enumerate(TARGETS[name].seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    arguments = [
        sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-max_len={_LONGEST}", f"-timeout={_SLOW}",
        f"-rss_limit_mb={_MEMORY_MB}", f"-artifact_prefix={found}", "-verbosity=0",
    ]  # fmt: skip
    atheris.Setup(arguments, TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
