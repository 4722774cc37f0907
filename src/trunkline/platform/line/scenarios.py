"""Scenarios from YAML files and from folders of images, with errors that name file, line and field."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from trunkline.core.errors import ConfigError
from trunkline.core.types.scenario import Budget, Labels, OperatingPoint, Scenario, Source, Split, Task

_MODELS: dict[str, type[BaseModel]] = {
    "labels": Labels, "split": Split, "operating_point": OperatingPoint, "budget": Budget, "data": Source,
}  # fmt: skip
_TASK_OF_LAYOUT = {"imagefolder": "classify", "csv": "classify", "mvtec": "anomaly"}
_MAX_BYTES = 10 << 20
YAML_SUFFIXES = (".yaml", ".yml")


def load(paths: Sequence[Path], *, task: str | None = None, name: str | None = None) -> list[Scenario]:
    """Read scenarios from YAML files (one or more documents each) and from folders of images.

    Args:
        paths: YAML files and folders.
        task: Task for folders, which do not say it themselves; found from the layout when None.
        name: Name for a single folder; the folder's own name when None.

    Raises:
        ConfigError: On anything wrong, naming file, line and field.
    """
    scenarios: list[Scenario] = []
    for path in paths:
        if path.suffix.lower() in YAML_SUFFIXES and not path.is_dir():
            scenarios.extend(read_file(path))
        else:
            scenarios.append(from_folder(path, task=task, name=name))
    seen: set[str] = set()
    for scenario in scenarios:
        if scenario.name in seen:
            raise ConfigError(
                f"expected each name once, got {scenario.name!r} twice", fix="give one of the two another `name`"
            )
        seen.add(scenario.name)
    return scenarios


def from_folder(path: Path, *, task: str | None, name: str | None = None) -> Scenario:
    """The scenario that a folder of images stands for.

    Raises:
        ConfigError: When there is no such folder, or the task can be told neither from it nor from the caller.
    """
    if not path.exists():
        raise ConfigError("expected a scenario file or a folder of images; there is nothing here", where=str(path))
    source = path.resolve()
    if task is None:
        task = _guess_task(source)
    elif task not in get_args(Task):
        near = difflib.get_close_matches(task, get_args(Task), n=1)
        raise ConfigError(
            f"expected one of {', '.join(get_args(Task))}, got {task!r}",
            where="--task",
            fix=f"did you mean {near[0]!r}?" if near else None,
        )
    title = (name or source.stem if source.is_file() else name or source.name).strip().lstrip(".-") or "scenario"
    if name is None:
        title = "".join("-" if c in '/\\:@*"' or ord(c) < 32 else c for c in title)
    try:
        return Scenario(name=title, task=task, data=(Source(path=source),))  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigError(str(error.errors()[0]["msg"]), where="--name") from error


def _guess_task(path: Path) -> str:
    from trunkline.platform.data.formats import detect

    layout = detect(path)
    if layout in _TASK_OF_LAYOUT:
        return _TASK_OF_LAYOUT[layout]
    raise ConfigError(
        f"the layout is {layout}, which serves several tasks",
        where=str(path),
        fix="say which one: --task classify (one label an image) or --task multilabel (a set of labels)",
    )


def read_file(path: Path) -> list[Scenario]:
    """All scenarios of one YAML file; paths in it are relative to the file's folder.

    Raises:
        ConfigError: When the file is missing, no YAML, or holds anything that a scenario does not know.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"expected a scenario file: {error.strerror}", where=str(path)) from error
    if len(data) > _MAX_BYTES:
        raise ConfigError(f"expected at most {_MAX_BYTES >> 20} MB of YAML, got {len(data) >> 20} MB", where=str(path))
    try:
        text = data.decode("utf-8-sig")
        nodes = [n for n in yaml.compose_all(text, Loader=_Loader) if n is not None]
        loader_values = [_construct(node) for node in nodes]
    except UnicodeDecodeError as error:
        raise ConfigError("expected UTF-8 text", where=str(path), fix="save the file as UTF-8") from error
    except yaml.YAMLError as error:
        raise _yaml_error(path, error) from error
    except RecursionError as error:
        raise ConfigError("expected a flat scenario, got YAML nested too deep", where=str(path)) from error
    if not nodes:
        raise ConfigError("expected a scenario, got an empty file", where=str(path), fix="`trunkline new DIR` makes one")
    return [_scenario(path, node, value) for node, value in zip(nodes, loader_values, strict=True)]


class _Loader(yaml.SafeLoader):
    """YAML without aliases: a file from outside may not blow up ("billion laughs")."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases (*name) are not taken", event.start_mark)
        return super().compose_node(parent, index)


def _construct(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_document(node)  # type: ignore[no-untyped-call]
    finally:
        loader.dispose()  # type: ignore[no-untyped-call]


def _yaml_error(path: Path, error: yaml.YAMLError) -> ConfigError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    fix = "indent with spaces" if "\\t" in problem or "'\t'" in problem else "mend the YAML at this place"
    return ConfigError(f"not YAML: {problem}", where=where, fix=fix)


def _scenario(path: Path, node: yaml.Node, value: Any) -> Scenario:
    if not isinstance(value, dict):
        raise ConfigError(
            f"expected keys such as `name:` and `task:`, got {type(value).__name__}",
            where=f"{path}:{node.start_mark.line + 1}",
        )
    _no_repeats(path, node)
    value.setdefault("name", path.stem if path.stem != "scenario" else path.resolve().parent.name)
    try:
        scenario = Scenario.model_validate(value)
    except ValidationError as error:
        raise _field_error(path, node, error) from error
    base = path.resolve().parent
    sources = tuple(
        source.model_copy(update={"path": (base / source.path.expanduser()).resolve()}) for source in scenario.data
    )
    return scenario.model_copy(update={"data": sources})


def _no_repeats(path: Path, node: yaml.Node) -> None:
    """YAML lets a later key win in silence; a reader of the file would not know which one holds."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, child in node.value:
            if key.value in seen:
                raise ConfigError(
                    "expected each key once", where=f"{path}:{key.start_mark.line + 1}: {key.value}", fix="remove one"
                )
            seen.add(key.value)
            _no_repeats(path, child)


def _field_error(path: Path, node: yaml.Node, error: ValidationError) -> ConfigError:
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    loc = [part for part in first["loc"] if part != "[key]"]
    message = first["msg"].removeprefix("Value error, ")
    if not loc and message.startswith("gates."):
        loc = message.partition(":")[0].split(".")
        message = message.partition(":")[2].strip()
    line = _line(node, loc)
    where = f"{path}:{line}: " + ".".join(str(part) for part in loc) if loc else f"{path}:{line}"
    if first["type"] == "extra_forbidden":
        known = list(_MODELS.get(str(loc[0]), Scenario).model_fields) if len(loc) > 1 else list(Scenario.model_fields)
        near = difflib.get_close_matches(str(loc[-1]), known, n=1)
        fix = f"did you mean {near[0]!r}?" if near else "known keys: " + ", ".join(known)
        return ConfigError(f"unknown key {str(loc[-1])!r}", where=where, fix=fix)
    if first["type"] == "missing":
        return ConfigError("this key is needed", where=where, fix="see docs/scenario.md")
    got = "" if isinstance(first["input"], dict) or ", got " in message else f", got {first['input']!r}"[:200]
    return ConfigError(message + got, where=where, fix="docs/scenario.md lists every key")


def _line(node: yaml.Node, loc: Sequence[Any]) -> int:
    line = node.start_mark.line + 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line + 1, child
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return int(line)
