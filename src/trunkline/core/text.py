"""Text from outside, made fit for a terminal."""

from __future__ import annotations

import re

_NOT_PRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line ends, what turns the direction of writing, and bytes that are not UTF-8; a tab may stay."""


def printable(text: str) -> str:
    r"""One line that shows what stands in a text: `\x1b`, `\x0a`, `\u202e`.

    A file's name or a label must not move the cursor, colour the terminal, or begin a line that looks like one of ours.
    """
    return _NOT_PRINTABLE.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def cut(text: str, most: int = 60) -> str:
    """The text, or its beginning where it is longer than a message should show."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def json_printable(text: str) -> str:
    """A text in JSON with JSON's own escapes for what `printable` does not show as it is; the same values are read."""
    return _NOT_PRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
