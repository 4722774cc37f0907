"""YAML from outside: read safely, with errors that name file, line, field and the fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from trunkline.core import yaml_text
from trunkline.core.errors import ConfigError
from trunkline.core.text import cut
from trunkline.core.types.scenario import Budget, Labels, OperatingPoint, Scenario, Source, Split
from trunkline.core.validation import expected

MAX_BYTES = 10 << 20
_MODELS: dict[str, type[BaseModel]] = {
    "labels": Labels, "split": Split, "operating_point": OperatingPoint, "budget": Budget, "data": Source,
}  # fmt: skip
_NEEDED = {"task": "classify", "data": "../images", "path": "../images", "cpu_minutes": "10"}
"""Keys without a default, with a value to begin with."""
_UNKNOWN = ("extra_forbidden", "invalid_key")


def documents(path: Path) -> list[tuple[yaml.Node, Any]]:
    """The documents of a file: the node, which knows its lines, and the value. Empty documents are passed over.

    Raises:
        ConfigError: When the file is missing, too large, not UTF-8 or not YAML.
    """
    try:
        if path.exists() and not path.is_file():  # a named pipe would keep us waiting for ever
            raise ConfigError("expected a scenario file, got what is no regular file", where=str(path))
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"expected a scenario file: {error.strerror}", where=str(path)) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"expected at most {MAX_BYTES >> 20} MB of YAML, got more", where=str(path))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError("expected UTF-8 text", where=str(path), fix="save the file as UTF-8") from error
    try:
        return yaml_text.documents(text)
    except yaml.YAMLError as error:
        raise _yaml_error(path, text, error) from error
    except RecursionError as error:
        raise ConfigError("expected a flat scenario, got YAML nested too deep", where=str(path)) from error


def _yaml_error(path: Path, text: str, error: yaml.YAMLError) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).partition("\n")[0]
    if mark is None:
        return ConfigError(f"not YAML: {problem}", where=str(path), fix="remove what is no text")
    lines = text.splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    fix = "mend the YAML at this place"
    if "\t" in line[: len(line) - len(line.lstrip())]:
        fix = "indent with spaces, not with tabs"
    elif re.search(r":\s*[<>]", line):
        fix = 'put the limit into quotes: ">= 0.99"'
    elif "mapping values" in problem or " is no " in problem:
        fix = "put the text into quotes"
    elif "aliases" in problem:
        fix = "write the value out"
    return ConfigError(f"not YAML: {problem}", where=f"{path}:{mark.line + 1}:{mark.column + 1}", fix=fix)


def no_repeats(path: Path, node: yaml.Node) -> None:
    """Refuse a key that stands twice: YAML lets the later one win, and a reader would not know which one holds.

    Raises:
        ConfigError: Naming the second one.
    """
    seen: set[str] = set()
    for key, child in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value in seen:
            raise ConfigError(
                "expected each key once", where=f"{path}:{line_of(key)}: {key.value}", fix="remove one of the two"
            )
        seen.add(key.value)
        no_repeats(path, child)
    for child in node.value if isinstance(node, yaml.SequenceNode) else ():
        no_repeats(path, child)


def field_error(path: Path, node: yaml.Node, error: ValidationError) -> ConfigError:
    """The first fault of a scenario; an unknown key comes before the missing one that it was meant for."""
    first = min(error.errors(), key=lambda e: e["type"] not in _UNKNOWN)
    kind = first["type"]
    loc = [str(part) if isinstance(part, str) else part for part in first["loc"] if part != "[key]"]
    message, _, hint = expected(first).partition("; ")
    if not loc and message.startswith("gates."):
        name, _, message = message.removeprefix("gates.").partition(": ")
        loc = ["gates", name]
    if loc[:1] == ["data"] and kind.startswith("model"):
        message = "expected a folder or a file"
    if kind.startswith(("finite_number", "float_", "greater_than", "less_than")):
        message = f"expected a {'finite ' * (kind == 'finite_number')}number{_bounds(loc)}"
    line, child = _find(node, loc)
    where = f"{path}:{line}" + (": " + ".".join(str(part) for part in loc) if loc else "")
    if kind in _UNKNOWN:
        known = list((_MODELS.get(str(loc[0]), Scenario) if len(loc) > 1 else Scenario).model_fields)
        fix = _near(str(loc[-1]), known) or "known keys: " + ", ".join(known)
        return ConfigError(f"unknown key {str(loc[-1])!r}", where=where, fix=fix)
    if kind == "missing":
        return ConfigError("this key is needed", where=where, fix=f"add `{loc[-1]}: {_NEEDED[str(loc[-1])]}`")
    got = child.value if isinstance(child, yaml.ScalarNode) else ""
    if "[key]" in first["loc"]:
        got = str(loc[-1])
    said = f", got {cut(got)!r}" if got and not hint and ", got " not in message else ""
    return ConfigError(message + said, where=where, fix=hint or _fix(kind, loc, cut(got), first.get("ctx", {})))


def _fix(kind: str, loc: Sequence[Any], got: str, context: dict[str, Any]) -> str:
    if loc[:1] == ["gates"] and kind == "string_type":
        return f'write a limit, in quotes: ">= {got or 0.99}"'
    if kind == "string_type" and got:
        return f'put it into quotes: "{got}"'
    if kind == "tuple_type" and got:
        return f"write it as a list: [{got}]"
    if kind == "literal_error":
        return _near(got, re.findall(r"'(.*?)'", context["expected"])) or "docs/scenario.md says what each means"
    return "docs/scenario.md lists every key"


def _bounds(loc: Sequence[Any]) -> str:
    """What a number may be, as " from 0 to 1" or " above 0 and below 1"; "" where every number goes."""
    fields = _MODELS[str(loc[0])].model_json_schema()["properties"] if len(loc) > 1 else {}
    field = fields.get(str(loc[-1]), {})
    limits = {key: value for part in field.get("anyOf", [field]) for key, value in part.items()}
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "and below"}
    return "".join(f" {word} {limits[key]:.10g}" for key, word in words.items() if key in limits)


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


def line_of(node: yaml.Node) -> int:
    """The line on which a node begins, from 1."""
    return int(node.start_mark.line) + 1


def _find(node: yaml.Node, loc: Sequence[Any]) -> tuple[int, yaml.Node]:
    """The line of a field and its node; of the nearest one around it where it is not there."""
    line = line_of(node)
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                if key.value == str(part):
                    line, node = line_of(key), child
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = line_of(node)
    return line, node
