"""Scenarios from YAML files and from folders of images."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from trunkline.core.errors import ConfigError
from trunkline.core.types.scenario import Scenario, Source, Task, safe_name
from trunkline.platform.line.yaml_file import documents, field_error, line_of, no_repeats

_TASK_OF_LAYOUT = {"imagefolder": "classify", "csv": "classify", "mvtec": "anomaly"}
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
    files = [path for path in paths if path.suffix.lower() in YAML_SUFFIXES and not path.is_dir()]
    for option, value in (("--task", task), ("--name", name)):
        if value is not None and paths and len(files) == len(paths):
            raise ConfigError(
                f"expected a folder of images with {option}, got {files[0]}, which says it itself",
                where=option,
                fix="leave the option out, or change the file",
            )
    scenarios: list[Scenario] = []
    places: dict[str, Path] = {}
    for path in paths:
        for scenario in read_file(path) if path in files else [from_folder(path, task=task, name=name)]:
            if scenario.name in places:
                raise ConfigError(
                    f"expected each name once, got {scenario.name!r} twice",
                    where=" and ".join(dict.fromkeys((str(places[scenario.name]), str(path)))),
                    fix="give one of the two another `name`",
                )
            places[scenario.name] = path
            scenarios.append(scenario)
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
    title = safe_name(source.stem if source.is_file() else source.name) if name is None else name
    try:
        return Scenario(name=title, task=task, data=(Source(path=source),))  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigError(error.errors()[0]["msg"].removeprefix("Value error, "), where="--name") from error


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
    found = [_scenario(path, node, value) for node, value in documents(path)]
    if not found:
        raise ConfigError(
            "expected a scenario, got an empty file", where=str(path), fix="`trunkline new DIR` makes one"
        )
    return found


def _scenario(path: Path, node: Any, value: Any) -> Scenario:
    from trunkline.algorithms.trunks import anchored

    if not isinstance(value, dict):
        raise ConfigError(
            "expected keys such as `name:` and `task:`, got "
            + ("a list" if isinstance(value, list) else "a plain value"),
            where=f"{path}:{line_of(node)}",
            fix="`trunkline new DIR` makes a file to start from",
        )
    no_repeats(path, node)
    value.setdefault("name", safe_name(path.stem if path.stem != "scenario" else path.resolve().parent.name))
    try:
        scenario = Scenario.model_validate(value)
    except ValidationError as error:
        raise field_error(path, node, error) from error
    base = path.resolve().parent
    sources = tuple(source.model_copy(update={"path": _beside(base, source.path)}) for source in scenario.data)
    return scenario.model_copy(update={"data": sources, "trunk": anchored(scenario.trunk, base)})


def _beside(base: Path, path: Path) -> Path:
    """A path of the file, from the file's folder; `~` is the user's home where there is one."""
    try:
        return (base / path.expanduser()).resolve()
    except RuntimeError:
        return (base / path).resolve()
