"""What a client is told when it does not get an answer: HTTP codes live here and nowhere below."""

from __future__ import annotations

from trunkline.core.errors import BundleError, BusyError, InputError, NotFoundError, StorageError, TrunklineError


class Refusal(Exception):
    """A request that is answered by an error.

    Args:
        status: HTTP status.
        reason: One of a few words, for the metrics.
        message: For the client.
        headers: More headers of the answer.
    """

    def __init__(self, status: int, reason: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.headers = headers or {}


def refusal_of(error: TrunklineError) -> Refusal:
    """An error of ours as an answer."""
    message = str(error).replace("\n  fix: ", "; fix: ")
    if isinstance(error, BusyError):
        return busy(message)
    if isinstance(error, NotFoundError):
        return Refusal(404, "unknown", message)
    if isinstance(error, StorageError):  # a disk that is full or gone: no fault of the request, and it may pass
        return Refusal(503, "storage", message)
    if isinstance(error, InputError) and not isinstance(error, BundleError):
        return Refusal(400, "invalid", message)
    return Refusal(500, "fault", message)


def busy(message: str) -> Refusal:
    """Come again in a second."""
    return Refusal(429, "busy", message, {"Retry-After": "1"})


def too_large(most: int) -> Refusal:
    """A body over the limit."""
    return Refusal(413, "too large", f"expected a body of at most {most:,} bytes; send fewer or smaller images")


def draining() -> Refusal:
    """The server is about to end."""
    return Refusal(503, "draining", "this server is about to end; ask another one", {"Connection": "close"})
