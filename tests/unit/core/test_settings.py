"""Settings: options before variables before the file; what is wrong is named with its place."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from trunkline.core.errors import ConfigError, StorageError
from trunkline.core.settings import Settings, default_home, load_settings

ELSEWHERE = "name another folder; the home is named with --home DIR or TRUNKLINE_HOME"
LISTED = "docs/settings.md lists every setting with its type"


def written(home: Path, text: str | bytes) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    path = home / "settings.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_defaults(home: Path) -> None:
    assert load_settings().model_dump() == {
        "home": home,
        "threads": len(os.sched_getaffinity(0)),
        "runtime": "auto",
        "precision": "auto",
        "mlflow_uri": "",
        "max_pixels": 100_000_000,
        "batch": 4,
        "report_pictures": 8,
    }


@pytest.mark.parametrize(
    ("option", "variable", "line", "batch"),
    [
        (None, None, "", 4),
        (None, None, "batch = 2", 2),
        (None, "3", "batch = 2", 3),
        (None, "", "batch = 2", 2),  # an empty variable is none
        (4, "3", "batch = 2", 4),
    ],
)
def test_options_come_before_variables_before_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch, option: int | None, variable: str | None, line: str, batch: int
) -> None:
    written(home, line)
    if variable is not None:
        monkeypatch.setenv("TRUNKLINE_BATCH", variable)
    assert load_settings(batch=option).batch == batch


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch = 2\nthreds = 4\n", "{path}:2: threds: unknown key 'threds'\n  fix: did you mean 'threads'?"),
        (
            '"zz" = 1\n',
            "{path}:1: zz: unknown key 'zz'\n"
            "  fix: known keys: threads, runtime, precision, mlflow_uri, max_pixels, batch, report_pictures",
        ),
        ("[batch]\nx = 1\n", f"{{path}}:1: batch: expected a whole number, got {{{{'x': 1}}}}\n  fix: {LISTED}"),
        ("\nthreads = 'all'\n", f"{{path}}:2: threads: expected a whole number, got 'all'\n  fix: {LISTED}"),
        ("threads = 2.5\n", f"{{path}}:1: threads: expected a whole number, got 2.5\n  fix: {LISTED}"),
        ("threads = true\n", f"{{path}}:1: threads: expected a number or text, got True\n  fix: {LISTED}"),
        ("batch = 0\n", f"{{path}}:1: batch: expected a number greater than or equal to 1, got 0\n  fix: {LISTED}"),
        (
            "runtime = 'tensorrt'\n",
            "{path}:1: runtime: expected 'auto', 'openvino', 'onnxruntime' or 'fake', got 'tensorrt'\n"
            f"  fix: {LISTED}",
        ),
        (
            "home = '/elsewhere'\n",
            "{path}:1: home: a home is not named in a file that is inside it\n"
            "  fix: name it with --home DIR or TRUNKLINE_HOME, and remove this line",
        ),
        ("batch 2\n", "{path}: not TOML: Expected '=' after a key in a key/value pair (at line 1, column 7)\n"
         "  fix: mend the file at this place"),
        (b"# \xe9\n", "{path}: expected UTF-8 text\n  fix: save the file as UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_named_with_its_line(home: Path, text: str | bytes, message: str) -> None:
    path = written(home, text)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value) == message.format(path=path)


@pytest.mark.parametrize(
    ("options", "variables", "where"),
    [
        ({"threads": 0}, {}, "--threads"),
        ({"report_pictures": 65}, {"TRUNKLINE_REPORT_PICTURES": "1"}, "--report-pictures"),
        ({}, {"TRUNKLINE_BATCH": "many"}, "TRUNKLINE_BATCH"),
        ({}, {"TRUNKLINE_MLFLOW_URI": "junk"}, "TRUNKLINE_MLFLOW_URI"),
        ({}, {"trunkline_batch": "many"}, "trunkline_batch"),
    ],
)
def test_a_wrong_option_or_variable_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], variables: dict[str, str], where: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_settings(**options)
    assert caught.value.where == where


@pytest.mark.parametrize(
    "uri",
    [
        "", "http://h", "https://user:secret@h:5000/x", "sqlite:////a/b.db", "postgresql+psycopg://u:p@h/db",
        "databricks", "databricks://profile", "file:///a", "mysql+pymysql://u:p@h:3306/db",
    ],
)  # fmt: skip
def test_addresses_of_mlflow(home: Path, uri: str) -> None:
    assert load_settings(mlflow_uri=uri).mlflow_uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "junk", "./mlruns", "/mlruns", "://", "http://", "http://[", "http://h:port", "http://h:99999", "sqlite:", "sqlite:///",
        "foo://h", "ftp://user:secret@h",
    ],
)  # fmt: skip
def test_what_is_no_address_of_mlflow_is_refused(home: Path, uri: str) -> None:
    with pytest.raises(ConfigError, match="expected an address as https://HOST:PORT or ") as caught:
        load_settings(mlflow_uri=uri)
    assert (caught.value.where, "secret" in str(caught.value)) == ("--mlflow-uri", False)


def test_a_home_that_is_only_looked_at_need_not_be_there_or_be_writable(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**options: Any) -> Any:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refused)
    assert (load_settings(writes=False).home, home.exists()) == (home, False)
    home.mkdir()
    assert load_settings(writes=False).home == home
    with pytest.raises(StorageError, match="this disk cannot be written, only read"):
        load_settings()
    home.rmdir()
    home.touch()
    with pytest.raises(StorageError, match="expected a folder, got a file"):
        load_settings(writes=False)


def test_a_file_that_cannot_be_read_is_named(home: Path) -> None:
    (home / "settings.toml").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"settings\.toml: expected a file of settings: Is a directory"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "option", "expected"),
    [
        (None, None, "{user}/.trunkline"),
        ("", None, "{user}/.trunkline"),
        ("~/models", None, "{user}/models"),
        ("~/models", "~/other", "{user}/other"),
    ],
)
def test_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None, option: str | None, expected: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TRUNKLINE_HOME")
    if variable is not None:
        monkeypatch.setenv("TRUNKLINE_HOME", variable)
    place = Path(expected.format(user=tmp_path))
    assert load_settings(Path(option) if option else None).home == place
    assert (place.is_dir(), list(place.iterdir())) == (True, [])
    assert Settings().home == default_home()


def test_a_user_without_a_home_is_told_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_HOME", "~nobody-of-this-name/x")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert (caught.value.where, caught.value.fix) == (
        "~nobody-of-this-name/x",
        "name a folder with --home DIR or TRUNKLINE_HOME",
    )


@pytest.mark.parametrize(
    ("place", "message", "fix"),
    [
        ("file", "expected a folder, got a file", ELSEWHERE),
        ("file/below", "expected a folder, got a file", ELSEWHERE),
        ("x" * 300, "the name is too long for this disk", ELSEWHERE),
        ("/proc/trunkline", "expected a folder that can be written: No such file or directory", "name another --home"),
    ],
)
def test_a_home_that_cannot_be(tmp_path: Path, place: str, message: str, fix: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        load_settings(tmp_path / place)
    assert (caught.value.message, caught.value.where, caught.value.fix) == (message, str(tmp_path / place), fix)


def test_a_home_that_cannot_be_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(StorageError, match="this disk cannot be written, only read"):
        load_settings()


def test_many_threads_may_look_at_once(home: Path) -> None:
    failed: list[BaseException] = []

    def look() -> None:
        try:
            load_settings()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failed, list(home.iterdir())) == ([], [])
