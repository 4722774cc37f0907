"""The models that are served: brought in from a home's registry or from files, swapped and removed while requests run.

A request holds a lease on the one bundle that answers it. A bundle that is no longer served stays in the engine until
its last lease ends, so that all images of a request are answered by the same bundle, whatever is swapped meanwhile.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from trunkline.core.errors import InputError, NotFoundError, TrunklineError
from trunkline.platform.engine.precision import way_for
from trunkline.platform.registry.keys import trusted_keys
from trunkline.platform.registry.references import file_of
from trunkline.platform.registry.registry import Registry
from trunkline.platform.registry.use import check_head, trunk_of
from trunkline.platform.registry.versions import CHAMPION, ModelVersion
from trunkline.service.served import Served, model_of

if TYPE_CHECKING:
    from trunkline.algorithms.trunks import Trunk
    from trunkline.compute.chips.base import Way
    from trunkline.core.settings import Settings
    from trunkline.core.types.bundle import Bundle
    from trunkline.platform.engine.engine import Engine

ALL = f"*@{CHAMPION}"
"""What is served when nothing is named."""
_TOGETHER = 256
"""Models that are put into the engine at once; their heads are held twice while that is done."""
_LONGEST = 300  # characters of a name that is looked for
Slot = tuple[str, str]
"""What named a model, and its name: a reference may be a pattern; a file stands for itself."""
Place = tuple[Path, ModelVersion | None]


class Lease:
    """A model that stays in the engine until this is released; a context manager."""

    def __init__(self, catalogue: Catalogue, served: Served) -> None:
        self.served = served
        self._catalogue = catalogue

    def __enter__(self) -> Served:
        return self.served

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._catalogue.release(self.served.digest)


@dataclass
class _Change:
    """One change under way: what each slot will serve, what did not load, what waits to be put into the engine."""

    slots: dict[Slot, Served] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, list[tuple[Slot, Served, Bundle]]] = field(default_factory=lambda: defaultdict(list))
    put: set[str] = field(default_factory=set)


class Catalogue:
    """What is served, and from where it came.

    Reads may come from any thread; changes wait for each other, take as long as models take to load, and are seen by
    requests all at once.

    Args:
        settings: The home.
        refs: Bundle files, and NAME[@VERSION|@ALIAS] with `*` and `?`; empty: every champion.
        engine: Gets the models.
        say: Told what the operator should know, one sentence each.
    """

    def __init__(self, settings: Settings, refs: Sequence[str], engine: Engine, *, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.engine = engine
        self.registry = Registry(settings)
        self.failed: Mapping[str, str] = {}
        self._refs = tuple(refs) or (ALL,)
        self._say = say
        self._pinned: dict[str, str | None] = {}
        self._slots: Mapping[Slot, Served] = {}
        self._table: Mapping[str, tuple[Served, ...]] = {}
        self._trunks: dict[str, Trunk] = {}
        self._warm: set[tuple[str, Way | None, bool]] = set()
        self._leases: Counter[str] = Counter()
        self._retired: set[str] = set()
        self._lock = threading.Lock()  # of what requests read; never held for long
        self._changing = threading.Lock()
        self._janitor = ThreadPoolExecutor(1, "retire")

    # What requests ask.

    @property
    def table(self) -> Mapping[str, tuple[Served, ...]]:
        """Name -> the versions served, that one first which answers where no version is named."""
        return self._table

    @property
    def trunks(self) -> set[str]:
        """Digests of the trunks that are held open."""
        return {one.trunk_digest for versions in self._table.values() for one in versions}

    def get(self, name: str, version: str | None = None) -> Served | None:
        """The model that a request names, or None."""
        versions = self._table.get(name, ())
        return next((one for one in versions if version in (None, one.version)), None)

    def lease(self, name: str, version: str | None = None) -> Lease | None:
        """As `get`, held in the engine until it is released."""
        with self._lock:
            served = self.get(name, version)
            if served is None:
                return None
            self._leases[served.digest] += 1
            return Lease(self, served)

    def release(self, digest: str) -> None:
        """End a lease."""
        with self._lock:
            self._leases[digest] -= 1
            if self._leases[digest] > 0:
                return
            del self._leases[digest]
            if digest in self._retired:
                self._janitor.submit(self._retire)  # it may close a trunk, which takes a while

    def missing(self, name: str, version: str | None = None) -> NotFoundError:
        """The error for a model that is not served, with near names; it takes a while where there are many."""
        versions = self._table.get(name)
        if versions is None:
            return NotFoundError("model", name[:_LONGEST], self._table)
        return NotFoundError("version", (version or "")[:_LONGEST], [one.version for one in versions], where=name)

    # What changes it.

    def refresh(self) -> None:
        """Serve what the references stand for now; a model that cannot be loaded stays as it was, and is told."""
        with self._changing:
            change = _Change()
            self._bring(self._wanted(change.failed), change)
            self._tell(change.failed)
            self._publish(change.slots, change.put)

    def load(self, name: str, version: str | None = None) -> Served:
        """Serve the champion of a model, or one version of it, in the place of all versions of it that are served.

        Raises:
            NotFoundError: When this home has no such version.
            InputError: When it cannot be used; what was served stays.
        """
        ref = f"{name}@{version or CHAMPION}"
        with self._changing:
            if file_of(ref) is not None or "*" in name or "?" in name:  # clients name no files of this machine
                raise NotFoundError("model", name[:_LONGEST], [row["name"] for row in self.registry.ls()])
            change = _Change()
            wanted: dict[Slot, Place | None] = {slot: None for slot, one in self._slots.items() if one.name != name}
            wanted[ref, name] = self.registry.look(ref)[0]
            self._bring(wanted, change)
            if change.failed:
                raise InputError("; ".join(change.failed.values()).replace("\n  fix: ", "; fix: "))
            self._pinned[name] = ref
            self._publish(change.slots, change.put)
            return change.slots[ref, name]

    def unload(self, name: str) -> None:
        """Serve a model no longer, until it is loaded again.

        Raises:
            NotFoundError: When it is not served.
        """
        with self._changing:
            if name not in self._table:
                raise self.missing(name)
            self._pinned[name] = None
            self._publish({slot: one for slot, one in self._slots.items() if one.name != name})

    def close(self) -> None:
        """End, once no request is under way."""
        self._janitor.shutdown()
        self.engine.close()

    def _wanted(self, failed: dict[str, str]) -> dict[Slot, Place | None]:
        """What the references stand for; None: as it is served now. What names nothing goes to `failed`."""
        wanted: dict[Slot, Place | None] = {}
        for ref in self._refs:
            known = [slot for slot in self._slots if slot[0] == ref]
            if known and file_of(ref) is not None:
                wanted.update(dict.fromkeys(known))
                continue
            try:
                for path, version in self.registry.look(ref):
                    wanted[ref, version.name if version else str(path)] = (path, version)
            except TrunklineError as error:  # the name is wrong, or the registry cannot be read at this moment
                failed[ref] = str(error)
                wanted.update(dict.fromkeys(known))
        for name, pin in self._pinned.items():
            for slot in [slot for slot in wanted if name in (slot[1], self._name(slot))]:
                del wanted[slot]
            if pin is not None:
                wanted[pin, name] = None
                with suppress(TrunklineError):  # as in `failed` above: it stays as it is
                    wanted[pin, name] = self.registry.look(pin)[0]
        return wanted

    def _name(self, slot: Slot) -> str:
        served = self._slots.get(slot)
        return served.name if served else ""

    def _tell(self, failed: Mapping[str, str]) -> None:
        """Keep what did not load and why, and say what was not said before."""
        for what, reason in failed.items():
            if self.failed.get(what) != reason:
                self._say(f"not served: {reason}" if what in reason else f"not served: {what}: {reason}")
        self.failed = dict(failed)

    def _bring(self, wanted: Mapping[Slot, Place | None], change: _Change) -> None:
        """Load into the engine what is wanted and not served yet."""
        trusted = trusted_keys(self.settings.home)
        if len(wanted) - len(self._slots) >= _TOGETHER:
            self._say(f"loading {len(wanted):,} models")
        for slot, place in wanted.items():
            present = self._slots.get(slot)
            if place is None or (present and place[1] and present.digest == place[1].digest):
                if present:
                    change.slots[slot] = present
            else:
                self._open(slot, place, trusted, change)
        for digest in list(change.waiting):
            self._put(digest, change)
        for slot in self._slots.keys() & wanted.keys() - change.slots.keys():
            change.slots[slot] = self._slots[slot]  # the next one did not load

    def _open(self, slot: Slot, place: Place, trusted: Collection[str], change: _Change) -> None:
        """Read a bundle and see that its trunk is here."""
        try:
            bundle = self.registry.open(*place, trusted)
            digest = bundle.trunk.digest
            if digest in self._trunks:
                check_head(bundle, self._trunks[digest].card)
            else:
                self._trunks[digest] = trunk_of(bundle, self.settings.home, say=self._say)
        except TrunklineError as error:
            change.failed[_label(slot)] = str(error)
            return
        for sentence in bundle.warnings:
            self._say(sentence)
        change.waiting[digest].append((slot, Served.of(bundle, place[1]), bundle))
        if len(change.waiting[digest]) == _TOGETHER:
            self._put(digest, change)

    def _put(self, digest: str, change: _Change) -> None:
        """Put what waits on one trunk into the engine, and let it answer once, which opens the trunk."""
        rows = change.waiting.pop(digest)
        models, trunk = {served.digest: model_of(bundle) for _, served, bundle in rows}, self._trunks[digest]
        try:
            way = way_for(trunk, models, self.settings, say=self._say)
            self.engine.put(models, trunk, way)
            self._warm_up(digest, way, rows)
        except Exception as error:  # a runtime may raise anything on a graph that it cannot run  # noqa: BLE001
            held = self.engine.models.keys() & models.keys() - {one.digest for one in self._slots.values()}
            self.engine.remove(held)
            if digest not in self.trunks:
                del self._trunks[digest]  # its files may be mended before the next time
            change.failed.update({_label(slot): f"its trunk does not run: {error}" for slot, _, _ in rows})
            return
        change.put.update(models)
        change.slots.update({slot: served for slot, served, _ in rows})

    def _warm_up(self, digest: str, way: Way | None, rows: Iterable[tuple[Slot, Served, Bundle]]) -> None:
        from PIL import Image

        from trunkline.algorithms.heads import HEADS

        size = self._trunks[digest].card.size
        for _, served, _ in rows:
            kind = (digest, way, bool(HEADS.load(served.task)().dense))
            if kind not in self._warm:
                self.engine.ask(Image.new("RGB", (size, size)), [served.digest]).result()
                self._warm.add(kind)

    def _publish(self, slots: Mapping[Slot, Served], put: Collection[str] = ()) -> None:
        """Let requests see the models of these slots from now on."""
        by_name: dict[str, dict[str, Served]] = defaultdict(dict)
        for _, served in sorted(slots.items(), key=_order):
            by_name[served.name].setdefault(served.version, served)
        table = {name: tuple(versions.values()) for name, versions in sorted(by_name.items())}
        before = {one.digest for one in self._slots.values()}
        live = {one.digest for one in slots.values()}
        with self._lock:
            self._slots, self._table = dict(slots), table
            self._retired = (self._retired | before | set(put)) - live
        self._remove_retired()

    def _retire(self) -> None:
        with self._changing:
            self._remove_retired()

    def _remove_retired(self) -> None:
        """Take bundles out of the engine that are served no longer and that no request holds."""
        with self._lock:
            free = {digest for digest in self._retired if not self._leases[digest]}
            self._retired -= free
        gone = free & self.engine.models.keys()
        if gone:
            self.engine.remove(gone)
            self._warm = {kind for kind in self._warm if kind[0] in self.trunks}


def _label(slot: Slot) -> str:
    """How a slot is named to people."""
    ref, name = slot
    return name if file_of(ref) is None and ("*" in ref or "?" in ref) else ref


def _order(item: tuple[Slot, Served]) -> tuple[bool, int, str]:
    """Of several versions of a model the champion comes first, then the newest."""
    (ref, _), served = item
    which = ref.partition("@")[2]
    number = int(served.version) if served.version.isdecimal() else 0
    return (which not in ("", CHAMPION), -number, served.version)
