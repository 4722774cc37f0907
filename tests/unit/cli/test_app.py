"""What every command does with options, with errors and with an end from outside."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from trunkline import __version__
from trunkline.cli.app import app
from trunkline.core import errors
from trunkline.platform.line import template

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Trunkline

REPORT = "  fix: run it again with TRUNKLINE_DEBUG=1 and report what it prints, with the command that you ran\n"


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, trunkline: Trunkline) -> Any:
    """Runs `trunkline new`, whose work ends with an exception."""

    def call(error: BaseException) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(template, "write_template", fail)
        return trunkline("new", "x")

    return call


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (errors.TrunklineError("broken"), 1, "trunkline: broken\n"),
        (errors.ConfigError("expected 1, got 2", where="a.yaml:3", fix="take 1"), 2,
         "trunkline: a.yaml:3: expected 1, got 2\n  fix: take 1\n"),
        (errors.DataError("x"), 2, "trunkline: x\n"),
        (errors.BundleError("x"), 2, "trunkline: x\n"),
        (errors.StorageError("x"), 2, "trunkline: x\n"),
        (errors.BusyError("x"), 2, "trunkline: x\n"),
        (errors.MissingExtraError("torch", "build", "a trunk"), 2,
         "trunkline: a trunk needs the package 'torch', which is not installed\n"
         "  fix: pip install 'trunkline[build]'\n"),
        (errors.NotFoundError("model", "stel", ["steel"]), 2,
         "trunkline: no model named 'stel'\n  fix: did you mean 'steel'?\n"),
        (errors.GateFailedError("x"), 3, "trunkline: x\n"),
        (errors.DataError("cannot be read", where="a\x1b[2Jb\udce9.png"), 2,
         "trunkline: a\\x1b[2Jb\\udce9.png: cannot be read\n"),
        (errors.DataError("cannot\nbe read", where="a\ntrunkline: b.png", fix="write\n  x: 1\x1b[2J"), 2,
         "trunkline: a\\x0atrunkline: b.png: cannot\\x0abe read\n  fix: write\n  x: 1\\x1b[2J\n"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), 2,
         "trunkline: /data/x: no space left on the disk\n  fix: free some space and run the same command again\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2,
         "trunkline: the disk: no space left on the disk\n  fix: free some space and run the same command again\n"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), 2,
         "trunkline: /data/x: this user may not read or write it\n  fix: see who owns it\n"),
        (KeyboardInterrupt(), 130,
         "\ntrunkline: stopped; nothing is lost, the same command goes on where it was\n"),
        (ValueError("odd [x]"), 1, f"trunkline: a fault of ours: ValueError: odd [x] (in new.py:<line>)\n{REPORT}"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), 1,
         "trunkline: a fault of ours: FileNotFoundError: [Errno 2] No such file or directory: '/x' (in new.py:<line>)\n"
         f"{REPORT}"),
        (MemoryError(), 1, f"trunkline: a fault of ours: MemoryError (in new.py:<line>)\n{REPORT}"),
    ],
)  # fmt: skip
def test_an_error_becomes_a_message_and_a_status(failing: Any, error: BaseException, status: int, text: str) -> None:
    from trunkline.cli import new

    lines = Path(new.__file__).read_text().splitlines()
    line = next(number for number, line in enumerate(lines, 1) if "= write_template(" in line)
    assert failing(error) == (status, "", text.replace("<line>", str(line)))


@pytest.mark.parametrize(
    ("error", "last"),
    [
        (ValueError("odd"), "trunkline: a fault of ours: ValueError: odd (in new.py:"),
        (errors.ConfigError("odd"), "trunkline: odd"),
    ],
)
def test_a_traceback_is_shown_to_who_asks_for_it(
    failing: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, last: str
) -> None:
    monkeypatch.setenv("TRUNKLINE_DEBUG", "1")
    text = failing(error).stderr
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.splitlines()[-1].startswith(last)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["bulid"], "No such command 'bulid'. Did you mean 'build'?"),
        (["build"], "Missing argument 'scenarios'"),
        (["build", "--no-such"], "No such option"),
        (["build", "x", "--threads", "many"], "Invalid value for '--threads': Input should be a valid integer"),
        (["build", "x", "--threads", "0"], "Invalid value for '--threads': Input should be greater than or equal to 1"),
        (["predict", "x", "y", "--threads", "1000"], "--threads: expected at most "),
        (["build", "-parts"], "A name that begins with a dash comes last, after `--`"),
        (["predict", "x", "--parts"], "A name that begins with a dash comes last, after `--`"),
        (["models", "promot"], "No such command 'promot'. Did you mean 'promote'?"),
    ],
)
def test_a_wrong_usage_is_status_2_on_standard_error(trunkline: Trunkline, arguments: list[str], text: str) -> None:
    ended = trunkline(*arguments)
    assert (ended.status, ended.stdout, text in ended.stderr) == (2, "", True), ended.stderr


@pytest.mark.parametrize("arguments", [[], ["models"], ["data"], ["trunks"]])
def test_without_a_command_the_help_is_shown(trunkline: Trunkline, arguments: list[str]) -> None:
    ended = trunkline(*arguments)
    assert (ended.status, "Usage: trunkline" in ended.stdout + ended.stderr) == (2, True)


def test_version(trunkline: Trunkline) -> None:
    assert trunkline("--version") == (0, f"trunkline {__version__}\n", "")


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not hasattr(command, "commands"):
        yield words
        return
    for name, child in command.commands.items():
        yield from leaves(child, (*words, name))


LEAVES = list(leaves(typer.main.get_command(app)))


GROUPS = sorted({words[:-1] for words in LEAVES if len(words) > 1})


@pytest.mark.parametrize("words", [*LEAVES, *GROUPS], ids=" ".join)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_every_command_has_an_example(trunkline: Trunkline, words: tuple[str, ...], option: str) -> None:
    ended = trunkline(*words, option)
    assert (ended.status, ended.stderr) == (0, "")
    assert f"trunkline {' '.join(words)}" in ended.stdout.partition("Example")[2]


def test_help_of_the_whole_names_every_command(trunkline: Trunkline) -> None:
    ended = trunkline("--help")
    names = {words[0] for words in LEAVES}
    assert [name for name in names if f"│ {name} " not in ended.stdout] == []
    assert "First steps: trunkline demo, then trunkline build FOLDER." in ended.stdout


@pytest.mark.parametrize(
    ("words", "place", "found"),
    [
        ("trunkline mo", 1, "models\n"),
        ("trunkline models pr", 2, "promote\n"),
        ("trunkline build --ta", 2, "--task\n"),
        ("trunkline build --task c", 3, "classify\n"),
        ("trunkline new --task ", 4, "anomaly\nclassify\ndetect\nmultilabel\n"),
        ("trunkline data import --format c", 4, "coco\ncsv\n"),
        ("trunkline evaluate a b --split t", 5, "test\ntrain\n"),
        ("trunkline models promote --alias ch", 4, "champion\nchallenger\n"),
        ("trunkline build x --runtime o", 4, "onnxruntime\nopenvino\n"),
        ("trunkline predict s", 2, "\n"),  # no model in this home yet
    ],
)
def test_completion(trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch, words: str, place: int, found: str) -> None:
    monkeypatch.setenv("_TRUNKLINE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(place))
    assert trunkline() == (0, found, "")


def test_the_script_for_completion_is_shown(trunkline: Trunkline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TRUNKLINE_COMPLETE", "source_bash")
    ended = trunkline()
    assert (ended.status, "complete -o default -F _trunkline_completion trunkline" in ended.stdout) == (0, True)


NAMES = ["a [bold]b[/] [x]", "[/]", "😀 👷‍♀️", ":car:", os.fsdecode(b"d\xe9faut"), "齿轮", "back\\[x]"]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_printed_as_it_is(trunkline: Trunkline, tmp_path: Path, name: str) -> None:
    ended = trunkline("new", tmp_path / name)
    path = str(tmp_path / name / "scenario.yaml").encode("utf-8", "backslashreplace").decode()
    assert (ended.status, ended.stdout.splitlines()[0], ended.stderr) == (0, f"wrote {path}", "")


def test_a_path_is_shown_as_a_shell_takes_it(trunkline: Trunkline, tmp_path: Path) -> None:
    ended = trunkline("new", tmp_path / "two words")
    assert ended.stdout.splitlines()[1] == (
        f"next: edit it, then `trunkline build '{tmp_path}/two words/scenario.yaml'`"
    )


MAIN = "import sys; sys.argv[0] = 'trunkline'; from trunkline.cli import main; main()"


def process(*arguments: object, code: str = MAIN, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stderr=subprocess.PIPE, **options)


@pytest.mark.parametrize("arguments", [["new", "x"], ["trunks", "ls", "--json"], ["--version"], ["--help"]])
def test_a_reader_that_goes_away_is_no_fault(home: Path, tmp_path: Path, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    running = process(*arguments, stdout=writing, cwd=tmp_path)
    os.close(writing)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (141, b"")


def test_standard_output_may_be_closed(home: Path, tmp_path: Path) -> None:
    closed = f"import os; os.close(1); os.execv(sys.executable, [sys.executable, '-c', {MAIN!r}, *sys.argv[1:]])"
    running = process("new", tmp_path / "x", code=f"import sys; {closed}")
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said, (tmp_path / "x" / "scenario.yaml").exists()) == (0, b"", True)


def test_ctrl_c_stops_a_command_that_waits_for_a_lock(home: Path) -> None:
    """A real signal, in the middle of a system call."""
    code = (
        "import trunkline.platform.doctor as d, signal, threading\n"
        "def wait(_):\n"
        "    print('waits', flush=True)\n"
        "    signal.pause()\n"
        "d.examine = wait\n"
    )
    running = process("doctor", code=code + MAIN, stdout=subprocess.PIPE)
    assert running.stdout
    assert running.stdout.readline() == b"waits\n"
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (
        130,
        b"\ntrunkline: stopped; nothing is lost, the same command goes on where it was\n",
    )
