"""Bad input: exit status 2, a message that says what was expected, what came, where and what to do; nothing is lost."""

from __future__ import annotations

import io
import os
import struct
import subprocess
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


def bomb(width: int, height: int) -> bytes:
    """A small PNG whose header says width x height."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000)) if width * height > 10**7 else zlib.compress(bytes(height * (3 * width + 1)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


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
    said(trunkline("build", write("one", folder)), "expected at least 2 classes", "'only'", "task: anomaly")


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
        "huge.png": bomb(20_000, 20_000),
        "bomb.png": bomb(60_000, 60_000),
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
