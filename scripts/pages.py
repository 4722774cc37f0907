"""Fill the reference pages from the code: commands, settings, scenario keys, errors, decisions.

python scripts/pages.py           write them
python scripts/pages.py --check   fail when one is not up to date
"""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from marked import fill, update

DOCS = Path(__file__).resolve().parents[1] / "docs"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [titles, ("---",) * len(titles), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _prose(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())  # an indented line would be code


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"`{one}`" for one in value)
    return "" if value in (None, "", {}) else f"`{value}`"


def _leaves(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield name, command
        return
    for key, child in command.commands.items():
        yield from _leaves(child, f"{name} {key}")


def _default(param: Any) -> str:
    if param.required:
        return "needed"
    if isinstance(param.show_default, str):
        return param.show_default
    if param.default is None or param.default in ("", False):
        return ""
    return "yes" if param.default is True else f"`{param.default}`"


def _usage(name: str, command: Any) -> str:
    words = [name]
    for param in command.params:
        if param.opts[0].startswith("-"):
            continue
        words.append(param.name.upper() + ("..." if param.nargs == -1 else ""))
    options = any(param.opts[0].startswith("-") for param in command.params)
    return " ".join(words + (["[OPTIONS]"] if options else []))


def commands() -> str:
    """One section a command: usage, help, arguments and options."""
    import typer

    from trunkline.cli.app import app

    parts = []
    for name, command in _leaves(typer.main.get_command(app), "trunkline"):
        rows = []
        for param in command.params:
            names = ", ".join(f"`{opt}`" for opt in [*param.opts, *param.secondary_opts])
            shown = names if param.opts[0].startswith("-") else f"`{param.name.upper()}`"
            rows.append((shown, param.help or "", _default(param)))
        parts += [f"## {name}", f"```text\n{_usage(name, command)}\n```", _prose(command.help or "")]
        parts += [_table(("argument or option", "what it does", "default"), rows)] if rows else []
    return "\n\n".join(parts)


def settings() -> str:
    """One row a setting."""
    from trunkline.core.settings import Settings

    rows = []
    for name, field in Settings.model_fields.items():
        default = {"home": "`~/.trunkline`", "threads": "all cores"}.get(name) or _value(field.default)
        rows.append(
            (f"`{name}`", f"`TRUNKLINE_{name.upper()}`", _type(field.annotation), default, field.description or "")
        )
    return _table(("setting", "variable", "type", "default", "what it does"), rows)


def _type(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin is typing.Annotated:
        return _type(inner[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(one) for one in inner if one is not type(None))
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"map of {_type(inner[0])} to {_type(inner[1])}"
    if inspect.isclass(annotation) and hasattr(annotation, "model_fields"):
        return "block"
    names = {str: "text", int: "whole number", float: "number", bool: "yes or no", Path: "path"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())


def scenario() -> str:
    """One table a block of the file, and the gates of each task."""
    from pydantic import BaseModel

    from trunkline.core.types.scenario import GATE_NAMES, MACHINE_GATES, Scenario

    def model_in(annotation: Any) -> type[BaseModel] | None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
        return next((found for one in typing.get_args(annotation) if (found := model_in(one))), None)

    def section(model: type[BaseModel], title: str, prefix: str) -> list[str]:
        rows, below = [], []
        for name, field in model.model_fields.items():
            default = "needed" if field.is_required() else _value(field.get_default(call_default_factory=True))
            inner = model_in(field.annotation)
            if inner is not None and not field.is_required():
                default = ""
            rows.append(
                (f"`{prefix}{name}`", _type(field.annotation), default, field.description or HELP[prefix + name])
            )
            if inner is not None:
                below += section(inner, f"`{name}`", f"{name}.")
        return [f"## {title}", _table(("key", "type", "default", "what it means"), rows), *below]

    gates = [(f"`{task}`", ", ".join(f"`{name}`" for name in names)) for task, names in GATE_NAMES.items()]
    gates.append(("every task", ", ".join(f"`{name}`" for name in MACHINE_GATES)))
    return "\n\n".join([*section(Scenario, "Keys", ""), "## Gates by task", _table(("task", "gates"), gates)])


HELP = {
    "name": "The model's name in the registry; without `/ \\ : @ * \"`.",
    "task": "What the model answers.",
    "data": "A folder, a file, or a list of them; paths are relative to the scenario file.",
    "data.path": "Where it is. A plain path in `data` is short for a source with only this key.",
    "labels": "Changes to the labels that the data brings.",
    "trunk": "The frozen backbone: a name from `trunkline trunks ls`, `onnx:FILE`, or "
    "`timm:NAME?weights=FILE.safetensors`, each with `@SIDE` behind it for pictures of another side; "
    "see [trunks](trunks.md).",
    "split": "How images are put aside for the gate.",
    "split.seed": "The same seed gives the same split.",
    "gates": 'Limits that the model must meet, as `accuracy: ">= 0.99"`; `champion: no-worse` compares '
    "with the one in use.",
    "operating_point": "Where the thresholds are put; at most one of its keys.",
    "operating_point.false_reject_rate": "At most this share of genuine cases is refused (see below).",
    "operating_point.false_accept_rate": "At most this share of impostors is let through.",
    "operating_point.recall": "At least this share is found.",
    "operating_point.precision": "At least this share of what is found is right.",
    "budget": "The most that the scenario may cost; checked as a gate.",
    "budget.cpu_minutes": "CPU minutes of all threads and stations together.",
}


def errors() -> str:
    """One section an error class, in the order of the module."""
    from trunkline.core import errors as module

    parts = []
    found = (one for one in vars(module).values() if inspect.isclass(one))
    classes = [one for one in found if issubclass(one, module.TrunklineError)]
    for kind in sorted(classes, key=lambda c: inspect.getsourcelines(c)[1]):
        doc = re.split(r"\n\s*(?:Args|Attributes):", inspect.getdoc(kind) or "")[0].strip()
        parts += [f"## {kind.__name__}", doc, f"Exit status {kind.exit_status}. {ADVICE[kind.__name__]}"]
    return "\n\n".join(parts)


ADVICE = {
    "TrunklineError": "If you meet one that is none of those below, please report it with the command that you ran.",
    "InputError": "Mend what the message names (`where`), as it says (`fix`), and run the same command again.",
    "ConfigError": "The message names the file, the line and the key. [Scenario](scenario.md) and "
    "[settings](settings.md) list every key.",
    "DataError": "The message names the file or folder. Unreadable images inside a folder do not raise it: they are "
    "put in quarantine, listed as a finding, and the build goes on. [Data formats](formats.md) shows each layout.",
    "BundleError": "Copy the bundle again from where it was made, or update Trunkline when it is newer "
    "than your version.",
    "StorageError": "Free some space, or name another folder with `--home`. What was finished is kept; the same "
    "command goes on where it was.",
    "MissingExtraError": "Run the `pip install` line that the message gives.",
    "NotFoundError": "The message lists near names, or all of them.",
    "BusyError": "Wait until the other command has finished, then run yours again.",
    "GateFailedError": "The model is kept and registered, its report says which limit it missed, and it is not "
    "promoted. Give it more or better images, or change the limit.",
}


def decisions() -> str:
    """Links to every decision and plan by its title."""
    parts = []
    for folder in ("decisions", "plans"):
        rows = [
            f"- [{path.read_text().partition(chr(10))[0].lstrip('# ')}]({folder}/{path.name})"
            for path in sorted((DOCS / folder).glob("*.md"))
        ]
        parts += [f"## {folder.capitalize()}", "\n".join(rows)] if rows else []
    return "\n\n".join(parts)


def pages() -> dict[Path, str]:
    """Every generated page with the text that it ought to have."""
    made = {
        "commands": commands(),
        "settings": settings(),
        "scenario": scenario(),
        "errors": errors(),
        "decisions": decisions(),
    }
    return {DOCS / f"{name}.md": fill(DOCS / f"{name}.md", name, text) for name, text in made.items()}


def main() -> int:
    check = "--check" in sys.argv[1:]
    stale = update(pages(), check=check)
    for path in stale:
        print(f"docs/{path.name}: " + ("not up to date; run make docs" if check else "written"))
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
