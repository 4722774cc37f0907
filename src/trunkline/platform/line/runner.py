"""The assembly line: many scenarios through intake, embed, inspect, fit, gate, pack, report, register.

Every station keeps its output under the digest of its inputs (`stations.py`), so the line may be killed anywhere:
the same command goes on where it was. An unchanged scenario is answered from its last result and costs nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

from trunkline.core.errors import BusyError, InputError, StorageError, TrunklineError
from trunkline.core.files import locked
from trunkline.platform.line.finish import finish
from trunkline.platform.line.job import Job
from trunkline.platform.line.kept import add_images, image_seconds
from trunkline.platform.line.meter import Spent
from trunkline.platform.line.results import BuildResult, Listener, Outcome, Silent
from trunkline.platform.line.stations import StationStore
from trunkline.platform.line.workshop import Workshop
from trunkline.platform.registry.registry import Registry
from trunkline.platform.registry.versions import CHALLENGER

if TYPE_CHECKING:
    from trunkline.algorithms.heads.base import Fitted
    from trunkline.core.settings import Settings
    from trunkline.core.types.scenario import Scenario

_CHUNK = 32  # scenarios fitted in one call
_CHUNK_BYTES = 256 << 20  # features in memory at once; a scenario that is larger goes alone


def run_line(
    scenarios: Sequence[Scenario],
    settings: Settings,
    *,
    listener: Listener | None = None,
    who: str = "unknown",
    overview: str = "",
) -> Outcome:
    """Build every scenario; one that cannot be built does not stop the others.

    Args:
        scenarios: What is asked for.
        settings: The machine's settings; everything is written below `settings.home`.
        listener: Told of progress.
        who: Name for the audit log.
        overview: File in `HOME/reports` that the reports lead back to; the caller writes it when all are built.

    Returns:
        Models in the order of the scenarios, and the errors of those that could not be built.

    Raises:
        StorageError: When the disk is full or cannot be written; what was finished is kept.
    """
    line = Line(settings, listener or Silent(), who)
    line.shop.overview = overview
    try:
        with line.shop.blas.limit(0):
            results = {result.scenario: result for result in line.run(scenarios)}
    finally:
        line.shop.close()
    ordered = [results[s.name] for s in scenarios if s.name in results]
    return Outcome(ordered, line.errors)


class Line:
    """One run of the line over many scenarios.

    Args:
        settings: The machine's settings.
        listener: Told of progress.
        who: Name for the audit log.

    Attributes:
        errors: Scenarios that could not be built, and why.
    """

    def __init__(self, settings: Settings, listener: Listener, who: str) -> None:
        self.settings = settings
        self.listener = listener
        self.who = who
        self.shop = Workshop(settings)
        self.registry = Registry(settings)
        self.errors: list[tuple[str, TrunklineError]] = []

    def run(self, scenarios: Sequence[Scenario]) -> Iterator[BuildResult]:
        """Results as they are finished: first the unchanged, then those that are built."""
        jobs = yield from self._unchanged([Job(scenario, self.shop) for scenario in scenarios])
        if not jobs:
            return
        with self._alone() as waited:
            if waited:  # somebody else may have built the same
                self.shop.walked.clear()
                jobs = yield from self._unchanged([Job(job.scenario, self.shop) for job in jobs])
            if jobs:
                yield from self._build(jobs)

    def _unchanged(self, jobs: Sequence[Job]) -> Generator[BuildResult, None, list[Job]]:
        """Answer what needs no work.

        Returns:
            The jobs that do.
        """
        todo: list[Job] = []
        for job in jobs:
            with self._survive(job):
                known = job.unchanged(self.registry)
                if known is None:
                    todo.append(job)
                else:
                    self.listener.finished(known)
                    yield known
        return todo

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """One build at a time on one home; gives whether another one had to be waited for."""
        lock = self.settings.home / "locks" / "line.lock"
        with ExitStack() as held:
            try:
                held.enter_context(locked(lock, timeout=0))
                waited = False
            except BusyError:
                self.listener.message("another build is running on this home; waiting for it to finish")
                held.enter_context(locked(lock))
                waited = True
            yield waited

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
        if lost := self.registry.lost():  # before a new file is made
            self.listener.message(str(lost))
        self.shop.meter.aside(self.registry.warm)  # no scenario waits for it, or is charged for it
        for number, job in enumerate(jobs, 1):
            with self._survive(job):
                job.intake(self.listener)
            self.listener.advance("intake", number, len(jobs), "scenarios")
        alive = [job for job in jobs if not job.dead]
        # Dense maps first: that run of the trunk gives the pooled features as well.
        by_trunk = sorted(alive, key=lambda job: (job.feature_key[0], -len(job.dense)))
        for _, same in groupby(by_trunk, key=lambda job: job.feature_key):
            group = list(same)
            try:
                self._embed(group)
            except StorageError:
                raise
            except InputError:  # one of them cannot be embedded: each by itself tells which
                for job in group:
                    with self._survive(job):
                        self._embed([job])
        done = 0
        alive = [job for job in alive if not job.dead]
        for chunk in _chunks(alive):
            for job in chunk:
                with self._survive(job):
                    job.inspect(self.registry)
                    self._tell_of_champion(job)
            self.listener.advance("inspect", done + len(chunk), len(alive), "scenarios")
            self._fit([job for job in chunk if not job.dead])
            self.listener.advance("fit", done + len(chunk), len(alive), "heads")
            for job in chunk:
                if not job.dead:
                    with self._survive(job):
                        result = finish(job, self.registry, self.who)
                        self._tell_of_alias(job, result)
                        self.listener.finished(result)
                        yield result
                job.release()
                done += 1
                self.listener.advance("gate, pack, report, register", done, len(alive), "models")

    def _embed(self, jobs: Sequence[Job]) -> None:
        """Embed the images of many scenarios together, each image once, the trunk kept full."""
        images = list(dict.fromkeys(image for job in jobs for image in job.images))
        store, dense = jobs[0].features, jobs[0].dense
        missing = store.missing(images, dense=dense)
        before = len(images) - len(missing)
        self.listener.advance("embed", before, len(images), "images")
        spent = Spent()
        known = StationStore.key({"trunk": jobs[0].trunk.card.digest, "dense": list(dense)})
        if missing:
            with self.shop.meter.station("embed") as spent:
                store.embed(
                    missing,
                    read=jobs[0].read_images,
                    dense=dense,
                    session=self.shop.session(jobs[0].trunk, dense=bool(dense)),  # the gate times the same one
                    progress=lambda done, _: self.listener.advance("embed", before + done, len(images), "images"),
                )
            add_images(self.shop.stations, "embed", known, spent.cpu, len(missing))
        an_image = image_seconds(self.shop.stations, "embed", known)
        wanted = set(missing)
        shares = [len(wanted.intersection(job.images)) for job in jobs]
        for job, share in zip(jobs, shares, strict=True):
            job.embedded = share
            job.costs.before += an_image * (len(job.images) - share)
            if missing:
                job.costs.add("embed", spent.share(share / max(1, sum(shares))))

    def _tell_of_champion(self, job: Job) -> None:
        """Say that a champion cannot be used; the build goes on, since it may be what puts it right."""
        if job.champion is not None and job.champion_fault is not None:
            self.listener.message(
                f"{job.scenario.name}: the champion {job.champion.ref} cannot be used: {job.champion_fault}\n"
                "  the build goes on; the new model cannot be compared with it, nor keep clear of its test images"
            )

    def _tell_of_alias(self, job: Job, result: BuildResult) -> None:
        """Say that somebody moved the champion while its successor was built, or took this very model off before."""
        if result.alias != CHALLENGER or not (job.overtaken or job.taken_off):
            return
        ref = f"{result.name}@{result.version}"
        why = f"the champion was changed while version {result.version} was built"
        if job.taken_off is not None:
            why = f"version {job.taken_off.version}, which has the same head, was taken off as champion"
        self.listener.message(
            f"{result.name}: {why}; version {result.version} waits as the challenger, "
            f"`trunkline models promote {shlex.quote(ref)}` makes it the champion"
        )

    def _fit_together(self, jobs: Sequence[Job]) -> Sequence[Fitted] | None:
        """Heads of jobs of one task in one call; None when one of several cannot be fitted."""
        try:
            return jobs[0].head_kind.fit([job.fit_job(self.listener) for job in jobs])
        except InputError:
            return None

    def _fit(self, jobs: Sequence[Job]) -> None:
        """Fit the heads of many scenarios of one task in one call."""
        for _, same in groupby(sorted(jobs, key=lambda j: j.scenario.task), key=lambda j: j.scenario.task):
            waiting = [job for job in same if not job.load_fitted()]
            if not waiting:
                continue
            with self.shop.meter.station("fit") as spent:
                fitted = self._fit_together(waiting)
            if fitted is None:  # one of them cannot be fitted: each by itself tells which
                for job in waiting:
                    with self._survive(job):
                        with self.shop.meter.station("fit") as spent:
                            (one,) = job.head_kind.fit([job.fit_job(self.listener)])
                        job.keep_fitted(one, spent)
                continue
            share = spent.share(1 / len(waiting))
            for job, one in zip(waiting, fitted, strict=True):
                job.keep_fitted(one, share)


def _chunks(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Jobs that go through the stations together, by what their features weigh."""
    chunk: list[Job] = []
    weight = 0
    for job in jobs:
        if chunk and (len(chunk) == _CHUNK or weight + job.feature_bytes > _CHUNK_BYTES):
            yield chunk
            chunk, weight = [], 0
        chunk.append(job)
        weight += job.feature_bytes
    if chunk:
        yield chunk
