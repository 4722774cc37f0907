"""One scenario on its way through the line, up to its fitted head; `finish.py` has the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from trunkline.core.digest import canonical_json, digest_json
from trunkline.core.errors import BundleError, DataError, NotFoundError
from trunkline.core.files import write_atomic
from trunkline.core.types.dataset import Boxed
from trunkline.platform.data.fingerprint import fingerprint
from trunkline.platform.line.meter import Costs, Spent
from trunkline.platform.line.results import BuildResult, Listener
from trunkline.platform.line.stations import RECIPE, StationStore
from trunkline.platform.tables import DamagedTableError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from trunkline.algorithms.heads.base import FitJob, Fitted, Head
    from trunkline.algorithms.trunks import Trunk
    from trunkline.core.types.dataset import Dataset, Truth
    from trunkline.core.types.features import FeatureTable
    from trunkline.core.types.scenario import Scenario
    from trunkline.core.types.view import View
    from trunkline.platform.engine.features import FeatureStore
    from trunkline.platform.line.workshop import Workshop
    from trunkline.platform.registry.registry import Registry
    from trunkline.platform.registry.versions import ModelVersion

_TYPICAL = 8


class Job:
    """A scenario with what its stations have given so far.

    Args:
        scenario: What is asked for.
        shop: What all jobs of the run share.

    Attributes:
        costs: What it has cost by station.
        plan: How its head is fitted, for tasks that have one; and the reason of each key.
        embedded: Its images that the trunk really ran on.
        dead: It cannot be built; its error is with the line.
        champion: The champion when its images were parted: the new model is compared with it, and may take its place.
        champion_fault: Why the champion's bundle cannot be used; None where it can.
        overtaken: Somebody else became champion meanwhile, so that the new model is the challenger.
        taken_off: The champion of the same head that a person took off before, so that the new model is the challenger.
    """

    def __init__(self, scenario: Scenario, shop: Workshop) -> None:
        self.scenario = scenario
        self.shop = shop
        self.costs = Costs()
        self.embedded = 0
        self.dead = False
        self.trunk: Trunk
        self.plan: dict[str, Any] = {}
        self.reasons: dict[str, str] = {}
        self.dataset: Dataset
        self.groups: np.ndarray
        self.champion: ModelVersion | None = None
        self.champion_fault: BundleError | None = None
        self.overtaken = False
        self.taken_off: ModelVersion | None = None
        self._table: FeatureTable | None = None
        self._fitted: Fitted | None = None

    @cached_property
    def head_kind(self) -> Head:
        """The head of the scenario's task."""
        from trunkline.algorithms.heads import HEADS

        kind: Head = HEADS.load(self.scenario.task)()
        return kind

    @cached_property
    def _key(self) -> str:
        """Digest of everything that the result follows from, told without reading an image."""
        from trunkline.algorithms.trunks import stamp

        scenario, settings = self.scenario, self.shop.settings
        return digest_json(
            {
                "recipe": RECIPE,
                "scenario": scenario.model_dump(mode="json"),
                "sources": fingerprint(scenario.data, self.shop.walked, home=settings.home),
                "trunk": stamp(scenario.trunk, settings.home, where=self._where("trunk")),
                "max_pixels": settings.max_pixels,
            }
        )

    def _where(self, field: str) -> str:
        return f"scenario {self.scenario.name}: {field}"

    def unchanged(self, registry: Registry) -> BuildResult | None:
        """The result of the same scenario on the same files, if its model is still there.

        One that failed by the machine's figures alone is not given: the gate measures again, on what is kept.
        """
        from pathlib import Path

        path = self.shop.settings.home / "results" / f"{self._key}.json"
        try:
            known = BuildResult.from_json(json.loads(path.read_bytes()))
            version = registry.find(f"{known.name}@{known.version}")
            files = [Path(known.bundle), Path(known.report)]
        except (FileNotFoundError, ValueError, TypeError, NotFoundError):  # never built, or not there any more
            return None
        there = version.digest == known.digest and all(file.is_file() and file.stat().st_size for file in files)
        if not there or known.may_pass_again:
            return None
        return replace(known.unchanged(), alias=version.alias)  # people move aliases

    def keep_result(self, result: BuildResult) -> None:
        """Remember the result for `unchanged`."""
        path = self.shop.settings.home / "results" / f"{self._key}.json"
        write_atomic(path, canonical_json(result.to_json()), durable=False)

    def intake(self, listener: Listener) -> None:
        """Read the sources, and look at them as the task does.

        Raises:
            DataError: When nothing can be learned from them.
        """
        from trunkline.platform.data.view import for_task

        scenario, shop = self.scenario, self.shop
        # Outside the costs: its export is done once a machine, not for this scenario.
        self.trunk = shop.trunk(scenario.trunk, where=self._where("trunk"), say=listener.message)
        with shop.meter.station("intake", self.costs):
            raw = self._taken_in(listener)
            # By content: what files are called must not change a single bit of the model.
            ordered = tuple(sorted(raw.samples, key=lambda s: (s.image, s.labels, s.name)))
            self.dataset = for_task(replace(raw, samples=ordered), scenario.task, scenario.labels)
        self._decide(listener)

    def _decide(self, listener: Listener) -> None:
        """Make the plan, for tasks that have one, and take the trunk at the side that it says."""
        from trunkline.algorithms.heads.detect.plan import decide
        from trunkline.algorithms.trunks.sized import parse
        from trunkline.platform.data.view import truths
        from trunkline.platform.line.plans import write_plan

        scenario, shop = self.scenario, self.shop
        if scenario.task != "detect":
            return
        boxes = [truth.shares() for truth in truths(scenario.task, self.dataset.samples) if isinstance(truth, Boxed)]
        spec, side = parse(scenario.trunk)
        where = self._where("")[: -len(": ")]
        self.plan, self.reasons = decide(scenario.plan, boxes, self.trunk.card, side, where=where)
        if self.plan["side"] != self.trunk.card.size:
            sized = f"{spec}@{self.plan['side']}"
            self.trunk = shop.trunk(sized, where=self._where("trunk"), say=listener.message)
        write_plan(shop.settings.home, scenario.name, self.plan, self.reasons)

    def _taken_in(self, listener: Listener) -> Dataset:
        """The sources as they are; what files that were read earlier have cost is counted as spent before."""
        from trunkline.platform.data.intake import folder_of
        from trunkline.platform.line.kept import add_images, image_seconds

        shop, sources = self.shop, self.scenario.data
        fresh, start = 0, shop.meter.cpu()

        def told(done: int, total: int) -> None:
            nonlocal fresh
            fresh += 1  # `done` begins anew with each source
            listener.advance("read", done, total, "images")

        raw = shop.intake.take_in(sources, name=self.scenario.name, progress=told)
        key = StationStore.key({"folders": sorted({str(folder_of(source.path)) for source in sources})})
        if fresh:
            add_images(shop.stations, "intake", key, shop.meter.cpu() - start, fresh)
        files = len({(sample.image, sample.name) for sample in raw.samples})  # several lists may name the same
        self.costs.before += image_seconds(shop.stations, "intake", key) * max(0, files - fresh)
        return raw

    @property
    def dense(self) -> tuple[str, ...]:
        return self.head_kind.dense

    @property
    def feature_key(self) -> tuple[str, tuple[str, ...]]:
        """Jobs of one key are embedded together."""
        return self.trunk.card.digest, self.dense

    @property
    def images(self) -> tuple[str, ...]:
        """Digests of its images."""
        return tuple(sample.image for sample in self.dataset.samples)

    @property
    def features(self) -> FeatureStore:
        return self.shop.features(self.trunk)

    def read_images(self, images: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Digest and bytes of images; where what is kept of them is damaged, the sources are taken in again."""
        done = 0
        try:
            for pair in self.shop.images.read(images):
                yield pair
                done += 1
        except (DamagedTableError, NotFoundError):  # moved aside, now or for another scenario
            self.shop.intake.take_in(self.scenario.data, name=self.scenario.name)
            yield from self.shop.images.read(images[done:])

    def pictures(self, images: Sequence[str]) -> Iterator[tuple[str, Image.Image]]:
        """Digest and decoded picture of images, one at a time: all of them together may not fit in memory."""
        from trunkline.core.images import decode

        for image, data in self.read_images(images):
            yield image, decode(data, max_pixels=self.shop.settings.max_pixels)

    @property
    def table(self) -> FeatureTable:
        """Features of all its images, in the order of the samples."""
        if self._table is None:
            self._table = self.features.ensure(self.images, read=self.read_images, dense=self.dense)
        return self._table

    @cached_property
    def typical(self) -> list[tuple[str, bytes]]:
        """Digest and bytes of a few training images, labels in turn; which they are follows from content alone."""
        by_label: dict[str, list[str]] = {}
        for row in self.rows("train"):
            sample = self.dataset.samples[row]
            by_label.setdefault(sample.labels[0] if sample.labels else "", []).append(sample.image)
        ranked = [sorted(images) for _, images in sorted(by_label.items())]
        turns = [images[i] for i in range(max(map(len, ranked))) for images in ranked if i < len(images)]
        return list(self.read_images(turns[:_TYPICAL]))

    @property
    def feature_bytes(self) -> int:
        """What its features weigh in memory."""
        card = self.trunk.card
        maps = sum(tap.channels * (card.size // tap.stride) ** 2 for tap in card.taps if tap.name in self.dense)
        return 4 * len(self.dataset.samples) * (card.width + maps)

    def rows(self, split: str) -> list[int]:
        """Rows of the samples of one split."""
        return [row for row, sample in enumerate(self.dataset.samples) if sample.split == split]

    def inspect(self, registry: Registry) -> None:
        """Find near-duplicates, put images aside for the gate, and say what a person should look at."""
        import numpy as np

        from trunkline.platform.data.alike import near_duplicates
        from trunkline.platform.data.inspect import held_back, look
        from trunkline.platform.data.split import split
        from trunkline.platform.line.kept import inspected_of

        scenario, stations, meter = self.scenario, self.shop.stations, self.shop.meter
        with meter.station("inspect", self.costs):
            start = meter.cpu()
            self._find_champion(registry)
            tested = self.champion_dataset(self.champion) if self.champion and not self.champion_fault else None
            key = stations.key(
                {
                    "dataset": self.dataset.digest,
                    "names": [sample.name for sample in self.dataset.samples],
                    "trunk": self.trunk.card.digest,
                    "split": scenario.split.model_dump(mode="json"),
                    "champion": tested.digest if tested else "",
                }
            )
            known = inspected_of(stations, key, images=len(self.images))
            if known is not None:
                self.costs.before += known["cpu_seconds"]
            else:
                with self.shop.blas.limit(len(self.images)):
                    alike = near_duplicates(self.table.pooled, self.images)
                    frozen = self.frozen_images(tested) if tested else frozenset()
                parted = split(self.dataset, self.table, scenario.split, alike.groups, frozen=frozen)
                found = [*parted.findings[len(self.dataset.findings) :], *held_back(parted, frozen, tested)]
                known = {
                    "splits": [sample.split for sample in parted.samples],
                    "groups": alike.groups.tolist(),
                    "findings": [finding.to_json() for finding in (*found, *look(parted, alike))],
                    "cpu_seconds": meter.cpu() - start,
                }
                stations.put_json("inspect", key, known)
            self._part(known)
            self.groups = np.asarray(known["groups"], np.int64)

    def _find_champion(self, registry: Registry) -> None:
        """Look the champion up; its bundle is brought here, or mended, where a copy of it is kept."""
        self.champion = registry.champion(self.scenario.name)
        if self.champion is not None:
            try:
                registry.resolve(self.champion.ref)
            except BundleError as error:
                self.champion_fault = error

    def _part(self, known: dict[str, Any]) -> None:
        from trunkline.core.types.dataset import Finding

        samples = tuple(
            replace(sample, split=side) for sample, side in zip(self.dataset.samples, known["splits"], strict=True)
        )
        findings = (*self.dataset.findings, *(Finding.from_json(row) for row in known["findings"]))
        self.dataset = replace(self.dataset, samples=samples, findings=findings)
        for side, purpose in (("train", "learn from"), ("test", "measure on")):
            if not self.dataset.split(side):
                raise DataError(
                    f"expected images to {purpose}, found none: all are in the other part",
                    where=self.scenario.name,
                    fix="bring both a train and a test part, or neither: the line then splits the images itself, which "
                    "needs pictures that are not all nearly the same",
                )

    def frozen_images(self, tested: Dataset) -> frozenset[str]:
        """Images that are never learned from: the champion's test set, and new ones that are nearly the same.

        One that the champion learned from is dealt like any other: it is no nearer to the test set than it was then.

        Args:
            tested: The data set that the champion was measured on.
        """
        import numpy as np

        from trunkline.platform.data.alike import near_any

        frozen = {sample.image for sample in tested.split("test")}
        new = set(self.images).difference(sample.image for sample in tested.samples)
        if not new:
            return frozenset(frozen)
        gone = [image for image in sorted(frozen.difference(self.images)) if self.shop.images.has(image)]
        pooled = self.table.pooled
        if gone:  # not in the sources any more: what is there may be the same pictures, saved again
            pooled = np.concatenate([pooled, self.features.ensure(gone, read=self.read_images).pooled])
        images = (*self.images, *gone)
        near = near_any(pooled, [row for row, image in enumerate(images) if image in frozen])
        return frozenset(
            frozen.union(image for image, is_near in zip(images, near, strict=True) if is_near and image in new)
        )

    def champion_dataset(self, champion: ModelVersion) -> Dataset | None:
        """The data set that a champion was measured on, or None when this home does not have it."""
        from trunkline.platform.registry.bundle import read

        try:
            test = read(champion.path).manifest.test
            return self.shop.data.by_digest(self.scenario.name, test.dataset) if test else None
        except NotFoundError:
            return None

    def truths(self, split: str) -> tuple[Truth, ...]:
        """What is true of the images of one split."""
        from trunkline.platform.data.view import truths

        return truths(self.scenario.task, [self.dataset.samples[row] for row in self.rows(split)])

    def _seen(self, view: View) -> FeatureTable:
        """Features of the training images in another view; made when they are not there."""
        from trunkline.platform.engine.features import FeatureStore

        images = [self.images[row] for row in self.rows("train")]
        store = FeatureStore(self.shop.settings, self.trunk, view)
        return store.ensure(images, read=self.read_images, dense=self.dense)

    def fit_job(self, listener: Listener) -> FitJob:
        """What the head learns from.

        Args:
            listener: Told of progress, by heads that learn in steps.
        """
        from trunkline.algorithms.heads.base import FitJob

        rows = self.rows("train")
        boxes = tuple(truth.shares() for truth in self.truths("train") if isinstance(truth, Boxed))
        return FitJob(
            name=self.scenario.name,
            labels=self.dataset.labels,
            table=self.table.take(rows),
            targets=tuple(self.dataset.samples[row].labels for row in rows),
            groups=self.groups[rows],
            operating_point=self.scenario.operating_point,
            seed=self.scenario.split.seed,
            channels=tuple(tap.channels for tap in self.trunk.card.taps),
            strides=tuple(tap.stride for tap in self.trunk.card.taps),
            boxes=boxes,
            plan=self.plan,
            views=self._seen,
            threads=self.shop.settings.threads,
            progress=lambda done, total: listener.advance(f"learn {self.scenario.name}", done, total, "steps"),
            say=listener.message,
        )

    @cached_property
    def _fit_key(self) -> str:
        return StationStore.key(
            {
                "dataset": self.dataset.digest,
                "images": list(self.images),
                "trunk": self.trunk.card.digest,
                "groups": self.groups.tolist(),
                "task": self.scenario.task,
                "operating_point": self.scenario.operating_point.model_dump(mode="json"),
                "seed": self.scenario.split.seed,
                **({"plan": self.plan} if self.plan else {}),
            }
        )

    def load_fitted(self) -> bool:
        """Take the head from an earlier run on the same inputs; whether there is one."""
        from trunkline.platform.line.kept import fitted_of

        known = fitted_of(
            self.shop.stations,
            self._fit_key,
            kind=self.head_kind,
            labels=self.dataset.labels,
            taps=self.trunk.card.maps(),
            rows=len(self.rows("train")),
        )
        if known is None:
            return False
        self._fitted, cpu_seconds = known
        self.costs.before += cpu_seconds
        return True

    def keep_fitted(self, fitted: Fitted, spent: Spent) -> None:
        """Take the head, and keep it for a run that is started again."""
        from trunkline.platform.line.kept import pack_fitted

        self._fitted = fitted
        self.costs.add("fit", spent)
        self.shop.stations.put("fit", self._fit_key, pack_fitted(fitted, spent.cpu))

    @property
    def fitted(self) -> Fitted:
        """The fitted head.

        Raises:
            RuntimeError: Before `load_fitted` or `keep_fitted` gave one.
        """
        if self._fitted is None:
            raise RuntimeError(f"{self.scenario.name}: expected a fitted head, got none yet")
        return self._fitted

    def release(self) -> None:
        """Free the features."""
        self._table = None
        self._fitted = None
        self.__dict__.pop("typical", None)
