"""ONNX Runtime Web for an exported page: from npm or brought along, and nothing but the bytes that are known here.

The archive and each file that is taken from it are pinned by digest, so it does not matter where they come from.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import InputError
from trunkline.core.files import storage_errors, write_atomic

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Of the archive, as npm's registry gives it (`npm view onnxruntime-web@VERSION dist.integrity`)."""
FILES = {
    "ort.wasm.min.js": "faece07e84faa9001f5104bbe4e5c70861d06cb2376a0dea1fa0ad33a67adc81",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""Files of its folder `dist` that a page needs, with their SHA-256."""
_MOST_ARCHIVE, _MOST_FILE = 64 << 20, 32 << 20  # bytes
_TIMEOUT = 300.0  # seconds for npm, which fetches 33 MB
_SPEC = f"{PACKAGE}@{VERSION}"
_BRING = f"bring it along: run `npm pack {_SPEC}` where there is a network, and name the file with --onnxruntime-web"


def onnxruntime_web(home: Path, *, brought: Path | None, say: Callable[[str], None]) -> dict[str, bytes]:
    """The files of `FILES`, by name.

    Args:
        home: The home folder; what was fetched is kept in `HOME/web`.
        brought: The package as an archive or as a folder, where the user has it.
        say: Told before it is fetched.

    Raises:
        InputError: When it cannot be had, or is not the one that is known here.
        StorageError: When the home cannot be written.
    """
    if brought is not None:
        return _from_folder(brought) if brought.is_dir() else _from_archive(_read(brought, _MOST_ARCHIVE), str(brought))
    kept = home / "web" / f"{PACKAGE}-{VERSION}.tgz"
    data = _read(kept, _MOST_ARCHIVE) if kept.is_file() else b""
    if not _is_known(data):  # not there, or damaged
        say(f"fetching {_SPEC} with npm, once for this home (33 MB)")
        with storage_errors(kept):
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
                data = _fetched(Path(scratch))
        write_atomic(kept, data, durable=False)
    return _from_archive(data, str(kept))


def _fetched(scratch: Path) -> bytes:
    """The archive as `npm pack` brings it; npm writes into `scratch` alone."""
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            f"a page needs {_SPEC}, and npm, which fetches it, is not installed",
            where="--to web",
            fix=f"install npm (Debian: apt install npm), or {_BRING}",
        )
    command = [
        npm, "pack", _SPEC, "--pack-destination", str(scratch), "--cache", str(scratch / "cache"), "--ignore-scripts",
        "--no-update-notifier", "--loglevel=error",
    ]  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603 (a list of our own words, no shell)
            command, cwd=scratch, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise _not_fetched(f"it did not end within {_TIMEOUT:g} s") from error
    found = sorted(scratch.glob("*.tgz"))
    if done.returncode or not found:
        raise _not_fetched(" ".join(done.stderr.split())[-300:] or "it left no archive")
    return _read(found[0], _MOST_ARCHIVE)


def _not_fetched(said: str) -> InputError:
    return InputError(
        f"npm could not fetch {_SPEC}: {said}",
        where="--to web",
        fix=f"check the network and run the same command again, or {_BRING}",
    )


def _integrity(data: bytes) -> str:
    """As npm writes it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def _is_known(data: bytes) -> bool:
    return _integrity(data) == INTEGRITY


def _unknown(where: str, said: str) -> InputError:
    return InputError(f"{said}; nothing of it is used", where=where, fix=_BRING)


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), fix=_BRING) from error
    if len(data) > most:
        raise _unknown(str(path), f"expected at most {most:,} bytes, got more")
    return data


def _from_archive(data: bytes, where: str) -> dict[str, bytes]:
    """Files of an archive; it is not opened unless all its bytes are known."""
    if not _is_known(data):
        got = f"{_integrity(data)[:24]}..."
        raise _unknown(where, f"expected the archive of {_SPEC} ({INTEGRITY[:24]}...), got {got}")
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        for member in archive:
            name = member.name.removeprefix("package/dist/")
            if name in FILES and member.isfile() and member.size <= _MOST_FILE:
                stream = archive.extractfile(member)
                found[name] = stream.read() if stream else b""
    return _checked(found, where)


def _from_folder(folder: Path) -> dict[str, bytes]:
    """Files of a folder: the unpacked package, or its `dist`."""
    places = (folder / "package" / "dist", folder / "dist", folder)
    place = next((place for place in places if (place / next(iter(FILES))).is_file()), folder)
    return _checked({name: _read(place / name, _MOST_FILE) for name in FILES}, str(folder))


def _checked(found: dict[str, bytes], where: str) -> dict[str, bytes]:
    for name, digest in FILES.items():
        got = digest_bytes(found.get(name, b""))
        if got != digest:
            raise _unknown(where, f"expected {name} of {_SPEC} with SHA-256 {digest[:12]}..., got {got[:12]}...")
    return {name: found[name] for name in FILES}
