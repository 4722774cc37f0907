"""The assembly line: many scenarios through intake, embed, inspect, fit, gate, pack, report, register.

Every station keeps its output under the digest of its inputs (`stations.py`), so the line may be killed anywhere:
the same command goes on where it was. An unchanged scenario is answered from its last result and costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

from trunkline.core.errors import BusyError, InputError, StorageError, TrunklineError
from trunkline.core.files import locked
from trunkline.platform.line.job import Job
from trunkline.platform.line.meter import Meter
from trunkline.platform.line.results import BuildResult, Listener, Outcome, Silent
from trunkline.platform.line.stations import StationStore

if TYPE_CHECKING:
    from trunkline.core.settings import Settings
    from trunkline.core.types.scenario import Scenario

_CHUNK = 32  # scenarios whose features are in memory at once: 32 x 200 images x 1,416 float32 are 36 MB


def run_line(
    scenarios: Sequence[Scenario], settings: Settings, *, listener: Listener | None = None, who: str = "unknown"
) -> Outcome:
    """Build every scenario; one that cannot be built does not stop the others.

    Args:
        scenarios: What is asked for.
        settings: The machine's settings; everything is written below `settings.home`.
        listener: Told of progress.
        who: Name for the audit log.

    Returns:
        Models in the order of the scenarios, and the errors of those that could not be built.

    Raises:
        StorageError: When the disk is full or cannot be written; what was finished is kept.
    """
    line = Line(settings, listener or Silent(), who)
    results = {}
    for result in line.run(scenarios):
        results[result.scenario] = result
    ordered = [results[s.name] for s in scenarios if s.name in results]
    return Outcome(ordered, line.errors)


class Line:
    """One run of the line over many scenarios."""

    def __init__(self, settings: Settings, listener: Listener, who: str) -> None:
        self.settings = settings
        self.listener = listener
        self.who = who
        self.stations = StationStore(settings.home)
        self.meter = Meter()
        self.errors: list[tuple[str, TrunklineError]] = []

    def run(self, scenarios: Sequence[Scenario]) -> Iterator[BuildResult]:
        """Results as they are finished: first the unchanged, then those that are built."""
        jobs = []
        for scenario in scenarios:
            job = Job(scenario, self.settings, self.stations, self.meter)
            with self._survive(job):
                known = job.unchanged()
                if known is None:
                    jobs.append(job)
                else:
                    self.listener.finished(known)
                    yield known
        if jobs:
            with self._alone():
                yield from self._build(jobs)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One build at a time on one home; a second one waits and then finds the first one's work done."""
        lock = self.settings.home / "locks" / "line.lock"
        try:
            with locked(lock, timeout=0):
                yield
            return
        except BusyError as error:
            if error.where != str(lock):
                raise
        self.listener.message("another build is running on this home; waiting for it to finish")
        with locked(lock):
            yield

    @contextmanager
    def _survive(self, job: Job) -> Iterator[None]:
        """Keep the error of one scenario and let the others go on; a full disk stops them all."""
        try:
            yield
        except StorageError:
            raise
        except InputError as error:
            self.errors.append((job.scenario.name, error))
            job.dead = True

    def _build(self, jobs: Sequence[Job]) -> Iterator[BuildResult]:
        from trunkline.platform.registry.registry import Registry

        registry = Registry(self.settings)
        registry.warm()
        for number, job in enumerate(jobs, 1):
            with self._survive(job):
                job.intake(self.listener)
            self.listener.advance("intake", number, len(jobs), "scenarios")
        jobs = [job for job in jobs if not job.dead]
        for _, same in groupby(sorted(jobs, key=lambda j: j.feature_key), key=lambda j: j.feature_key):
            self._embed(list(same))
        done = 0
        total = len(jobs)
        for start in range(0, total, _CHUNK):
            chunk = list(jobs[start : start + _CHUNK])
            for job in chunk:
                with self._survive(job):
                    job.inspect(registry)
            self.listener.advance("inspect", start + len(chunk), total, "scenarios")
            self._fit([job for job in chunk if not job.dead])
            self.listener.advance("fit", start + len(chunk), total, "heads")
            for job in chunk:
                if not job.dead:
                    with self._survive(job):
                        result = job.finish(registry, self.who)
                        self.listener.finished(result)
                        yield result
                job.release()
                done += 1
                self.listener.advance("gate, pack, report, register", done, total, "models")

    def _embed(self, jobs: Sequence[Job]) -> None:
        """Embed the images of many scenarios together, each image once, the trunk kept full."""
        images = list(dict.fromkeys(image for job in jobs for image in job.images))
        if not images:
            return
        store = jobs[0].features
        missing = store.missing(images, dense=jobs[0].dense)
        self.listener.advance("embed", len(images) - len(missing), len(images), "images")
        if missing:
            before = len(images) - len(missing)
            with self.meter.station("embed") as spent:
                store.embed(
                    missing,
                    read=jobs[0].read_images,
                    dense=jobs[0].dense,
                    progress=lambda done, total: self.listener.advance("embed", before + done, before + total, "images"),
                )
            wanted = set(missing)
            shares = [len(wanted.intersection(job.images)) for job in jobs]
            for job, share in zip(jobs, shares, strict=True):
                job.costs.add("embed", spent.share(share / max(1, sum(shares))))
                job.embedded = share

    def _fit(self, jobs: Sequence[Job]) -> None:
        """Fit the heads of many scenarios of one task in one call."""
        for _, same in groupby(sorted(jobs, key=lambda j: j.scenario.task), key=lambda j: j.scenario.task):
            group = list(same)
            waiting = [job for job in group if not job.load_fitted()]
            if not waiting:
                continue
            with self.meter.station("fit") as spent:
                fitted = waiting[0].head_kind.fit([job.fit_job() for job in waiting])
            share = spent.share(1 / len(waiting))
            for job, one in zip(waiting, fitted, strict=True):
                job.keep_fitted(one)
                job.costs.add("fit", share)
