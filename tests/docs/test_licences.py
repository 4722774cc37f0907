"""The licence check lets permissive ones pass and stops the others."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "licences.py"
spec = importlib.util.spec_from_file_location("licences", SCRIPT)
assert spec
assert spec.loader
licences = importlib.util.module_from_spec(spec)
spec.loader.exec_module(licences)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("MIT", True),
        ("Apache-2.0 AND MIT", True),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", True),
        ("LGPL-3.0-or-later", True),
        ("GNU Lesser General Public License v3 (LGPLv3)", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only", False),
        ("GNU General Public License v2 (GPLv2)", False),
        ("AGPL-3.0", False),
        ("GNU Affero General Public License v3", False),
        ("MIT AND GPL-3.0-only", False),
        ("CC-BY-NC-4.0", False),
        ("see the web site", False),
        ("", False),
    ],
)
def test_verdict(text: str, allowed: bool) -> None:
    assert (licences.verdict("some-package", text) == "") is allowed


def test_all_pinned_packages_that_are_installed_pass() -> None:
    assert licences.main() == 0
