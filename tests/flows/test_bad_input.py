"""Bad input: exit status 2, a message that says what was expected, what came, where and what to do; nothing is lost."""

from __future__ import annotations

import io
import json
import os
import resource
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Pictures
from tests.flows.conftest import Ran, Trunkline

Write = Callable[..., Path]


def said(ran: Ran, *texts: str) -> None:
    """The command refused its input, and said all of these."""
    assert ran.status == 2, (ran.status, ran.out, ran.err)
    assert "Traceback" not in ran.err
    assert [text for text in texts if text not in ran.err] == [], ran.err


def png(width: int, height: int, data: bytes, text: bytes = b"") -> bytes:
    """A PNG whose header says width x height, with deflated pixels and a deflated note."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    note = chunk(b"zTXt", b"note\0\0" + text) if text else b""
    return b"\x89PNG\r\n\x1a\n" + header + note + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def deflated(megabytes: int) -> bytes:
    """That many megabytes of nothing, two hundred times smaller."""
    deflate = zlib.compressobj(1)
    return b"".join(deflate.compress(bytes(1 << 20)) for _ in range(megabytes)) + deflate.flush()


def encoded(array: np.ndarray, form: str, mode: str | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(stream, form, **options)
    return stream.getvalue()


def test_empty_folder(trunkline: Trunkline, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said(trunkline("build", tmp_path / "empty"), "empty", "expected", "fix:")


def test_no_such_folder(trunkline: Trunkline, tmp_path: Path) -> None:
    said(trunkline("build", tmp_path / "nowhere"), "nowhere", "there is nothing here")


def test_one_class(trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "one", ("only",), 12)
    said(
        trunkline("build", write("one", folder)), "scenario one: expected at least 2 classes", "'only'", "task: anomaly"
    )


def test_two_images(trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "two", ("a", "b"), 1)
    said(trunkline("build", write("two", folder)), "4 images", "'a' has 1", "add images")


def test_one_bad_scenario_does_not_stop_the_others(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    good = write("good", pictures.folder(tmp_path / "good", ("a", "b"), 12))
    bad = write("bad", pictures.folder(tmp_path / "bad", ("only",), 12))
    ran = trunkline("build", bad, good, "--json")
    assert ran.status == 2
    assert [row["name"] for row in ran.rows] == ["good"]
    assert "scenario bad" in ran.err


def test_hostile_images_are_quarantined(trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    whole = pictures.encode(99, form="JPEG")
    bad = {
        "huge.png": png(20_000, 20_000, zlib.compress(bytes(1000))),
        "bomb.png": png(60_000, 60_000, zlib.compress(bytes(1000))),
        "cut.jpg": whole[: len(whole) // 2],
        "text.jpg": b"not an image\n",
        "zip.png": b"PK\x03\x04" + bytes(100),
        "nothing.png": b"",
    }
    for name, data in bad.items():
        (folder / "a" / name).write_bytes(data)
    ran = trunkline("build", write("parts", folder), "--json")
    assert ran.status == 0, ran.err
    found = {f["kind"]: sorted(f["names"]) for f in ran.row["findings"] if f["kind"] in ("unreadable", "absurd-size")}
    assert found == {
        "absurd-size": ["a/bomb.png", "a/huge.png"],
        "unreadable": ["a/cut.jpg", "a/nothing.png", "a/text.jpg", "a/zip.png"],
    }
    assert ran.row["images"] == 24


def test_bombs_that_inflate_take_no_memory(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    scenario = write("parts", folder)
    assert trunkline("build", scenario).status == 0  # what a build takes by itself
    nothing = deflated(256)
    (folder / "a" / "note.png").write_bytes(png(48, 48, zlib.compress(bytes(48 * 145)), nothing))
    (folder / "a" / "pixels.png").write_bytes(png(48, 48, nothing))
    with zipfile.ZipFile(folder / "a" / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("nothing", bytes(16 << 20))
    (folder / "a" / "zip.png").write_bytes((folder / "a" / "bomb.zip").read_bytes())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ran = trunkline("build", scenario, "--json")
    assert (ran.status, ran.row["images"]) == (0, 25), ran.err  # `pixels.png` is black; what comes behind is not read
    assert [f["names"] for f in ran.row["findings"] if f["kind"] == "unreadable"] == [["a/note.png", "a/zip.png"]]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # kilobytes
    said(trunkline("build", folder / "a" / "bomb.zip"), "bomb.zip", "unpack an archive first")


def coco(folder: Path, pictures: Pictures) -> Path:
    """Boxes of two labels whose numbers have holes; then one box each that no image can have."""
    labels = {7: "dent", 90: "scratch"}
    images, boxes = [], []
    for number in range(24):
        kind = number % 2
        (folder / f"{number}.png").write_bytes(pictures.encode(number, kind=kind))
        images.append({"id": 3 * number, "file_name": f"{number}.png", "width": 48, "height": 48})
        boxes.append({"image_id": 3 * number, "category_id": list(labels)[kind], "bbox": [4, 4, 20, 20]})
    wrong = [[100, 100, 20, 20], [4, 4, 0, 20], [float("nan"), 4, 20, 20]]
    boxes += [{"image_id": 0, "category_id": 90, "bbox": bbox} for bbox in wrong]
    content = {
        "images": images,
        "annotations": [{"id": i, "area": 1, "iscrowd": 0, **box} for i, box in enumerate(boxes)],
        "categories": [{"id": i, "name": name} for i, name in labels.items()],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_label_map_with_holes_and_boxes_that_cannot_be(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    (tmp_path / "boxes").mkdir()
    ran = trunkline("build", write("boxes", coco(tmp_path / "boxes", pictures), task="multilabel"), "--json")
    assert (ran.status, ran.row["images"], ran.row["classes"]) == (0, 24, 2), ran.err
    (bad,) = (f for f in ran.row["findings"] if f["kind"] == "bad-box")
    assert bad["names"] == ["0.png"] * 3
    assert trunkline("data", "show", "boxes", "--json").row["labels"] == {"dent": 12, "scratch": 12}


def test_all_kinds_of_pixels_are_taken(trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 12)
    rgb = pictures.array(50)
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds = {
        "cmyk.jpg": encoded(rgb, "JPEG", "CMYK"),
        "sixteen.png": encoded(rgb[..., 0].astype(np.uint16) * 257, "PNG"),
        "grey.png": encoded(rgb, "PNG", "L"),
        "alpha.png": encoded(rgb, "PNG", "RGBA"),
        "turned.jpg": encoded(rgb, "JPEG", exif=turned),
        "moving.gif": encoded(rgb, "GIF", save_all=True, append_images=[Image.fromarray(255 - rgb)]),
    }
    for name, data in kinds.items():
        (folder / "a" / name).write_bytes(data)
    ran = trunkline("build", write("parts", folder), "--json")
    assert (ran.status, ran.row["images"]) == (0, 24 + len(kinds)), ran.err


NAMES = (
    "with space",
    'it\'s "quoted"',
    "划痕",
    "-dash",
    "--option",
    "Case",
    "case",
    "tab\there",
    "emoji 🔩",
    "100%",
    "[x]",
)


def test_names_of_all_kinds(trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures) -> None:
    folder = tmp_path / "nämen of 零件"
    for kind, label in enumerate(NAMES):
        (folder / label).mkdir(parents=True)
        for seed in range(5):
            name = f"{NAMES[seed]}.png"
            (folder / label / name).write_bytes(pictures.encode(seed, kind=kind))
    ran = trunkline("build", write("names", folder), "--json")
    assert (ran.status, ran.row["classes"]) == (0, len(NAMES)), ran.err
    asked = trunkline("predict", "names", folder / "-dash" / "-dash.png", "--json")
    assert asked.status == 0, asked.err
    assert {p["label"] for p in asked.row["predictions"]} == set(NAMES)
    assert trunkline("build", write("names", folder)).status == 0
    assert trunkline("data", "show", "names").status == 0


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("task: classify\ndata: parts\ngatez: {}\n", (":3: gatez", "unknown key", "did you mean 'gates'")),
        ("task: classify\ndata: parts\nsplit: {test: much}\n", (":3: split.test", "got 'much'")),
        ("task: classify\n\tdata: parts\n", (":2:", "indent with spaces")),
        ("task: clasify\ndata: parts\n", (":1: task", "'classify'", "clasify")),
        ("task: classify\ndata: parts\ntrunk: eficientnet-lite0\n", ("trunk", "did you mean 'efficientnet-lite0'")),
        ("task: classify\ndata: parts\ngates: {acuracy: '>= 0.9'}\n", (":3: gates.acuracy", "accuracy")),
        ("task: classify\ndata: parts\ngates: {accuracy: high}\n", ("gates.accuracy", ">= 0.99")),
        ("task: classify\ndata: ''\n", (":2: data.0.path", "the scenario's own folder")),
        ('task: classify\ndata: "a\\0b"\n', (":2: data.0.path", "expected a folder or a file")),
        ("task: classify\ndata: parts\nlabels: {rename: {a: ''}}\n", (":3: labels.rename", "`ignore`")),
        ("", ("empty file", "trunkline new")),
        ("a: &a [x]\nb: *a\n", ("aliases",)),
    ],
)
def test_scenario_files(
    text: str, texts: tuple[str, ...], trunkline: Trunkline, tmp_path: Path, pictures: Pictures
) -> None:
    pictures.folder(tmp_path / "parts", ("a", "b"), 4)
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    said(trunkline("build", path), *texts)


@pytest.mark.parametrize("place", [0, 30, 0.3, 0.6, -80, -1])
def test_bundle_edited_by_one_byte(
    place: float, trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 8)
    row = trunkline("build", write("parts", folder), "--json").row
    data = bytearray(Path(row["bundle"]).read_bytes())
    data[int(place * len(data)) if isinstance(place, float) else int(place)] ^= 1
    changed = tmp_path / "changed.tlb"
    changed.write_bytes(data)
    said(trunkline("predict", changed, folder), "changed.tlb")
    changed.write_bytes(Path(row["bundle"]).read_bytes()[:-100])
    said(trunkline("predict", changed, folder), "changed.tlb")


def test_images_that_cannot_be_read_do_not_stop_predict(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 8)
    trunkline("build", write("parts", folder))
    (folder / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    ran = trunkline("predict", "parts", folder, "--json")
    assert (ran.status, len(ran.rows)) == (2, 16)
    assert "broken.png" in ran.err


def test_names_move_nothing_on_the_terminal(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 8)
    (folder / "a" / "\x1b[2Jx\ntrunkline: all is well.png").write_bytes(pictures.encode(80))
    (folder / "a" / "\x1b[31mbad\ntrunkline: all is well.png").write_bytes(b"nothing")
    ran = [trunkline("build", write("parts", folder)), trunkline("predict", "parts", folder)]
    words = ("--alias", "challenger", "--who", "a\x1b[2J\nb", "--why", "c\x9b2J\nwho d")
    ran.append(trunkline("models", "promote", "parts@1", *words))
    ran.append(trunkline("models", "show", "parts"))
    ran.append(trunkline("data", "show", "parts"))
    assert [one.status for one in ran] == [0, 2, 0, 0, 0], ran
    assert "who a\\x1b[2J\\x0ab, why c\\x9b2J\\x0awho d" in ran[3].out
    text = "".join(one.out + one.err for one in ran)
    assert sorted({c for c in text if not c.isprintable()}) == ["\n"]
    assert [line for line in text.splitlines() if line.startswith(("trunkline: all", "b,", "who d"))] == []


ODD = os.fsdecode(b"b\xe9d")


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["predict", ODD, "."], (f"{ODD}: expected a name in UTF-8",)),
        (["predict", f"steel@{ODD}", "."], ("expected a name in UTF-8",)),
        (["predict", f"{ODD}.tlb", "."], ("expected a name in UTF-8",)),
        (["models", "show", ODD], ("expected a name in UTF-8",)),
        (["models", "rollback", ODD], ("expected a name in UTF-8",)),
        (["models", "promote", "steel@1", "--why", ODD], ("--why",)),
        (["data", "show", ODD], ("expected a name in UTF-8",)),
        (["data", "diff", "parts", ODD], ("expected a name in UTF-8",)),
        (["data", "show", "parts@²"], ("no data set named 'parts@²'",)),
        (["evaluate", "steel", ODD], ("expected a name in UTF-8",)),
        (["build", ODD], (ODD, "there is nothing here")),
        (["data", "import", ".", "--name", ODD], ("--name",)),
        (["models", "ls", "--home", ODD], (ODD, "expected a home whose path is UTF-8 text")),
        (["doctor", "--home", ODD], ()),
    ],
)
def test_arguments_that_are_not_utf8(
    words: list[str], texts: tuple[str, ...], trunkline: Trunkline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said(trunkline(*words), *(text.encode(errors="backslashreplace").decode() for text in texts))


def test_paths_that_are_not_utf8_are_taken(
    trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures
) -> None:
    folder = pictures.folder(tmp_path / ODD, ("a", "b"), 8)
    bundle = Path(
        trunkline("build", write("parts", pictures.folder(tmp_path / "parts", count=8)), "--json").row["bundle"]
    )
    named = tmp_path / f"{ODD}.tlb"
    named.write_bytes(bundle.read_bytes())
    assert trunkline("predict", named, folder).status == 0
    assert trunkline("evaluate", named, folder).status == 0


def test_what_is_no_regular_file_keeps_nobody_waiting(trunkline: Trunkline, tmp_path: Path, pictures: Pictures) -> None:
    for name in ("scenario.yaml", "model.tlb", "picture.png"):
        os.mkfifo(tmp_path / name)
    said(trunkline("build", tmp_path / "scenario.yaml"), "scenario.yaml", "no regular file")
    said(trunkline("predict", tmp_path / "model.tlb", pictures.folder(tmp_path / "parts")), "model.tlb")
    said(trunkline("build", tmp_path / "picture.png"), "picture.png")


def test_unknown_names(trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 8)
    trunkline("build", write("steel", folder))
    said(trunkline("predict", "steal", folder), "steal", "did you mean 'steel'")
    said(trunkline("models", "show", "steel@7"), "steel@7", "steel@1")
    said(trunkline("evaluate", "steel", "partz"), "partz")
    said(trunkline("data", "show", "stel"), "did you mean 'steel'")
    said(trunkline("build", folder, "--task", "clasify"), "did you mean 'classify'")


def test_home_that_cannot_be_written(trunkline: Trunkline, tmp_path: Path, pictures: Pictures) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 8)
    (tmp_path / "file").write_text("")
    said(trunkline("build", folder, "--home", tmp_path / "file"), "expected a folder, got a file")
    said(trunkline("build", folder, "--home", "/proc/nowhere"), "/proc/nowhere")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True)
    if done.returncode:
        pytest.skip("this machine does not let tests mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_disk_full(trunkline: Trunkline, write: Write, tmp_path: Path, pictures: Pictures, small_disk: Path) -> None:
    folder = pictures.folder(tmp_path / "parts", ("a", "b"), 24)
    scenario = write("parts", folder)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(700_000))
    said(trunkline("build", scenario, "--home", small_disk / "home"), "no space left", "free some space")
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    ran = trunkline("build", scenario, "--home", small_disk / "home", "--json")
    assert (ran.status, ran.row["status"]) == (0, "passed"), ran.err
