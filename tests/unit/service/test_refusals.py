"""Errors as answers."""

from __future__ import annotations

import pytest

from trunkline.core.errors import (
    BundleError,
    BusyError,
    ConfigError,
    DataError,
    NotFoundError,
    StorageError,
    TrunklineError,
)
from trunkline.service.refusals import refusal_of

ANSWERS = [
    (DataError("no", where="x", fix="do"), 400, "invalid"),
    (ConfigError("no"), 400, "invalid"),
    (NotFoundError("model", "x", ()), 404, "unknown"),
    (BusyError("no"), 429, "busy"),
    (BundleError("no"), 500, "fault"),
    (StorageError("no"), 503, "storage"),
    (TrunklineError("no"), 500, "fault"),
]


@pytest.mark.parametrize(("error", "status", "reason"), ANSWERS, ids=lambda value: type(value).__name__)
def test_status_follows_from_what_the_caller_can_do(error: TrunklineError, status: int, reason: str) -> None:
    refusal = refusal_of(error)
    assert (refusal.status, refusal.reason, "Retry-After" in refusal.headers) == (status, reason, status == 429)


def test_message_is_one_line() -> None:
    assert (
        refusal_of(DataError("expected a, got b", where="x", fix="do c")).message == "x: expected a, got b; fix: do c"
    )
