"""A Debian package's files without root: apt downloads and verifies it, dpkg-deb unpacks it into a folder of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from trunkline.core.errors import DataError
from trunkline.core.files import storage_errors

_QUICK = ("-q", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=5", "-o", "Acquire::https::Timeout=5")
_SECONDS = 180.0


def unpacked(package: str, into: Path, *, seconds: float = _SECONDS) -> Path:
    """Download a package with this machine's apt sources and unpack it.

    The machine's own package lists are tried first. Where it has none, as in a fresh container, or old ones, lists
    of our own are fetched; nothing outside `into` is written.

    Args:
        package: The package's name.
        into: A folder for the download and the files.
        seconds: The most that each command may take.

    Returns:
        The folder that stands for `/`.

    Raises:
        DataError: When apt is not here or cannot get the package, with its own last words.
        StorageError: When the disk is full or cannot be written.
    """
    apt, dpkg = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or dpkg is None:
        raise DataError("this machine has no apt", where=f"Debian package {package}")
    root = into / "root"
    with storage_errors(into):
        into.mkdir(parents=True, exist_ok=True)
        error = _run([apt, *_QUICK, "download", package], into, seconds)
        if error:
            own = _own_lists(into)
            error = _run([apt, *_QUICK, *own, "update"], into, seconds) or _run(
                [apt, *_QUICK, *own, "download", package], into, seconds
            )
        archives = sorted(into.glob(f"{package}_*.deb"))
        if error or not archives:
            raise DataError(f"apt could not get it: {error or 'no file came'}", where=f"Debian package {package}")
        error = _run([dpkg, "-x", str(archives[-1]), str(root)], into, seconds)
        if error:
            raise DataError(f"dpkg-deb could not unpack it: {error}", where=f"Debian package {package}")
    return root


def _own_lists(into: Path) -> list[str]:
    """Options that keep apt's lists and caches below a folder of ours."""
    lists, cache = into / "lists", into / "cache"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    (cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}", "-o", "Debug::NoLocking=1",
            "-o", "APT::Sandbox::User="]  # fmt: skip


def _run(command: Sequence[str], folder: Path, seconds: float) -> str:
    """Run a command in a folder; its last line of complaint, or "" when it went well."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603 (a list of words, found by shutil.which; no shell)
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=seconds, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no end after {seconds:g} s"
    except OSError as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    complaints = [line for line in lines if line.startswith("E:")] or lines
    return complaints[0] if complaints else f"exit status {done.returncode}"
