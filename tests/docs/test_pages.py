"""The documentation keeps up with the code: reference pages, README's commands, links, words, and what a page loads."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
ENVIRONMENT = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        try:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_reference_pages_are_up_to_date() -> None:
    stale = [path.name for path, text in script("pages").pages().items() if path.read_text() != text]
    assert stale == [], "run `make docs` and commit the pages"


def test_figures_are_those_of_the_results() -> None:
    figures = script("figures")
    text = figures.table(figures.rows())
    stale = [path.name for path in figures.PAGES if script("marked").fill(path, "figures", text) != path.read_text()]
    assert stale == [], "run `python scripts/figures.py` and commit the pages"


def test_every_command_of_the_contract_has_a_section() -> None:
    page = (DOCS / "commands.md").read_text()
    wanted = [
        "demo", "new", "build", "predict", "evaluate", "data import", "data ls", "data show", "data diff",
        "data export", "models ls", "models show", "models compare", "models promote", "models rollback",
        "models export", "trunks ls", "trunks export", "trunks import", "serve", "bench chip", "bench engine", "doctor",
    ]  # fmt: skip
    assert [name for name in wanted if f"\n## trunkline {name}\n" not in page] == []


def test_every_command_has_an_example() -> None:
    sections = (DOCS / "commands.md").read_text().split("\n## ")[1:]
    assert [section.partition("\n")[0] for section in sections if "Example" not in section] == []


def quick_commands() -> list[str]:
    blocks = re.findall(r"^```console quick\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    return [line.removeprefix("$ ").partition("  #")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("command", quick_commands())
def test_quick_commands_of_the_readme_run(command: str, home: Path) -> None:
    done = subprocess.run(shlex.split(command), cwd=ROOT, env={**ENVIRONMENT, "TRUNKLINE_HOME": str(home)},
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr, bool(done.stdout)) == (0, False, True), done.stderr


def shown_commands() -> list[tuple[str, str]]:
    found = []
    for path in PAGES:
        for block in re.findall(r"^```console.*?\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE):
            lines = [line for line in block.splitlines() if line.startswith("$ ")]
            found += [(path.name, line[2:].partition("  #")[0].strip()) for line in lines]
    return sorted(set(found))


@pytest.mark.parametrize(("page", "command"), shown_commands())
def test_commands_shown_exist(page: str, command: str) -> None:
    import typer

    from trunkline.cli.app import app

    words = shlex.split(command)
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
    elif words[0] == "trunkline":
        node, known = typer.main.get_command(app), set()
        for word in words[1:]:
            if not hasattr(node, "commands") or word.startswith("-"):
                break
            assert word in node.commands, f"{page}: no command {word!r}"
            node = node.commands[word]
        known = {"--help", "--version"} | {opt for param in node.params for opt in param.opts}
        assert [w for w in words if w.startswith("--") and w not in known] == []


def test_commands_of_the_mission_exist() -> None:
    page = (DOCS / "mission.md").read_text()
    sections = (DOCS / "commands.md").read_text()
    named = re.findall(r"`trunkline ((?:(?:data|models|trunks|bench) )?[a-z]+)", page)
    assert len(named) > 10
    assert [name for name in named if f"\n## trunkline {name}\n" not in sections] == []
    benchmarks = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert set(re.findall(r"`python -m benchmarks (\w+)", page)) <= benchmarks


def test_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loads = re.compile(r'<(?:script|img|iframe)[^>]*\ssrc="(?:https?:)?//|<link[^>]*rel="stylesheet"[^>]*href="https?:')
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 10
    assert [str(page) for page in pages if loads.search(page.read_text())] == []


def test_links_of_the_pages_outside_the_site_lead_somewhere() -> None:
    missing = [
        f"{path.name}: {target}"
        for path in ROOT.glob("*.md")
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text())
        if not (ROOT / target).exists()
    ]
    assert missing == []


def test_paths_that_the_pages_name_exist() -> None:
    named = {
        (path.name, name)
        for path in (DOCS / "mission.md", DOCS / "plugins.md")
        for name in re.findall(r"`((?:platform|algorithms|compute|core|cli|tests)/[\w./-]+)`", path.read_text())
    }
    assert [
        n for _, n in sorted(named) if not (ROOT / n).exists() and not (ROOT / "src" / "trunkline" / n).exists()
    ] == []


def test_names_of_code_in_the_plugin_guide_import() -> None:
    for target in re.findall(r"`(trunkline\.[\w.]+\.\w+)`", (DOCS / "plugins.md").read_text()):
        module, _, name = target.rpartition(".")
        if name[0].isupper():
            assert hasattr(importlib.import_module(module), name), target


def test_no_place_of_one_machine_in_the_tree() -> None:
    """Absolute paths of a checkout or a user's home, and where a machine takes its packages from."""
    places = re.compile(r"(?<![\w.])/(?:home|Users|root|work|opt/wheels|opt/pypi)/\w|" + re.escape(str(ROOT)) + r"\b")
    allowed = {"tests/docs/test_pages.py"}
    found = [f"{name}: {hit[0]}" for name, text in texts() if name not in allowed for hit in places.finditer(text)]
    assert found == []


def test_every_pin_is_a_plain_version() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9._-]+==[0-9][\w.]*", line)] == []
    assert "torch==2.13.0" in lines


def test_every_direct_dependency_is_pinned() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    names = {re.match(r"[\w.-]+", one)[0].lower().replace("_", "-") for one in asked}  # type: ignore[index]
    assert names - {name.replace("_", "-") for name in pinned} == set()


def test_core_install_has_no_torch() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    heavy = ("torch", "mlflow", "pylance", "datumaro")
    assert [one for one in project["dependencies"] if one.startswith(heavy)] == []
