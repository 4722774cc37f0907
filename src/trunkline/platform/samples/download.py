"""Fetching one file over HTTPS: resumed when the line breaks, limited in size and time, kept with the right digest."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from trunkline.core.digest import digest_file
from trunkline.core.errors import DataError, InputError
from trunkline.core.files import storage_errors

_CHUNK = 1 << 16
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _TooLargeError(DataError):
    """More bytes came than the file has."""


def download(
    url: str,
    into: Path,
    *,
    sha256: str,
    max_bytes: int,
    timeout: float = 5.0,
    attempts: int = 3,
    deadline: float = 300.0,
) -> Path:
    """Fetch a file, or find it there from before.

    What has come so far is kept beside `into` as `NAME.part`, and a later call goes on from there.

    Args:
        url: An https address; http only on this machine.
        into: Where the file goes; it appears there whole or not at all.
        sha256: The file's digest.
        max_bytes: The most that the file may have.
        timeout: Seconds to connect, and to wait for the next bytes.
        attempts: Tries without a single new byte before giving up.
        deadline: Seconds for everything.

    Raises:
        DataError: When the file cannot be had, is too large, or is not the one with this digest.
        StorageError: When the disk is full or cannot be written.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise InputError("expected an https address", where=url)
    with storage_errors(into):
        if into.is_file() and digest_file(into) == sha256:
            return into
        into.parent.mkdir(parents=True, exist_ok=True)
        part = into.with_name(f"{into.name}.part")
        _fetch(url, part, max_bytes=max_bytes, timeout=timeout, attempts=attempts, deadline=deadline)
        got = digest_file(part)
        if got != sha256:
            part.unlink()
            raise DataError(
                f"expected a file with SHA-256 {sha256}, got {got}; it was thrown away",
                where=url, fix="try again on another network; the address may have changed what it gives",
            )  # fmt: skip
        part.replace(into)
    return into


def _fetch(url: str, part: Path, *, max_bytes: int, timeout: float, attempts: int, deadline: float) -> None:
    until = time.monotonic() + deadline
    failed = 0
    most = _size(part)  # bytes beyond this are progress; a server that has us start over and over again makes none
    reason = ""
    while failed < attempts and time.monotonic() < until:
        try:
            if _receive(url, part, max_bytes, timeout, until):
                return
            reason = "the connection closed before the end of the file"
        except _TooLargeError:
            part.unlink(missing_ok=True)
            raise
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)  # what we have is not a beginning of what is there
            elif error.code < http.client.INTERNAL_SERVER_ERROR:
                break
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", "") or error) or type(error).__name__
        failed = 0 if _size(part) > most else failed + 1
        most = max(most, _size(part))
        if failed:
            time.sleep(0.1 * failed)
    raise DataError(
        f"could not be fetched: {reason or 'no time left'}",
        where=url,
        fix="check the network and run the same command again",
    )


def _receive(url: str, part: Path, max_bytes: int, timeout: float, until: float) -> bool:
    """One request for what is still missing; True when the file has come to its end."""
    have = _size(part)
    headers = {"User-Agent": "trunkline", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (the scheme was checked by the caller)
    with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
        resumed = answer.status == http.client.PARTIAL_CONTENT
        length = answer.headers.get("Content-Length")
        start = have if resumed else 0
        total = start + int(length) if length and length.isdigit() else None
        if total is not None and total > max_bytes:
            raise _TooLargeError(f"expected at most {max_bytes:,} bytes, the server offers {total:,}", where=url)
        got = start
        with part.open("ab" if resumed else "wb") as stream:
            while chunk := answer.read(_CHUNK):
                got += len(chunk)
                if got > max_bytes:
                    raise _TooLargeError(f"expected at most {max_bytes:,} bytes, got more", where=url)
                stream.write(chunk)
                if time.monotonic() > until:
                    return False
    return total is None or got >= total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
