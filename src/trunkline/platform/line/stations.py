"""Outputs of stations, kept under the digest of their inputs: killed and started again, nothing is done twice."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trunkline.core.digest import canonical_json, digest_json
from trunkline.core.files import storage_errors

RECIPE = 4
"""Part of every key. Raise it when a station computes something else from the same inputs."""


class StationStore:
    """Files of finished stations under `HOME/stations/STATION/DIGEST/`.

    An output is a folder that appears at once or not at all.
    """

    def __init__(self, home: Path) -> None:
        self.root = home / "stations"

    @staticmethod
    def key(inputs: Mapping[str, Any]) -> str:
        """Digest of a station's inputs, JSON only."""
        return digest_json({"recipe": RECIPE, **inputs})

    def folder(self, station: str, key: str) -> Path:
        return self.root / station / key[:2] / key

    def get(self, station: str, key: str) -> dict[str, bytes] | None:
        """The files of an output, or None when the station has not finished on these inputs."""
        folder = self.folder(station, key)
        try:
            return {path.name: path.read_bytes() for path in folder.iterdir()}
        except FileNotFoundError:
            return None
        except (NotADirectoryError, IsADirectoryError):  # not by us
            self.drop(station, key)
            return None

    def drop(self, station: str, key: str) -> None:
        """Remove an output that cannot be used, so that it is made again."""
        folder = self.folder(station, key)
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.unlink(missing_ok=True)

    def get_json(self, station: str, key: str) -> Any:
        """The `output.json` of an output, or None; one that cannot be read is removed, so that it is made again."""
        files = self.get(station, key)
        if files is None:
            return None
        try:
            value = json.loads(files["output.json"])
        except (KeyError, ValueError, RecursionError):  # a cut of power may have kept the name and lost the bytes
            value = None
        if value is None:
            self.drop(station, key)
        return value

    def put(self, station: str, key: str, files: Mapping[str, bytes]) -> None:
        """Keep an output; of two processes that finish the same one, the first wins.

        Raises:
            StorageError: When the disk is full or cannot be written; nothing half is left under the key.
        """
        folder = self.folder(station, key)
        part = folder.with_name(f".{key[:16]}.{secrets.token_hex(6)}.part")
        with storage_errors(folder):
            try:
                part.mkdir(parents=True)
                for name, data in files.items():
                    (part / name).write_bytes(data)
                os.rename(part, folder)  # noqa: PTH104 (Path.rename has the same words and hides ENOTEMPTY)
            except OSError:
                shutil.rmtree(part, ignore_errors=True)
                if not folder.is_dir():
                    raise
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                raise

    def put_json(self, station: str, key: str, value: Any) -> None:
        """Keep one JSON value as an output."""
        self.put(station, key, {"output.json": canonical_json(value)})
