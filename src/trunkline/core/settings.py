"""Settings of one machine: options, then `TRUNKLINE_*` variables, then `HOME/settings.toml`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from trunkline.core.errors import ConfigError
from trunkline.core.files import storage_errors


def default_home() -> Path:
    """`TRUNKLINE_HOME`, or `.trunkline` in the user's home folder."""
    return Path(os.environ.get("TRUNKLINE_HOME") or Path.home() / ".trunkline")


class Settings(BaseSettings):
    """What a machine's owner can set. Unknown keys are refused."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_", extra="forbid", frozen=True)

    home: Path = Field(default_factory=default_home, description="The only folder that is written to.")
    threads: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=1024,
        description="Threads for decoding and for the trunk; all cores by default.",
    )
    runtime: Literal["auto", "openvino", "onnxruntime", "fake"] = Field(
        default="auto", description="Runtime of the trunk; `auto` measures once and remembers the faster one."
    )
    mlflow_uri: str = Field(default="", description="MLflow tracking URI; empty means SQLite in the home folder.")
    max_pixels: int = Field(
        default=100_000_000, ge=1, description="Largest image, in pixels; a larger one is quarantined unread."
    )
    batch: int = Field(default=16, ge=1, le=1024, description="Images in one run of the trunk.")
    report_pictures: int = Field(
        default=8, ge=0, le=64, description="Most pictures with heat maps of each kind in one report."
    )

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
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, home / "settings.toml")


def load_settings(home: Path | None = None, **options: Any) -> Settings:
    """Read the settings and make sure that the home folder is there and can be written.

    Args:
        home: The `--home` option, if it was given.
        **options: Other options from the command line; None means not given.

    Raises:
        ConfigError: On an unknown key or a wrong value, naming it.
        StorageError: When the home folder cannot be written.
    """
    given = {key: value for key, value in options.items() if value is not None}
    if home is not None:
        given["home"] = home.expanduser()
    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"{first['msg']}, got {first.get('input')!r}",
            where=f"setting {field}",
            fix="mend it in settings.toml, in TRUNKLINE_* or on the command line; docs/settings.md lists all",
        ) from error
    except ValueError as error:  # a settings.toml that is not TOML
        raise ConfigError(str(error), where=str((home or default_home()) / "settings.toml")) from error
    with storage_errors(settings.home):
        try:
            settings.home.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ConfigError(
                "expected a folder, got a file", where=str(settings.home), fix="name another --home"
            ) from error
        probe = settings.home / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    return settings
