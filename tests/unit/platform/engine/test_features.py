"""The feature cache: an image is embedded once, whatever is killed, asked twice or done by two at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Pictures
from trunkline.algorithms.trunks import Trunk, open_trunk, preprocess
from trunkline.core.digest import digest_bytes
from trunkline.core.errors import DataError, InputError
from trunkline.core.images import decode
from trunkline.core.settings import Settings
from trunkline.platform.engine import features as module
from trunkline.platform.engine.features import FeatureStore, decoded

COUNT = 24
TAPS = ("tap0", "tap2")


class Album:
    """Pictures by their digests, that remembers which were read."""

    def __init__(self, datas: Iterable[bytes]) -> None:
        self.files = {digest_bytes(data): data for data in datas}
        self.images = list(self.files)
        self.asked: list[str] = []

    def read(self, images: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        for image in images:
            self.asked.append(image)
            yield image, self.files[image]


@pytest.fixture
def album(pictures: Pictures) -> Album:
    return Album(pictures.encode(seed, size=(40 + seed, 36)) for seed in range(COUNT))


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, runtime="onnxruntime", batch=4, threads=2)


@pytest.fixture
def store(settings: Settings, trunk: Trunk) -> FeatureStore:
    return FeatureStore(settings, trunk)


@pytest.fixture
def truth(album: Album, settings: Settings, trunk: Trunk) -> dict[str, np.ndarray]:
    """What the trunk itself says of all pictures, in their order."""
    session = open_trunk(trunk, settings, dense=True)
    out = session.embed([preprocess(decode(data), trunk.card) for data in album.files.values()])
    session.close()
    return dict(out)


def rows(store: FeatureStore, name: str) -> int:
    column = store._column(name)
    column.refresh()
    return len(column._load())


def test_features_are_those_of_the_trunk_in_the_order_asked_for(
    store: FeatureStore, album: Album, truth: dict[str, np.ndarray]
) -> None:
    store.embed(album.images, read=album.read, dense=TAPS)
    wanted = [5, 0, COUNT - 1, 5, 17]
    table = store.table([album.images[at] for at in wanted], dense=TAPS)
    assert table.images == tuple(album.images[at] for at in wanted)
    assert table.trunk == store.trunk.card.digest
    assert np.array_equal(table.pooled, truth["pooled"][wanted])
    halves = {tap: truth[tap][wanted].astype(np.float16).astype(np.float32) for tap in TAPS}
    assert {tap: np.array_equal(table.dense[tap], halves[tap]) for tap in table.dense} == dict.fromkeys(TAPS, True)


def test_an_image_is_embedded_once(store: FeatureStore, album: Album, settings: Settings, trunk: Trunk) -> None:
    some = album.images[:10]
    store.embed([*some, *some[:3]], read=album.read)
    assert (store.embedded, album.asked) == (10, some)
    again = FeatureStore(settings, trunk)
    assert again.missing(album.images[5:] * 2) == album.images[10:]
    again.embed(album.images[5:], read=album.read)
    assert (again.embedded, album.asked) == (COUNT - 10, album.images)
    again.embed(album.images, read=album.read)
    assert (again.embedded, rows(again, "pooled")) == (COUNT - 10, COUNT)


def test_nothing_to_do_opens_no_trunk(store: FeatureStore, album: Album, monkeypatch: pytest.MonkeyPatch) -> None:
    store.embed(album.images[:4], read=album.read)
    monkeypatch.setattr(module, "open_trunk", None)
    store.embed(album.images[:4], read=album.read)
    assert store.missing(album.images[:4]) == []


def test_maps_are_added_where_only_they_are_missing(
    store: FeatureStore, album: Album, truth: dict[str, np.ndarray]
) -> None:
    store.embed(album.images[:8], read=album.read)
    store.embed(album.images[4:12], read=album.read, dense=("tap1",))
    assert store.missing(album.images[:12]) == []
    assert store.missing(album.images[:12], dense=("tap1",)) == album.images[:4]
    assert (rows(store, "pooled"), rows(store, "tap1")) == (12, 8)
    table = store.table(album.images[6:10], dense=("tap1",))
    assert np.array_equal(table.pooled, truth["pooled"][6:10])
    assert np.allclose(table.dense["tap1"], truth["tap1"][6:10], rtol=1e-3, atol=1e-3)


def test_a_table_of_no_images_is_empty(store: FeatureStore) -> None:
    table = store.table([], dense=("tap1",))
    assert (table.images, table.pooled.shape, table.dense["tap1"].shape) == ((), (0, 0), (0, 0, 0, 0))


def test_trunks_are_kept_apart(store: FeatureStore, album: Album, settings: Settings, trunk: Trunk) -> None:
    store.embed(album.images[:4], read=album.read)
    other = Trunk(replace(trunk.card, weights="other"), trunk.folder)
    assert FeatureStore(settings, other).missing(album.images[:4]) == album.images[:4]


def test_a_tap_that_the_trunk_lacks_is_refused(store: FeatureStore, album: Album) -> None:
    said = "trunk test-trunk: expected a trunk with the tap 'tap7', this one has tap0, tap1, tap2"
    for call in (
        lambda: store.missing(album.images, dense=("tap7",)),
        lambda: store.embed(album.images, read=album.read, dense=("tap7",)),
        lambda: store.table(album.images, dense=("tap7",)),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert str(caught.value).partition("\n")[0] == said


def test_progress_counts_all_images(store: FeatureStore, album: Album) -> None:
    store.embed(album.images[:6], read=album.read)
    told: list[tuple[int, int]] = []
    store.embed(album.images[:16], read=album.read, progress=lambda done, total: told.append((done, total)))
    assert told == [(10, 16), (14, 16), (16, 16)]


def test_what_was_written_before_a_broken_image_stays(
    store: FeatureStore, album: Album, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_APPEND_IMAGES", 4)
    broken = pictures.encode(99)[:-200]
    album.files[digest_bytes(broken)] = broken
    images = [*album.images[:18], digest_bytes(broken), *album.images[18:]]
    with pytest.raises(DataError) as caught:
        store.embed(images, read=album.read)
    assert str(caught.value).startswith(f"image {digest_bytes(broken)[:12]}: the image is truncated")
    left = store.missing(album.images)
    assert 0 < len(left) < COUNT
    before = store.embedded
    store.embed(album.images, read=album.read)
    assert (store.embedded - before, rows(store, "pooled")) == (len(left), COUNT)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")] == []


@pytest.mark.parametrize(
    ("limit", "appends"), [({"_APPEND_IMAGES": 8}, [8, 8, 8]), ({"_APPEND_BYTES": 1}, [4] * 6), ({}, [24])], ids=str
)
def test_features_wait_for_a_write_a_bounded_time(
    limit: dict[str, int], appends: list[int], store: FeatureStore, album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in limit.items():
        monkeypatch.setattr(module, name, value)
    seen: list[int] = []
    column = store._column("pooled")
    kept = column.append
    monkeypatch.setattr(column, "append", lambda images, values: (seen.append(len(images)), kept(images, values)))
    store.embed(album.images, read=album.read)
    assert seen == appends


def test_numbers_that_are_not_finite_are_refused(
    store: FeatureStore, album: Album, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Session:
        card = store.trunk.card

        def stream(self, batches: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
            yield from ({"pooled": np.full((len(batch), 144), np.nan, np.float32)} for batch in batches)

        def close(self) -> None:
            pass

    monkeypatch.setattr(module, "open_trunk", lambda *given, **named: Session())
    with pytest.raises(InputError, match="trunk test-trunk: the trunk gave numbers that are not finite, in 'pooled'"):
        store.embed(album.images, read=album.read)
    assert store.missing(album.images) == album.images


def test_two_at_once_share_the_work(
    album: Album, settings: Settings, trunk: Trunk, truth: dict[str, np.ndarray]
) -> None:
    stores = [FeatureStore(settings, trunk) for _ in range(3)]
    for one in stores:
        one.missing(album.images)  # all three believe that everything is still to be done
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda one: one.embed(album.images, read=album.read, dense=TAPS), stores))
    assert sorted(one.embedded for one in stores) == [0, 0, COUNT]
    for one in stores:
        assert np.array_equal(one.table(album.images).pooled, truth["pooled"])
    assert {name: rows(stores[0], name) for name in ("pooled", *TAPS)} == dict.fromkeys(("pooled", *TAPS), COUNT)


CHILD = """
import os, signal, sys
from pathlib import Path
from trunkline.algorithms.trunks import resolve
from trunkline.core.digest import digest_bytes
from trunkline.core.settings import Settings
from trunkline.platform.engine import features
from trunkline.platform.engine.columns import Column

home, folder, kill_at = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
append, calls = Column.append, []

def counted(column, images, values):
    calls.append(column)
    if len(calls) == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
    append(column, images, values)

Column.append = counted
features._APPEND_IMAGES = 8
files = {digest_bytes(path.read_bytes()): path.read_bytes() for path in sorted(folder.iterdir())}
settings = Settings(home=home, runtime="onnxruntime", batch=4, threads=2)
store = features.FeatureStore(settings, resolve("test-trunk", home))
store.embed(list(files), read=lambda images: ((i, files[i]) for i in images), dense=("tap0", "tap2"))
"""


@pytest.mark.parametrize(
    ("kill_at", "pooled", "maps"), [(5, 16, (8, 8)), (6, 16, (16, 8))], ids=["after one", "after two"]
)
def test_killed_between_two_columns_it_embeds_only_the_rest(
    kill_at: int, pooled: int, maps: tuple[int, int], store: FeatureStore, album: Album, tmp_path: Path,
    truth: dict[str, np.ndarray],
) -> None:  # fmt: skip
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, data in enumerate(album.files.values()):
        (folder / f"{number:03}.png").write_bytes(data)
    home = store.settings.home
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(home), str(folder), str(kill_at)], capture_output=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert (rows(store, "pooled"), (rows(store, "tap0"), rows(store, "tap2"))) == (pooled, maps)
    left = store.missing(album.images, dense=TAPS)
    assert left == album.images[min(maps) :]
    store.embed(album.images, read=album.read, dense=TAPS)
    assert (store.embedded, album.asked) == (len(left), left)
    table = store.table(album.images, dense=TAPS)
    assert np.array_equal(table.pooled, truth["pooled"])
    assert all(np.allclose(table.dense[tap], truth[tap], rtol=1e-3, atol=1e-3) for tap in TAPS)


def test_decoding_runs_ahead_by_a_bounded_number(album: Album, settings: Settings, trunk: Trunk) -> None:
    stream = decoded(album.images, album.read, trunk.card, settings)
    image, pixels = next(stream)
    assert len(album.asked) == 2 * settings.batch + 1
    assert (image, pixels.shape, pixels.dtype) == (album.images[0], (32, 32, 3), np.uint8)
    assert [image for image, _ in stream] == album.images[1:]


def test_decoding_that_is_left_early_leaves_no_thread(album: Album, settings: Settings, trunk: Trunk) -> None:
    stream = decoded(album.images, album.read, trunk.card, settings)
    next(stream)
    stream.close()
    assert len(album.asked) == 2 * settings.batch + 1
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("decode")] == []


def test_files_are_asked_for_a_few_at_a_time(
    album: Album, settings: Settings, trunk: Trunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READ", 5)
    parts: list[int] = []

    def read(images: Sequence[str]) -> Any:
        parts.append(len(images))
        return album.read(images)

    assert [image for image, _ in decoded(album.images, read, trunk.card, settings)] == album.images
    assert parts == [5, 5, 5, 5, 4]
