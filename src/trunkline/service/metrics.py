"""What the server counts, in Prometheus' text format. Labels are few, however many models there are."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.process_collector import ProcessCollector

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)
_MODELS = 100
"""Models with counters of their own, the first that are asked; the others share one."""


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # rows that nobody asks for
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._named: set[str] = set()
        self._seconds = Histogram(
            "trunkline_request_seconds", "From the head of a request to its answer.", ["route", "status"],
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._model_images = Counter(
            "trunkline_model_images", f"Images answered by model; above {_MODELS} models: other.", ["model"],
            registry=self._registry,
        )  # fmt: skip
        self._rejected = Counter(
            "trunkline_rejected", "Requests that were refused, by reason.", ["reason"], registry=self._registry
        )
        self._images = Counter("trunkline_images", "Images answered.", registry=self._registry)
        self._batch = Histogram(
            "trunkline_batch_images", "Images in one run of a trunk.", buckets=_IMAGES, registry=self._registry
        )
        self._busy = Counter("trunkline_engine_busy_seconds", "Time that trunks ran.", registry=self._registry)
        self._evicted = Counter(
            "trunkline_connections_closed", "Connections closed by the server, by reason.", ["reason"],
            registry=self._registry,
        )  # fmt: skip

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._seconds.labels(route, f"{status // 100}xx").observe(seconds)

    def images(self, model: str, count: int) -> None:
        """A model answered about so many images."""
        if len(self._named) < _MODELS:
            self._named.add(model)
        self._model_images.labels(model if model in self._named else "other").inc(count)
        self._images.inc(count)

    def rejected(self, reason: str) -> None:
        """A request was refused; `reason` is one of a few words."""
        self._rejected.labels(reason).inc()

    def ran(self, images: int, seconds: float) -> None:
        """A trunk ran on a batch."""
        self._batch.observe(images)
        self._busy.inc(seconds)

    def closed(self, reason: str) -> None:
        """The server closed a connection; `reason` is one of a few words."""
        self._evicted.labels(reason).inc()

    def gauge(self, name: str, what: str, read: Callable[[], float]) -> None:
        """Show a number that is read when it is asked for."""
        Gauge(f"trunkline_{name}", what, registry=self._registry).set_function(read)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)
