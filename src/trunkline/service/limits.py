"""What the server allows: nothing that somebody outside can make larger is without a bound."""

from __future__ import annotations

from dataclasses import dataclass

MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Bounds of one server.

    Attributes:
        body_bytes: Largest body of a request.
        held_bytes: Bodies of all requests together.
        header_bytes: Largest head of a request, and what may stand round the parts of its body.
        images: Images in one request.
        waiting: Images of all requests that wait for their answers; who comes then is told to come again.
        requests: Requests under way.
        connections: Open connections; above, the one that was silent for longest is closed.
        header_seconds: For the head of a request to arrive.
        body_seconds: For its body to arrive.
        answer_seconds: From then to the answer.
        idle_seconds: For the next request of a connection to begin.
        drain_seconds: For requests under way to be answered once the server is told to end.
        loads: Changes of the models that wait for their turn.
        change_seconds: From when one is asked for to its answer; it goes on after that.
    """

    body_bytes: int = 32 * MB
    held_bytes: int = 256 * MB
    header_bytes: int = 64 << 10
    images: int = 64
    waiting: int = 256
    requests: int = 256
    connections: int = 2_048
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    answer_seconds: float = 30.0
    idle_seconds: int = 75
    drain_seconds: float = 20.0
    loads: int = 16
    change_seconds: float = 120.0
