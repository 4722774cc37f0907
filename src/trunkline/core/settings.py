"""Settings of one machine: options, then `TRUNKLINE_*` variables, then `HOME/settings.toml`."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from trunkline.core.errors import ConfigError, StorageError
from trunkline.core.files import storage_error
from trunkline.core.validation import expected

_PREFIX = "TRUNKLINE_"
_FILE = "settings.toml"
_STORES = ("http", "https", "file", "sqlite", "postgresql", "mysql", "mssql")
"""Where MLflow can keep versions; a bare word would be a folder in the present one."""
_ADDRESSES = ("https://HOST:PORT", "sqlite:////FOLDER/FILE.db", "postgresql://USER:PASSWORD@HOST/NAME")
_FEW_THREADS = 16  # never too many, however few cores there are


def default_home() -> Path:
    """`TRUNKLINE_HOME`, or `.trunkline` in the user's home folder."""
    return _expanded(Path(os.environ.get("TRUNKLINE_HOME") or "~/.trunkline"))


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # a container's user may have no home, `~name` may be nobody
        raise ConfigError(
            "expected a home folder behind ~, there is none",
            where=str(path),
            fix="name a folder with --home DIR or TRUNKLINE_HOME",
        ) from error


class Settings(BaseSettings):
    """What a machine's owner can set. Unknown keys are refused."""

    # An empty variable counts as none: `TRUNKLINE_HOME=` would otherwise make the present folder the home.
    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    home: Path = Field(default_factory=default_home, description="The only folder that is written to.")
    threads: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        description="Threads for decoding and for the trunk; all cores by default.",
    )
    runtime: Literal["auto", "openvino", "onnxruntime", "fake"] = Field(
        default="auto",
        description="Runtime of the trunk; `auto` is OpenVINO, or what is over twice as fast here (measured once).",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        default="auto",
        description="What the trunk of models that answer computes in; `auto` is what `trunkline bench chip` chose for "
        "all models that are asked, else fp32. Builds and gates always use fp32.",
    )
    mlflow_uri: str = Field(default="", description="MLflow tracking URI; empty means SQLite in the home folder.")
    max_pixels: int = Field(
        default=100_000_000, ge=1, description="Largest image, in pixels; a larger one is quarantined unread."
    )
    batch: int = Field(default=4, ge=1, le=1024, description="Images in one run of the trunk.")
    report_pictures: int = Field(
        default=8, ge=0, le=64, description="Most pictures with heat maps of each kind in one report."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_bool(cls, value: Any) -> Any:
        if isinstance(value, bool):  # pydantic would take true for 1
            raise ValueError("expected a number or text")
        return value

    @field_validator("threads")
    @classmethod
    def _threads(cls, threads: int) -> int:
        cores = len(os.sched_getaffinity(0))
        most = max(_FEW_THREADS, 4 * cores)
        if threads > most:  # a runtime that opens a thousand streams does not come back
            raise ValueError(f"expected at most {most} threads on the {cores} cores here")
        return threads

    @field_validator("mlflow_uri")
    @classmethod
    def _address(cls, uri: str) -> str:
        scheme, colon, rest = uri.partition("://")
        kind = scheme.partition("+")[0]
        known = not uri or kind in ("databricks", "databricks-uc") or (colon and kind in _STORES and rest.strip("/"))
        with suppress(ValueError):  # of a host or a port that is none
            parts = urlsplit(uri)
            if known and (kind not in ("http", "https") or parts.hostname) and parts.port != 0:
                return uri
        raise ValueError(f"expected an address as {' or '.join(_ADDRESSES)}")

    @field_validator("home")
    @classmethod
    def _home(cls, home: Path) -> Path:
        return _expanded(home)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        home = Path(init_settings().get("home") or default_home())
        return init_settings, env_settings, InitSettingsSource(settings_cls, _from_file(home / _FILE))


def load_settings(home: Path | None = None, *, writes: bool = True, **options: Any) -> Settings:
    """Read the settings and make sure that the home folder is there and can be written.

    Args:
        home: The `--home` option, if it was given.
        writes: Whether the home will be written to; one that is only looked at may be missing, or on a read-only disk.
        **options: Other options from the command line; None means not given.

    Raises:
        ConfigError: On an unknown key or a wrong value, naming it and where it stands.
        StorageError: When the home folder cannot be made or written.
    """
    given = {key: value for key, value in options.items() if value is not None}
    folder = _expanded(home) if home is not None else default_home()
    _check_home(folder, writes=writes)
    try:
        return Settings(home=folder, **given)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        raise ConfigError(
            f"{expected(first)}, got " + re.sub("//[^/@]*@", "//", repr(first["input"])),  # no password
            where=_place(field, given, folder / _FILE),
            fix="docs/settings.md lists every setting with its type",
        ) from error


def _check_home(home: Path, *, writes: bool) -> None:
    """Make the home where it is missing, and see that a file can be made in it."""
    try:
        str(home).encode()
    except UnicodeEncodeError as error:  # Lance and MLflow take no other path
        raise ConfigError(
            "expected a home whose path is UTF-8 text", where=str(home), fix="name another folder with --home DIR"
        ) from error
    try:
        if not writes and (home.is_dir() or not os.path.lexists(home)):
            return
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise storage_error(home, error) or StorageError(
            f"expected a folder that can be written: {error.strerror}", where=str(home), fix="name another --home"
        ) from error


def _from_file(path: Path) -> dict[str, Any]:
    """What `settings.toml` says; nothing where there is no such file.

    Raises:
        ConfigError: When it is no TOML, or has a key that is no setting.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        found = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"expected a file of settings: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("expected UTF-8 text", where=str(path), fix="save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", where=str(path), fix="mend the file at this place") from error
    known = [name for name in Settings.model_fields if name != "home"]
    for key in found:
        if key == "home":
            raise ConfigError(
                "a home is not named in a file that is inside it",
                where=_line(path, text, key),
                fix="name it with --home DIR or TRUNKLINE_HOME, and remove this line",
            )
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            fix = f"did you mean {near[0]!r}?" if near else "known keys: " + ", ".join(known)
            raise ConfigError(f"unknown key {key!r}", where=_line(path, text, key), fix=fix)
    return found


def _place(field: str, given: dict[str, Any], path: Path) -> str:
    """Where the value of a setting comes from, in the order in which they hold."""
    if field in given:
        return f"--{field.replace('_', '-')}"
    variable = next((name for name in os.environ if name.upper() == f"{_PREFIX}{field.upper()}"), "")
    return variable or _line(path, path.read_text(encoding="utf-8-sig"), field)


def _line(path: Path, text: str, key: str) -> str:
    """The file and the line of a key in it."""
    pattern = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    for number, line in enumerate(text.splitlines(), 1):
        if pattern.match(line):
            return f"{path}:{number}: {key}"
    return f"{path}: {key}"
