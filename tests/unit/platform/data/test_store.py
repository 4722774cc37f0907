"""An image is kept once, a data set's version for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import NotFoundError, StorageError
from trunkline.core.settings import Settings
from trunkline.core.types.dataset import Box, Dataset, Finding, Sample
from trunkline.platform.data.store import DataStore, ImageStore
from trunkline.platform.tables import DamagedTableError

BYTES = [bytes([number]) * (number + 1) for number in range(6)]
DIGESTS = [digest_bytes(data) for data in BYTES]


@pytest.fixture
def store(home: Path) -> DataStore:
    return DataStore(Settings(home=home))


def sample(number: int, *labels: str, **fields: Any) -> Sample:
    return Sample(DIGESTS[number], f"{number}.png", labels, **fields)


PARTS = Dataset(
    "parts", 0,
    (
        sample(0, "a", "b", boxes=(Box("裂纹", 0.25, 1, 2, 3.5),), split="train", width=9, height=8),
        sample(1, split="test"), sample(1, "a"),
    ),
    ("a", "b", "never"),
    (Finding("unreadable", "warning", "1 files: x (y)", (DIGESTS[2],), ("x",),
             {"reasons": ["y"], "more": {"z": [1.5]}}),),
    "voc",
)  # fmt: skip


def with_version(dataset: Dataset, version: int) -> Dataset:
    return Dataset(dataset.name, version, dataset.samples, dataset.labels, dataset.findings, dataset.format)


def test_images_come_back_in_the_order_asked_for(home: Path) -> None:
    ImageStore(home).add(zip(DIGESTS[:3], BYTES[:3], strict=True))
    ImageStore(home).add(zip(DIGESTS[2:5], BYTES[2:5], strict=True))
    store = ImageStore(home)
    wanted = [4, 0, 4, 2]
    assert list(store.read([DIGESTS[at] for at in wanted])) == [(DIGESTS[at], BYTES[at]) for at in wanted]
    assert [store.has(digest) for digest in DIGESTS] == [True] * 5 + [False]


def test_more_images_than_one_part_come_back_whole(home: Path) -> None:
    datas = [number.to_bytes(2, "big") for number in range(700)]
    pairs = [(digest_bytes(data), data) for data in datas]
    store = ImageStore(home)
    store.add(pairs)
    assert list(store.read([digest for digest, _ in pairs])) == pairs


def test_an_image_is_kept_once(home: Path) -> None:
    import lance

    store = ImageStore(home)
    store.add([(DIGESTS[0], BYTES[0]), (DIGESTS[0], BYTES[0])])
    store.add([(DIGESTS[0], BYTES[0])])
    ImageStore(home).add([(DIGESTS[0], BYTES[0]), (DIGESTS[1], BYTES[1])])
    assert lance.dataset(str(store.path)).count_rows() == 2


def test_what_another_process_keeps_meanwhile_is_not_kept_twice(home: Path) -> None:
    import lance

    first, second = ImageStore(home), ImageStore(home)
    assert not first.has(DIGESTS[0])
    second.add([(DIGESTS[0], BYTES[0]), (DIGESTS[1], BYTES[1])])
    first.add([(DIGESTS[2], BYTES[2]), (DIGESTS[0], BYTES[0])])
    assert lance.dataset(str(first.path)).count_rows() == 3
    assert [data for _, data in first.read(DIGESTS[:3])] == BYTES[:3]


def test_images_are_written_in_parts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.platform.data.store._CHUNK_BYTES", 1)
    store = ImageStore(home)

    def pairs() -> Any:
        yield DIGESTS[0], BYTES[0]
        yield DIGESTS[1], BYTES[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add(pairs())
    assert [ImageStore(home).has(digest) for digest in DIGESTS[:2]] == [True, True]


def test_an_image_that_is_not_here_is_named(home: Path) -> None:
    store = ImageStore(home)
    with pytest.raises(NotFoundError, match=f"no image named '{DIGESTS[0]}'"):
        list(store.read([DIGESTS[0]]))
    store.add([(DIGESTS[0], BYTES[0])])
    with pytest.raises(NotFoundError, match=DIGESTS[1]):
        list(store.read([DIGESTS[0], DIGESTS[1]]))


def test_nothing_to_keep_makes_no_table(home: Path) -> None:
    store = ImageStore(home)
    store.add([])
    assert not store.path.exists()


def test_a_data_set_comes_back_as_it_was(store: DataStore) -> None:
    assert store.save(PARTS) == with_version(PARTS, 1)
    assert store.load("parts") == with_version(PARTS, 1)
    assert store.load("parts").digest == PARTS.digest


def test_unchanged_content_makes_no_version(store: DataStore) -> None:
    store.save(PARTS)
    renamed = Dataset("parts", 0, tuple(reversed(PARTS.samples)), PARTS.labels, (), "coco")
    assert store.save(renamed) == with_version(PARTS, 1)
    assert store.versions("parts") == [1]


def test_versions_are_kept_for_good(store: DataStore) -> None:
    second = Dataset("parts", 0, (sample(3, "c"),), ("c",), (), "csv")
    assert [store.save(dataset).version for dataset in (PARTS, second, PARTS)] == [1, 2, 3]
    assert store.versions("parts") == [1, 2, 3]
    assert [store.load("parts", version) for version in (1, 2, 3)] == [
        with_version(PARTS, 1), with_version(second, 2), with_version(PARTS, 3),
    ]  # fmt: skip
    assert store.by_digest("parts", second.digest) == with_version(second, 2)
    assert store.by_digest("parts", PARTS.digest) == with_version(PARTS, 3)


NAMES = ["parts", "Parts", "PARTS", "two words", "上海", "a%b", "a%2Eb", "it's", "p.lance", "Ünïcode", "c" * 200]


def test_names_that_differ_stay_apart(store: DataStore) -> None:
    for number, name in enumerate(NAMES):
        store.save(Dataset(name, 0, (sample(number % 6, str(number)),)))
    assert store.names() == sorted(NAMES)
    assert [store.load(name).labels for name in NAMES] == [(str(number),) for number in range(len(NAMES))]
    files = [path.name for path in store.root.iterdir()]
    assert len({file.casefold() for file in files}) == len(NAMES)


REFS = {"parts": ("parts", 2), "parts@1": ("parts", 1), "parts@2": ("parts", 2), "a@b": ("a@b", 1), "a@b@1": ("a@b", 1)}


@pytest.mark.parametrize("ref", REFS)
def test_a_reference_is_a_name_or_a_name_and_a_version(ref: str, store: DataStore) -> None:
    for name, number in (("parts", 0), ("parts", 1), ("a@b", 2)):
        store.save(Dataset(name, 0, (sample(number, "x"),)))
    found = store.by_ref(ref)
    assert (found.name, found.version) == REFS[ref]


MISSING = {
    "part": ("no data set named 'part'", "did you mean 'parts'?"),
    "parts@7": ("no version of data set 'parts' named '7'", "known version of data set 'parts' names: 1"),
    "parts@²": ("no data set named 'parts@²'", "did you mean 'parts'?"),
    f"parts@{'1' * 5000}": (f"no data set named 'parts@{'1' * 5000}'", "known data set names: parts"),
    "parts@0": ("no version of data set 'parts' named '0'", "known version of data set 'parts' names: 1"),
}


@pytest.mark.parametrize("ref", MISSING)
def test_what_is_not_there_is_answered_with_what_is(ref: str, store: DataStore) -> None:
    store.save(PARTS)
    with pytest.raises(NotFoundError) as caught:
        store.by_ref(ref)
    assert (caught.value.message, caught.value.fix) == MISSING[ref]


def test_a_digest_that_no_version_has_is_an_error(store: DataStore) -> None:
    store.save(PARTS)
    with pytest.raises(NotFoundError, match="no digest of data set 'parts'"):
        store.by_digest("parts", "f" * 64)


@pytest.mark.parametrize("letter", ["x", "零", "Ж"])
def test_long_names_that_begin_alike_stay_apart(letter: str, store: DataStore) -> None:
    one, other = letter * 190, letter * 189 + "y"
    store.save(Dataset(one, 0, (sample(1, "a"),)))
    assert store.versions(one) == [1]
    assert store.versions(other) == []


def test_a_home_without_data_sets_has_none(store: DataStore) -> None:
    assert (store.names(), store.versions("parts")) == ([], [])


FAULTS = {
    "no space left on the disk": "LanceError(IO): No space left on device (os error 28)",
    "this place cannot be written": "LanceError(IO): Permission denied (os error 13)",
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_fault_of_the_disk_is_said(message: str, store: DataStore, monkeypatch: pytest.MonkeyPatch) -> None:
    import lance

    def failing(*_: object, **__: object) -> None:
        raise OSError(FAULTS[message])

    monkeypatch.setattr(lance, "write_dataset", failing)
    with pytest.raises(StorageError, match=message) as caught:
        store.save(PARTS)
    assert str(store.home) in str(caught.value.where)
    with pytest.raises(StorageError, match=message):
        ImageStore(store.home).add([(DIGESTS[0], BYTES[0])])


DAMAGE = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "other bytes": lambda data: bytes(len(data)),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
@pytest.mark.parametrize("pattern", ["data/*", "_versions/*"])
def test_a_damaged_data_set_is_named_and_the_next_version_is_kept_all_the_same(
    pattern: str, case: str, store: DataStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.save(PARTS)
    other = store.save(Dataset("others", 0, (sample(3, "c"),)))
    for file in (store.root / "parts.lance").glob(pattern):
        file.write_bytes(DAMAGE[case](file.read_bytes()))
    with pytest.raises(DamagedTableError, match="the data set 'parts': files of this table are damaged") as caught:
        store.load("parts")
    assert caught.value.where == str(store.root / "parts.lance")
    assert [store.load(name) for name in store.names() if name != "parts"] == [other]
    with pytest.raises(NotFoundError):
        store.by_digest("parts", PARTS.digest)
    assert store.load("parts", store.save(PARTS).version).samples == PARTS.samples
    assert caplog.messages


def test_a_data_set_without_its_manifest_is_not_called_unknown(store: DataStore) -> None:
    import shutil

    store.save(PARTS)
    shutil.rmtree(store.root / "parts.lance" / "_versions")
    with pytest.raises(DamagedTableError, match="the data set 'parts'"):
        store.load("parts")


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_images_are_moved_aside_and_kept_again(case: str, home: Path, caplog: pytest.LogCaptureFixture) -> None:
    ImageStore(home).add(zip(DIGESTS, BYTES, strict=True))
    for file in (home / "images.lance").glob("data/*"):
        file.write_bytes(DAMAGE[case](file.read_bytes()))
    store = ImageStore(home)
    assert not store.has(DIGESTS[0])
    assert ("moved to images-damaged-" in caplog.text, len(list(home.glob("images-damaged-*")))) == (True, 1)
    store.add(zip(DIGESTS, BYTES, strict=True))
    assert list(ImageStore(home).read(DIGESTS)) == list(zip(DIGESTS, BYTES, strict=True))


def test_bytes_that_were_changed_are_never_handed_out(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    datas = [bytes([number]) * 3000 for number in range(3)]
    pairs = [(digest_bytes(data), data) for data in datas]
    store = ImageStore(home)
    store.add(pairs)
    (file,) = store.path.glob("data/*")
    file.write_bytes(file.read_bytes().replace(datas[1][:100], b"x" * 100, 1))
    with pytest.raises(DamagedTableError, match=f"the bytes of image {pairs[1][0][:12]} were changed"):
        list(store.read([digest for digest, _ in pairs]))
    assert (store.has(pairs[0][0]), "moved to images-damaged-" in caplog.text) == (False, True)
    store.add(pairs)
    assert list(store.read([digest for digest, _ in pairs])) == pairs


def test_a_reader_whose_files_were_put_together_long_ago_goes_on(home: Path) -> None:
    import lance

    store = ImageStore(home)
    store.add(zip(DIGESTS[:3], BYTES[:3], strict=True))
    reader = ImageStore(home)
    assert reader.has(DIGESTS[0])
    old = list(store.path.glob("data/*"))
    store.add([(DIGESTS[3], BYTES[3])])
    lance.dataset(str(store.path)).optimize.compact_files()
    for file in old:
        file.unlink()
    assert [data for _, data in reader.read(DIGESTS[:3])] == BYTES[:3]
    assert not list(home.glob("*damaged*"))


def test_what_is_no_damage_is_not_moved_aside(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lance

    ImageStore(home).add([(DIGESTS[0], BYTES[0])])

    def failing(*_: object, **__: object) -> None:
        raise OSError("LanceError(IO): Too many open files (os error 24)")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="Too many open files"):
        patch.setattr(lance, "dataset", failing)
        ImageStore(home).has(DIGESTS[0])
    assert ImageStore(home).has(DIGESTS[0])


def test_digests_are_not_read_again_for_each_append(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ImageStore(home)
    store.add([(DIGESTS[0], BYTES[0])])
    monkeypatch.setattr("trunkline.platform.data.store.open_by_image", None)
    store.add([(DIGESTS[1], BYTES[1])])
    assert list(store.read(DIGESTS[:2])) == list(zip(DIGESTS[:2], BYTES[:2], strict=True))


def test_small_files_of_images_are_put_together_and_large_ones_left_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lance

    from trunkline.platform import tables

    monkeypatch.setattr(tables, "_FRAGMENTS", 8)
    store = ImageStore(home)
    datas = [number.to_bytes(2, "big") * 500 for number in range(60)]
    pairs = [(digest_bytes(data), data) for data in datas]
    for pair in pairs:
        store.add([pair])
    assert len(lance.dataset(str(store.path)).get_fragments()) <= 9
    assert list(ImageStore(home).read([digest for digest, _ in pairs])) == pairs
    assert list(store.read([digest for digest, _ in pairs])) == pairs
    monkeypatch.setattr("trunkline.platform.data.store._FULL_BYTES", 1)  # every file is a large one
    for number in range(60, 75):
        data = number.to_bytes(2, "big") * 500
        store.add([(digest_bytes(data), data)])
    assert len(lance.dataset(str(store.path)).get_fragments()) >= 15


def test_what_a_kill_left_before_the_first_version_is_no_data_set(store: DataStore, home: Path) -> None:
    left = home / "datasets" / "half.lance" / "data"
    left.mkdir(parents=True)
    (left / "0.lance").write_bytes(b"half")
    assert store.names() == []
    with pytest.raises(NotFoundError):
        store.load("half")
