"""What every sensor must do. A plugin's author adds the sensor to `EXAMPLES` and runs this file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Pictures
from trunkline.compute.sensors import SENSORS
from trunkline.core.errors import DataError
from trunkline.core.images import MAX_BYTES
from trunkline.core.types.observation import Reading

SEEDS = (0, 1, 2)


def folder(path: Path, pictures: Pictures) -> Path:
    path.mkdir(parents=True)
    for seed in SEEDS:
        (path / f"{seed}.png").write_bytes(pictures.encode(seed, size=(40 + seed, 30)))
    return path


EXAMPLES = {"folder": folder}
"""Makes what each sensor is pointed at: three pictures, seeds 0 to 2, 40 to 42 pixels wide, 30 high."""

each = pytest.mark.parametrize("name", EXAMPLES)


def point(name: str, at: Path, **options: object) -> Sequence[Reading]:
    sensor: Sequence[Reading] = SENSORS.load(name)(at, **{"max_pixels": 10_000, **options})
    return sensor


def facts(readings: Sequence[Reading]) -> list[tuple[str, int, float, tuple[int, ...]]]:
    return [(Path(r.source).name, r.frame, r.time, r.pixels.shape) for r in readings]


def test_every_sensor_is_tried() -> None:
    assert set(SENSORS.names()) == set(EXAMPLES)


@each
def test_reads_pixels_in_order_as_often_as_asked(name: str, tmp_path: Path, pictures: Pictures) -> None:
    sensor = point(name, EXAMPLES[name](tmp_path / "in", pictures))
    first, second = list(sensor), list(sensor)
    assert len(sensor) == 3
    assert facts(first) == facts(second)
    assert [reading.pixels.shape for reading in first] == [(30, 40 + seed, 3) for seed in SEEDS]
    expected = [pictures.array(seed, size=(40 + seed, 30)) for seed in SEEDS]
    assert [np.array_equal(r.pixels, e) for r, e in zip(first, expected, strict=True)] == [True] * 3


@each
def test_nothing_there_is_said_at_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        point(name, tmp_path / "none")
    assert caught.value.where == str(tmp_path / "none")


@each
def test_one_that_cannot_be_read_is_told_and_the_others_go_on(name: str, tmp_path: Path, pictures: Pictures) -> None:
    at = EXAMPLES[name](tmp_path / "in", pictures)
    told: list[tuple[Path, str]] = []
    readings = list(
        point(name, at, max_pixels=40 * 30, on_error=lambda path, error: told.append((path, error.message)))
    )
    assert [Path(reading.source).name for reading in readings] == ["0.png"]
    assert [path.name for path, _ in told] == ["1.png", "2.png"]
    assert {message.partition(",")[0] for _, message in told} == {"expected at most 1"}  # 1,200 pixels


@each
def test_one_that_cannot_be_read_stops_who_asks_for_no_report(name: str, tmp_path: Path, pictures: Pictures) -> None:
    at = EXAMPLES[name](tmp_path / "in", pictures)
    with pytest.raises(DataError) as caught:
        list(point(name, at, max_pixels=40 * 30))
    assert (caught.value.where, caught.value.fix is None) == (str(at / "1.png"), False)


def test_a_folder_is_walked_in_order_and_only_for_images(tmp_path: Path, pictures: Pictures) -> None:
    data = pictures.encode()
    for place in (
        "b.png",
        "a.PNG",
        "sub/c.jpeg",
        "sub/deep/-d.bmp",
        ".hidden.png",
        "notes.txt",
        "sub/README",
        "ü e.gif",
    ):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "dangling.png").symlink_to(tmp_path / "none")
    readings = list(point("folder", tmp_path))
    expected = ["a.PNG", "b.png", "sub/c.jpeg", "sub/deep/-d.bmp", "ü e.gif"]
    assert [reading.source for reading in readings] == [str(tmp_path / place) for place in expected]


def test_a_single_file_is_read_whatever_it_is_called(tmp_path: Path, pictures: Pictures) -> None:
    (tmp_path / "image").write_bytes(pictures.encode(form="JPEG"))
    assert facts(point("folder", tmp_path / "image")) == [("image", 0, 0.0, (48, 48, 3))]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match=r"expected images \(.*\.png.*\), found none"):
        point("folder", tmp_path)


def test_files_that_are_no_images_are_told_with_their_reason(
    tmp_path: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = pictures.encode(form="JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").touch()
    (tmp_path / "good.jpg").write_bytes(whole)
    with (tmp_path / "huge.png").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)  # sparse: it takes no room
    (tmp_path / "text.png").write_text("hello")
    read: list[str] = []
    kept = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (read.append(path.name), kept(path))[1])
    told: dict[str, str] = {}
    found = list(point("folder", tmp_path, on_error=lambda path, error: told.update({path.name: error.message})))
    assert read == ["cut.jpg", "empty.png", "good.jpg", "text.png"]
    assert [Path(reading.source).name for reading in found] == ["good.jpg"]
    assert list(told) == ["cut.jpg", "empty.png", "huge.png", "text.png"]
    assert [
        word in told[name] for name, word in zip(told, ("truncated", "0 bytes", "512 MB", "text"), strict=True)
    ] == [True] * 4


def test_a_file_that_goes_away_meanwhile_is_told(tmp_path: Path, pictures: Pictures) -> None:
    at = folder(tmp_path / "in", pictures)
    told: list[str] = []
    sensor = point("folder", at, on_error=lambda path, error: told.append(str(error)))
    (at / "1.png").unlink()
    assert [Path(reading.source).name for reading in sensor] == ["0.png", "2.png"]
    assert told == [f"{at / '1.png'}: cannot be read: No such file or directory"]
