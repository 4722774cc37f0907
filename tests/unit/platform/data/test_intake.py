"""Every file is hashed and decoded once; what cannot be read is listed, and the rest goes on."""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import DataError, StorageError
from trunkline.core.settings import Settings
from trunkline.core.types.dataset import Box, Dataset, Sample
from trunkline.core.types.scenario import Source
from trunkline.platform.data import intake
from trunkline.platform.data.intake import take_in
from trunkline.platform.data.store import ImageStore


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, threads=2)


@pytest.fixture
def source(tmp_path: Path, pictures: Any) -> Path:
    return pictures.folder(tmp_path / "parts", count=2)


def taken(source: Path, settings: Settings, **options: Any) -> Dataset:
    return take_in([Source(path=source)], settings, name="parts", **options)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes, *chunks: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def test_images_are_kept_and_described(source: Path, settings: Settings) -> None:
    files = {name: (source / name).read_bytes() for name in ("a/000.png", "a/001.png", "b/000.png", "b/001.png")}
    dataset = taken(source, settings)
    assert dataset == Dataset(
        "parts", 0,
        tuple(Sample(digest_bytes(data), name, (name[0],), (), "", 48, 48) for name, data in files.items()),
        ("a", "b"), (), "imagefolder",
    )  # fmt: skip
    assert dict(ImageStore(settings.home).read([digest_bytes(data) for data in files.values()])) == {
        digest_bytes(data): data for data in files.values()
    }


MANY_BYTES = zlib.compress(bytes(300 << 20), 9)
BAD: dict[str, tuple[bytes, str, str]] = {
    "no bytes": (b"", "unreadable", "expected an image, got 0 bytes"),
    "text": (b"no picture", "unreadable", "got text"),
    "half a JPEG": (b"", "unreadable", "truncated"),
    "an absurd header": (png(60_000, 60_000, b""), "absurd-size", "60,000 x 60,000"),
    "metadata that unpack to 300 MB": (
        png(4, 4, zlib.compress(bytes(20)), chunk(b"zTXt", b"a\0\0" + MANY_BYTES)), "unreadable", "its metadata unpack",
    ),
    "a profile that unpacks to 300 MB": (
        png(4, 4, zlib.compress(bytes(20)), chunk(b"iCCP", b"a\0\0" + MANY_BYTES)), "unreadable", "its metadata unpack",
    ),
    "a bomb": (png(20_000, 20_000, zlib.compress(bytes(1 << 20))), "absurd-size", "20,000 x 20,000"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(
    case: str, source: Path, settings: Settings, pictures: Any
) -> None:
    jpeg = pictures.encode(9, form="JPEG")
    data, kind, reason = {**BAD, "half a JPEG": (jpeg[: len(jpeg) // 2], "unreadable", "truncated")}[case]
    (source / "a/bad.jpg").write_bytes(data)
    for _ in ("looked at", "remembered"):
        dataset = taken(source, settings)
        (finding,) = dataset.findings
        assert (len(dataset.samples), finding.kind, finding.severity, finding.names) == (
            4,
            kind,
            "warning",
            ("a/bad.jpg",),
        )
        assert reason in finding.detail["reasons"][0]
        assert finding.message.startswith("1 file ")


def test_many_bad_files_are_one_finding_a_kind(source: Path, settings: Settings) -> None:
    for number in range(3):
        (source / f"a/bad{number}.png").write_bytes(b"")
        (source / f"b/huge{number}.png").write_bytes(png(60_000, 60_000, b""))
    findings = taken(source, settings).findings
    assert [(finding.kind, len(finding.names)) for finding in findings] == [("unreadable", 3), ("absurd-size", 3)]


def test_a_limit_of_pixels_is_that_of_the_settings(source: Path, settings: Settings) -> None:
    small = settings.model_copy(update={"max_pixels": 48 * 48 - 1})
    with pytest.raises(DataError, match="expected readable images, found none: 4 files are too large") as caught:
        taken(source, small)
    assert (caught.value.where, bool(caught.value.fix)) == (str(source), True)
    assert len(taken(source, settings).samples) == 4, "what a smaller limit refused is not remembered for a larger one"


def test_names_are_kept_as_they_are(tmp_path: Path, settings: Settings, pictures: Any) -> None:
    names = ["two words.png", 'it\'s "so".png', "上海.png", "-rf.png", "Same.png", "same.png", "line\nbreak.png"]
    folder = tmp_path / "parts" / "a"
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        (folder / name).write_bytes(pictures.encode(number))
    assert [sample.name for sample in taken(folder.parent, settings).samples] == sorted(f"a/{name}" for name in names)


def count_decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    decoded: list[int] = []
    decode = intake.decode

    def counted(data: bytes, **options: Any) -> Any:
        decoded.append(len(data))
        return decode(data, **options)

    monkeypatch.setattr(intake, "decode", counted)
    return decoded


def test_only_what_is_new_or_changed_is_read_again(
    source: Path, settings: Settings, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = taken(source, settings)
    decoded = count_decoded(monkeypatch)
    told: list[tuple[int, int]] = []
    assert taken(source, settings) == first
    (source / "a/002.png").write_bytes(pictures.encode(50))
    (source / "b/000.png").write_bytes(pictures.encode(51))
    again = taken(source, settings, progress=lambda done, total: told.append((done, total)))
    assert (len(again.samples), len(decoded), told) == (5, 2, [(1, 2), (2, 2)])
    assert again.samples[3].image == digest_bytes((source / "b/000.png").read_bytes())


def test_a_home_without_the_images_has_them_read_again(source: Path, settings: Settings) -> None:
    import shutil

    first = taken(source, settings)
    shutil.rmtree(settings.home / "images.lance")
    assert taken(source, settings) == first
    assert ImageStore(settings.home).has(first.samples[0].image)


@pytest.mark.parametrize("torn", [b"", b"[", b"\xff", b'{"x": ', b"[" * 100_000])
def test_a_torn_memory_is_made_anew(torn: bytes, source: Path, settings: Settings) -> None:
    first = taken(source, settings)
    (memory,) = (settings.home / "intake").iterdir()
    memory.write_bytes(torn)
    assert taken(source, settings) == first
    assert len(json.loads(memory.read_bytes())) == 4


SHAPES: dict[str, Any] = {
    "nothing": None, "a text": "x", "no list": 7, "too short": [[]], "an object": {"a": 1},
    "one of too many": lambda row: [row[0], [*row[1], "more"]], "one too few": lambda row: [row[0], row[1][:2]],
    "a number for a digest": lambda row: [row[0], [7, *row[1][1:]]],
    "a digest that is none": lambda row: [row[0], ["zz", *row[1][1:]]],
    "a text for a size": lambda row: [row[0], [row[1][0], "48", *row[1][2:]]],
    "neither a digest nor a reason": lambda row: [row[0], ["", 48, 48, "", ""]],
}  # fmt: skip


@pytest.mark.parametrize("case", SHAPES)
def test_what_is_remembered_in_another_shape_is_dropped(case: str, source: Path, settings: Settings) -> None:
    first, shape = taken(source, settings), SHAPES[case]
    (memory,) = (settings.home / "intake").iterdir()
    whole = memory.read_bytes()
    rows = {name: shape(row) if callable(shape) else shape for name, row in json.loads(whole).items()}
    memory.write_text(json.dumps(rows))
    assert taken(source, settings) == first
    assert memory.read_bytes() == whole


def test_sources_are_put_together(source: Path, tmp_path: Path, settings: Settings, pictures: Any) -> None:
    other = pictures.folder(tmp_path / "more", labels=("c",), count=1)
    (other / "list.csv").write_text("path,label\nc/000.png,d\n")
    sources = [Source(path=source), Source(path=other / "list.csv"), Source(path=other, format="imagefolder")]
    dataset = take_in(sources, settings, name="parts")
    assert (dataset.format, dataset.labels) == ("imagefolder+csv", ("a", "b", "c", "d"))
    assert [sample.labels for sample in dataset.samples[4:]] == [("d",), ("c",)]


def test_lists_of_the_same_images_read_each_once(
    source: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = [source / f"{number}.csv" for number in range(5)]
    for path in lists:
        path.write_text("path,label\na/000.png,x\nb/000.png,y\n")
    decoded = count_decoded(monkeypatch)
    dataset = take_in([Source(path=path) for path in lists], settings, name="parts")
    assert (len(dataset.samples), len(decoded)) == (10, 2)


def test_boxes_are_cut_at_the_edges_and_left_out_beyond_them(tmp_path: Path, settings: Settings, pictures: Any) -> None:
    (tmp_path / "1.png").write_bytes(pictures.encode(1))
    things = [(-5, -5, 10, 60), (40, 40, 90, 90), (1, 1, 2, 2), (60, 1, 70, 9)]
    bounds = (
        "<object><name>a</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
    )
    size = "<size><width>99</width><height>60</height></size>"
    text = "".join(bounds.format(*edges) for edges in things)
    (tmp_path / "1.xml").write_text(f"<annotation>{size}{text}</annotation>")
    dataset = take_in([Source(path=tmp_path, format="voc")], settings, name="parts")
    assert dataset.samples[0].boxes == (Box("a", 0, 0, 10, 48), Box("a", 40, 40, 48, 48), Box("a", 1, 1, 2, 2))
    kinds = [(finding.kind, finding.names) for finding in dataset.findings]
    assert kinds == [("other-size", ("1.png",)), ("bad-box", ("1.png",))]


def test_an_image_is_measured_upright(tmp_path: Path, settings: Settings) -> None:
    from PIL import Image

    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (20, 10)).save(tmp_path / "1.jpg", exif=turned)
    assert [(s.width, s.height) for s in taken(tmp_path, settings).samples] == [(10, 20)]


def test_the_digest_is_over_content_not_names_and_places(source: Path, tmp_path: Path, settings: Settings) -> None:
    first = taken(source, settings)
    for folder in list(source.iterdir()):
        for number, path in enumerate(sorted(folder.iterdir(), reverse=True)):
            path.rename(folder / f"other {number}.png")
    source.rename(tmp_path / "elsewhere")
    moved = taken(tmp_path / "elsewhere", settings)
    assert [s.name for s in moved.samples] != [s.name for s in first.samples]
    assert moved.digest == first.digest
    (tmp_path / "elsewhere/a").rename(tmp_path / "elsewhere/c")
    assert taken(tmp_path / "elsewhere", settings).digest != first.digest


def test_a_file_that_goes_away_meanwhile_is_listed(
    source: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = intake._look

    def late(paths: Any, *rest: Any) -> Any:
        os.unlink(paths[0])  # noqa: PTH108 (a Path or not, as the code has it)
        return look(paths, *rest)

    monkeypatch.setattr(intake, "_look", late)
    dataset = taken(source, settings)
    assert len(dataset.samples) == 3
    assert [(finding.kind, finding.names) for finding in dataset.findings] == [("unreadable", ("a/000.png",))]


def test_a_full_disk_is_said(source: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    import lance

    def full(*_: object, **__: object) -> None:
        raise OSError("LanceError(IO): No space left on device (os error 28)")

    monkeypatch.setattr(lance, "write_dataset", full)
    with pytest.raises(StorageError, match="no space left on the disk") as caught:
        taken(source, settings)
    assert str(settings.home) in str(caught.value.where)


def test_a_full_disk_under_the_memory_is_said(
    source: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="no space left on the disk"):
        taken(source, settings)


def test_a_file_larger_than_any_picture_is_listed_unread(
    source: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trunkline.core import images

    with (source / "a/huge.png").open("wb") as stream:
        stream.truncate(images.MAX_BYTES + 1)  # takes no room on the disk
    read: list[str] = []
    whole = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or whole(path))
    (finding,) = taken(source, settings).findings
    assert (finding.kind, finding.names) == ("absurd-size", ("a/huge.png",))
    assert ("at most 512 MB, got 512 MB" in finding.message, "huge.png" in read) == (True, False)


def test_a_pipe_keeps_nobody_waiting(source: Path, settings: Settings) -> None:
    for name in ("a/pipe.png", "list.csv", "labels.json", "data.yaml"):
        os.mkfifo(source / name)
    dataset = taken(source, settings)
    assert [(f.kind, f.severity, f.names) for f in dataset.findings] == [
        ("special-file", "warning", ("a/pipe.png", "data.yaml", "labels.json", "list.csv"))
    ]
    with pytest.raises(DataError, match="expected a folder of images or a list, got what is neither"):
        taken(source / "list.csv", settings)


def test_nothing_readable_is_a_clear_error(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"found none: 1 file cannot be read and was left out: a/1.png") as caught:
        taken(tmp_path, settings)
    assert caught.value.where == str(tmp_path)


XML = """<annotation><size><width>{0}</width><height>{1}</height></size><object><name>a</name><bndbox><xmin>{2}</xmin>
<ymin>{3}</ymin><xmax>{4}</xmax><ymax>{5}</ymax></bndbox></object></annotation>"""
OTHER_SIZES = {
    "the size of the image": ([(48, 24, 2, 3, 40, 20)] * 2, [(2, 3, 40, 20)] * 2, ""),
    "half the size": ([(24, 12, 2, 3, 20, 10), (48, 24, 4, 6, 40, 20)], [(4, 6, 40, 20)] * 2, "1 image was of another"),
    "another shape": ([(24, 24, 2, 3, 20, 10)] * 2, [(2, 3, 20, 10)] * 2, "taken as they stand"),
    "boxes beyond it": (
        [(24, 12, 2, 3, 20, 10), (24, 12, 2, 3, 40, 20)],
        [(2, 3, 20, 10), (2, 3, 40, 20)],
        "as they stand",
    ),
    "no size": ([(0, 0, 2, 3, 20, 10)] * 2, [(2, 3, 20, 10)] * 2, ""),
}


@pytest.mark.parametrize("case", OTHER_SIZES)
def test_boxes_are_in_pixels_of_the_image_as_it_is(
    case: str, tmp_path: Path, settings: Settings, pictures: Any
) -> None:
    rows, expected, said = OTHER_SIZES[case]
    for at, row in enumerate(rows):
        (tmp_path / f"{at}.png").write_bytes(pictures.encode(at, size=(48, 24)))
        (tmp_path / f"{at}.xml").write_text(XML.format(*row))
    dataset = taken(tmp_path, settings)
    boxes = [(b.x1, b.y1, b.x2, b.y2) for sample in dataset.samples for b in sample.boxes]
    assert (boxes, [f.kind for f in dataset.findings]) == (expected, ["other-size"] if said else [])
    assert said in "".join(finding.message for finding in dataset.findings)
