"""A column of features: rows found by image, whole after a kill, small on disk, readable while it grows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import StorageError
from trunkline.core.types.features import FeatureTable
from trunkline.platform import tables
from trunkline.platform.engine import columns as module
from trunkline.platform.engine.columns import Column
from trunkline.platform.tables import DamagedTableError

IMAGES = [digest_bytes(bytes([number])) for number in range(60)]
VALUES = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


@pytest.fixture
def column(home: Path) -> Column:
    return Column(home, "t", "pooled")


def fill(column: Column, start: int, stop: int, step: int = 3) -> None:
    for at in range(start, stop, step):
        column.append(IMAGES[at : at + step], VALUES[at : at + step])


def files(column: Column) -> int:
    column.refresh()
    column.has(IMAGES[0])
    return len(column._table.get_fragments())


def test_rows_come_in_the_order_asked_for(column: Column, home: Path) -> None:
    fill(column, 0, 9)
    wanted = [8, 0, 3, 3, 1]
    for one in (column, Column(home, "t", "pooled")):
        assert np.array_equal(one.read([IMAGES[at] for at in wanted]), VALUES[wanted])
        assert [one.has(image) for image in IMAGES[7:11]] == [True, True, False, False]


@pytest.mark.parametrize(("limit", "kept"), [(9 * 5 * 4, True), (9 * 5 * 4 - 1, False)])
def test_a_small_column_that_is_read_again_is_kept_in_memory(
    column: Column, monkeypatch: pytest.MonkeyPatch, limit: int, kept: bool
) -> None:
    monkeypatch.setattr(module, "_IN_MEMORY", limit)
    fill(column, 0, 9)
    wanted = [8, 0, 3, 3, 1]
    found = [column.read([IMAGES[at] for at in wanted]) for _ in range(3)]
    assert (column._all is not None) is kept
    assert [np.array_equal(values, VALUES[wanted]) for values in found] == [True] * 3
    fill(column, 9, 12)
    assert np.array_equal(column.read([IMAGES[11], IMAGES[0]]), VALUES[[11, 0]])


def test_a_column_that_is_too_large_is_read_when_rows_are_asked_for(
    column: Column, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_IN_MEMORY", 3 * 5 * 4)
    maps = VALUES.reshape(60, 5, 1, 1)
    column.append(IMAGES[:12], maps[:12])
    wanted = [3, 1, 4, 1, 5, 9, 2, 6]
    asked: list[int] = []
    read = Column.read
    monkeypatch.setattr(Column, "read", lambda self, images: asked.append(len(images)) or read(self, images))
    rows = column.rows([IMAGES[at] for at in wanted])
    table = FeatureTable(tuple(IMAGES[:8]), np.zeros((8, 1)), "t", {"tap0": rows}).take([7, 0, 3, 4])
    assert (rows.shape, rows.ndim, len(rows), len(table.dense["tap0"])) == ((8, 5, 1, 1), 4, 8, 4)
    assert asked == [], "the maps were read before they were asked for"
    for index in (np.array([7, 0]), slice(1, 3), 5, [True] * 2 + [False] * 6):
        assert np.array_equal(rows[index], maps[wanted][index])
    assert np.array_equal(table.dense["tap0"][[1, 2]], maps[[3, 1]])
    assert np.array_equal(np.asarray(rows), maps[wanted])
    assert isinstance(rows.take([0, 2], axis=0), np.ndarray)
    with pytest.raises(KeyError, match=IMAGES[12]):
        column.rows(IMAGES[:21])


def test_a_few_rows_are_taken_without_the_rest(column: Column) -> None:
    fill(column, 0, 9)
    assert np.array_equal(column.rows(IMAGES[:2]), VALUES[:2])
    assert column._all is None
    assert column.rows([]).shape == (0, 0)


def test_an_image_has_one_row(column: Column) -> None:
    column.append([IMAGES[0], IMAGES[1], IMAGES[0]], VALUES[:3])
    column.append(IMAGES[:3], VALUES[:3])
    column.append(IMAGES[:3], VALUES[3:6])
    assert column._table.count_rows() == 3
    assert np.array_equal(column.read(IMAGES[1:3]), VALUES[1:3])


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("pooled", "float", [1 + 2**-20, 1e30, -1e30, 0.1]),
        ("tap0", "halffloat", [1, 65504, -65504, np.float16(0.1)]),
    ],
)
def test_maps_are_kept_in_half_precision_and_never_overflow(
    name: str, dtype: str, expected: list[float], home: Path
) -> None:
    values = np.array([1 + 2**-20, 1e30, -1e30, 0.1], np.float32).reshape(1, 1, 2, 2)
    column = Column(home, "t", name)
    column.append(IMAGES[:1], values)
    found = column.read(IMAGES[:1])
    assert (found.shape, found.dtype) == ((1, 1, 2, 2), np.float32)
    assert found.ravel().tolist() == np.array(expected, np.float32).tolist()
    assert str(column._table.schema.field("values").type.value_type) == dtype


def test_an_image_that_is_not_here_is_a_key_error(column: Column) -> None:
    with pytest.raises(KeyError, match=IMAGES[0]):
        column.read(IMAGES[:1])
    fill(column, 0, 3)
    with pytest.raises(KeyError, match=IMAGES[9]):
        column.read([IMAGES[1], IMAGES[9]])


def test_what_another_process_appended_is_found(column: Column, home: Path) -> None:
    other = Column(home, "t", "pooled")
    assert not other.has(IMAGES[0])
    fill(column, 0, 6)
    assert np.array_equal(other.read(IMAGES[:6]), VALUES[:6])


def test_killed_while_it_was_made_it_is_made_anew(column: Column) -> None:
    (column.path / "data").mkdir(parents=True)
    (column.path / "data" / "half.lance").write_bytes(b"half")
    assert not column.has(IMAGES[0])
    fill(column, 0, 3)
    assert np.array_equal(column.read(IMAGES[:3]), VALUES[:3])


DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a file that is cut": ("data/*", lambda data: data[: len(data) // 2]),
    "a file that is empty": ("data/*", lambda data: b""),
    "a file of other bytes": ("data/*", lambda data: bytes(len(data))),
    "a manifest that is cut": ("_versions/*", lambda data: data[: len(data) // 2]),
    "a manifest that is empty": ("_versions/*", lambda data: b""),
    "a manifest of other bytes": ("_versions/*", lambda data: bytes(len(data))),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_table_is_moved_aside_with_a_warning_and_made_again(
    case: str, column: Column, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pattern, damage = DAMAGE[case]
    fill(column, 0, 6)
    for file in column.path.glob(pattern):
        file.write_bytes(damage(file.read_bytes()))
    again = Column(home, "t", "pooled")
    assert not again.has(IMAGES[0])
    assert [str(column.path) in message for message in caplog.messages] == [True]
    fill(again, 0, 6)
    assert np.array_equal(Column(home, "t", "pooled").read(IMAGES[:6]), VALUES[:6])


@pytest.mark.parametrize("reads", [0, 1, 2])
@pytest.mark.parametrize("name", ["pooled", "tap0"])
def test_values_that_were_changed_are_never_handed_out(name: str, reads: int, home: Path) -> None:
    column = Column(home, "t", name)
    column.append(IMAGES[:6], VALUES[:6])
    for _ in range(reads):
        column.read(IMAGES[:2])
    column.refresh()
    kept = VALUES[5].astype(column.dtype).tobytes()
    (file,) = column.path.glob("data/*")
    file.write_bytes(file.read_bytes().replace(kept, bytes([kept[0] ^ 1]) + kept[1:]))
    with pytest.raises(DamagedTableError, match="values of this table were changed"):
        column.read(IMAGES[:6])
    assert (column.has(IMAGES[0]), len(list(home.glob("features/*damaged*")))) == (False, 1)


def test_features_without_checksums_are_made_again(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    import lance

    column = Column(home, "t", "pooled")
    column.append(IMAGES[:6], VALUES[:6])
    lance.dataset(str(column.path)).drop_columns(["crc32"])
    again = Column(home, "t", "pooled")
    assert (again.has(IMAGES[0]), "moved to t-pooled-damaged-" in caplog.text) == (False, True)
    again.append(IMAGES[:6], VALUES[:6])
    assert np.array_equal(again.read(IMAGES[:6]), VALUES[:6])


def test_rows_that_were_moved_aside_since_are_told(column: Column, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IN_MEMORY", 1)
    fill(column, 0, 6)
    rows = column.rows(IMAGES[:6])
    column.path.rename(column.path.with_name("aside"))
    column.refresh()
    with pytest.raises(DamagedTableError, match="features are gone"):
        rows[[0, 1]]


def test_damage_behind_an_open_table_is_said_and_the_next_run_mends_it(column: Column) -> None:
    fill(column, 0, 6)
    assert column.has(IMAGES[0])
    for file in column.path.glob("data/*"):
        file.unlink()
    with pytest.raises(DamagedTableError, match="files of this table are damaged"):
        column.read(IMAGES[:6])
    assert not column.has(IMAGES[0])


def test_a_reader_whose_files_were_put_together_long_ago_goes_on(column: Column, home: Path) -> None:
    fill(column, 0, 6)
    reader = Column(home, "t", "pooled")
    assert reader.has(IMAGES[0])
    old = list(column.path.glob("data/*"))
    fill(column, 6, 9)
    column._table.optimize.compact_files(target_rows_per_fragment=100)
    for file in old:
        file.unlink()
    assert np.array_equal(reader.read(IMAGES[:6]), VALUES[:6])


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_FRAGMENTS", 4)
    monkeypatch.setattr(module, "_FULL", 12)


@pytest.mark.usefixtures("_small")
def test_small_files_are_put_together_and_full_ones_left_alone(
    column: Column, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(column, 0, 3)
    tidied: list[int] = []
    optimizer = type(column._table.optimize)
    kept = optimizer.compact_files

    def compact(self: object, **options: object) -> object:
        tidied.append(1)
        return kept(self, **options)

    monkeypatch.setattr(optimizer, "compact_files", compact)
    counts = []
    for at in range(3, 60, 3):
        fill(column, at, at + 3)
        counts.append(files(column))
    full = [f.fragment_id for f in column._table.get_fragments() if f.metadata.physical_rows >= 12]
    assert (max(counts) <= 60 // 12 + 4, len(full) >= 3, len(tidied)) == (True, True, 4)
    order = np.random.default_rng(1).permutation(60)
    assert np.array_equal(column.read([IMAGES[at] for at in order]), VALUES[order])


@pytest.mark.usefixtures("_small")
def test_a_reader_is_not_disturbed_by_an_appender_that_tidies_up(column: Column, home: Path) -> None:
    fill(column, 0, 12)
    reader = Column(home, "t", "pooled")
    assert reader.has(IMAGES[0])
    for at in range(12, 60, 3):
        fill(column, at, at + 3)
        assert np.array_equal(reader.read(IMAGES[:12]), VALUES[:12])
    assert np.array_equal(reader.read(IMAGES[50:60]), VALUES[50:60])


@pytest.mark.usefixtures("_small")
def test_files_that_were_put_together_go_once_nobody_reads_them(
    column: Column, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(column, 0, 30)
    kept = len(list((column.path / "data").iterdir()))
    monkeypatch.setattr(tables, "_KEPT", timedelta(0))
    fill(column, 30, 60)
    assert len(list((column.path / "data").iterdir())) < kept
    assert np.array_equal(column.read(IMAGES), VALUES)


def no_space(*given: object, **named: object) -> None:
    """What Lance says on a full disk: an `OSError` without a number."""
    raise OSError("LanceError(IO): No space left on device (os error 28), rust/lance-file/src/writer.rs:254:9")


def test_a_full_disk_is_said_and_costs_nothing_that_was_there(
    column: Column, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lance

    fill(column, 0, 3)
    monkeypatch.setattr(lance, "write_dataset", no_space)
    with pytest.raises(StorageError, match="no space left on the disk"):
        fill(column, 3, 6)
    monkeypatch.undo()
    assert [column.has(image) for image in IMAGES[2:4]] == [True, False]
    fill(column, 0, 6)
    assert np.array_equal(Column(home, "t", "pooled").read(IMAGES[:6]), VALUES[:6])


@pytest.mark.usefixtures("_small")
def test_a_disk_that_fills_while_tidying_is_said(column: Column, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(column, 0, 12)
    monkeypatch.setattr(type(column._table.optimize), "compact_files", no_space)
    with pytest.raises(StorageError, match="no space left on the disk"):
        fill(column, 12, 15)
    assert np.array_equal(column.read(IMAGES[:15]), VALUES[:15])
    assert np.array_equal(Column(home, "t", "pooled").read(IMAGES[:15]), VALUES[:15])
