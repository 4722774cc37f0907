"""Fail when a pinned package has a licence that the product may not carry, or none that can be told.

Allowed: Apache-2.0, MIT, BSD, ISC, PSF, MPL, Zlib and the like, and LGPL by dynamic use. Refused: GPL, AGPL,
non-commercial, unknown. What a package says of itself is read in this order: SPDX expression, classifiers, licence
field, licence file.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
ALLOWED = re.compile(
    r"apache|\bmit\b|bsd|\bisc\b|psf|python software foundation|mpl|mozilla public|zlib|unlicense|\bcc0|"
    r"\bbsl-1\.0|\b0bsd|mit-cmu|hpnd|lgpl|lesser general public|"
    r"permission is hereby granted, free of charge|dual license",
    re.IGNORECASE,
)
REFUSED = re.compile(
    r"(?<!l)\b[a]?gpl|affero|(?<!lesser )general public licen[cs]e|non-?commercial|\bcc-by-nc|sspl|proprietary",
    re.IGNORECASE,
)
READ_BY_A_PERSON = {
    "zope.event": "ZPL-2.1: permissive, as BSD with two more sentences; comes with a client that tests use",
    "zope.interface": "ZPL-2.1: as zope.event",
    "json-stream-rs-tokenizer": "MIT: its licence file names json-stream's and NAYA's MIT licences and adopts them",
}


def _field(package: metadata.Distribution, name: str) -> str:
    return str(package.metadata.json.get(name.lower().replace("-", "_"), ""))


def statement(package: metadata.Distribution) -> str:
    """What a package says of its licence, the most exact form that it has."""
    about = package.metadata
    classifiers = [
        c.rpartition("::")[2].strip() for c in about.get_all("Classifier") or [] if c.startswith("License ::")
    ]
    field = _field(package, "License").strip().partition("\n")[0]
    for text in (_field(package, "License-Expression"), ", ".join(classifiers), field):
        if ALLOWED.search(text) or REFUSED.search(text):
            return text
    for file in package.files or ():
        if re.match(r"(licen[cs]e|copying)", file.name, re.IGNORECASE):
            return " ".join(Path(str(file.locate())).read_text(errors="replace")[:600].split())
    return ""


def verdict(name: str, text: str) -> str:
    """Empty when the licence is allowed, else why it is not."""
    if name in READ_BY_A_PERSON:
        return ""
    choices = [text] if "(" in text else re.split(r"\bOR\b", text)  # one allowed choice is enough
    if any(ALLOWED.search(choice) and not REFUSED.search(choice) for choice in choices):
        return ""
    return f"licence not allowed: {text[:80]}" if text else "licence unknown"


def pinned() -> list[str]:
    """Names in constraints.txt."""
    lines = CONSTRAINTS.read_text().splitlines()
    return [line.partition("==")[0] for line in lines if line and not line.startswith("#")]


def main() -> int:
    bad = []
    absent = []
    for name in pinned():
        try:
            package = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            absent.append(name)  # of an extra that is not installed here
            continue
        if reason := verdict(name, statement(package)):
            bad.append(f"{name} {package.version}: {reason}")
    print("\n".join(bad) or f"licences: {len(pinned()) - len(absent)} packages, all allowed", file=sys.stderr)
    if absent:
        print(f"licences: not installed here, so not looked at: {', '.join(absent)}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
