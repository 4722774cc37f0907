"""Text between markers in a page: the rest of the page is written by people and stays."""

from __future__ import annotations

from pathlib import Path


def fill(path: Path, name: str, text: str) -> str:
    """The page with the text between `<!-- name -->` and `<!-- /name -->` replaced.

    Raises:
        ValueError: When the page does not hold the two markers once each, in order.
    """
    page = path.read_text()
    start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    if page.count(start) != 1 or page.count(end) != 1 or page.index(start) > page.index(end):
        raise ValueError(f"{path}: expected the markers {start.strip()} and {end} once each, in this order")
    return page.partition(start)[0] + start + text.strip() + "\n" + end + page.partition(end)[2]


def update(pages: dict[Path, str], *, check: bool) -> list[Path]:
    """Write pages that differ from their text, or only say which do."""
    stale = [path for path, text in pages.items() if path.read_text() != text]
    if not check:
        for path in stale:
            path.write_text(pages[path])
    return stale
