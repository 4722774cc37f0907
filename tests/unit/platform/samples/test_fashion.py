from __future__ import annotations

import gzip
import stat
from pathlib import Path

import numpy as np
import pytest

from trunkline.core.errors import DataError
from trunkline.platform.samples import debian, fashion
from trunkline.platform.samples.debian import unpacked
from trunkline.platform.samples.fashion import GARMENTS, FashionMnist, content, read


def idx(each: int) -> tuple[bytes, bytes]:
    """Made-up files of the real layout: `each` pictures a garment."""
    kinds = np.arange(10 * each, dtype=np.uint8) % 10
    pixels = np.random.default_rng(0).integers(0, 255, (len(kinds), 28, 28), np.uint8)
    return b"\0" * 16 + pixels.tobytes(), b"\0" * 8 + kinds.tobytes()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small files of the real layout, whose digests are taken for the known ones."""
    folder = tmp_path / "place"
    folder.mkdir()
    known = {}
    for name, data in zip((fashion.IMAGES, fashion.LABELS), idx(300), strict=True):
        (folder / f"{name}.gz").write_bytes(gzip.compress(data, 1))
        known[name] = (fashion.digest_bytes(data), len(data))
    monkeypatch.setattr(fashion, "_CONTENT", known)
    return folder


def none(_: Path) -> Path:
    raise DataError("nothing here")


def test_takes_the_first_way_that_works(place: Path, tmp_path: Path) -> None:
    source = FashionMnist(
        [("first", none), ("second", lambda _: place), ("third", lambda _: pytest.fail("one too many"))]
    )
    sets = source.collect(tmp_path / "into")
    assert [(s.name, s.task, s.images) for s in sets] == [
        ("garments", "classify", 2000),
        ("garment-quads", "multilabel", 200),
    ]
    assert sorted(p.name for p in sets[0].path.iterdir()) == sorted(GARMENTS)
    found = source.scenarios(sets)
    assert len(found) == 24
    assert {scenario.task for scenario in found} == {"classify", "multilabel", "anomaly"}


def test_says_why_each_way_failed(place: Path, tmp_path: Path) -> None:
    (place / f"{fashion.LABELS}.gz").write_bytes(gzip.compress(b"other labels"))
    ways = [("installed", none), ("apt", lambda _: place), ("upstream", lambda _: tmp_path / "nowhere")]
    with pytest.raises(DataError) as caught:
        FashionMnist(ways).collect(tmp_path / "into")
    assert caught.value.message.startswith(
        "Fashion-MNIST could not be had (installed: nothing here; "
        f"apt: {fashion.LABELS}.gz does not hold what it should: expected SHA-256 "
    )
    assert f"upstream: No such file or directory: {fashion.IMAGES}.gz" in caught.value.message
    assert not (tmp_path / "into" / "fashion-mnist").exists()


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (b"no gzip", "is no gzip file"),
        (gzip.compress(bytes(1 << 26)), "does not hold what it should"),
        (b"", "does not hold what it should"),
    ],
    ids=["no gzip", "bomb", "empty"],
)
def test_content_refuses(place: Path, packed: bytes, words: str) -> None:
    (place / f"{fashion.IMAGES}.gz").write_bytes(packed)
    with pytest.raises(DataError, match=words):
        content(place, fashion.IMAGES)


def test_read_sorts_by_garment() -> None:
    images, labels = idx(2)
    by_garment = read(images, labels)
    assert list(by_garment) == list(GARMENTS)
    assert [len(pictures) for pictures in by_garment.values()] == [2] * 10
    assert by_garment["bag"][0].tobytes() == images[16 + 8 * 784 : 16 + 9 * 784]


@pytest.mark.apt("dataset-fashion-mnist")
def test_the_installed_package(tmp_path: Path) -> None:
    sets = FashionMnist().collect(tmp_path)
    assert [s.images for s in sets] == [2000, 200]


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


DOWNLOAD = 'case "$*" in *download*) touch pkg_1_all.deb;; esac'


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(debian.shutil, "which", lambda name: str(folder / name) if (folder / name).exists() else None)
    return folder


def test_apt_then_own_lists(tools: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    fake(
        tools,
        "apt-get",
        f'echo "$*" >> {log}\ncase "$*" in *lists*) {DOWNLOAD};; *) echo "E: no lists" >&2; exit 100;; esac',
    )
    fake(tools, "dpkg-deb", 'mkdir -p "$3" && echo there > "$3/file"')
    assert (unpacked("pkg", tmp_path / "into") / "file").read_text() == "there\n"
    assert [line.split()[-1] for line in log.read_text().splitlines()] == ["pkg", "update", "pkg"]
    assert f"Dir::State::lists={tmp_path / 'into' / 'lists'}" in log.read_text().splitlines()[1]


@pytest.mark.parametrize(
    ("apt", "dpkg", "words"),
    [
        ("", "exit 0", "has no apt"),
        (
            "echo 'W: first' >&2; echo 'E: Unable to locate package' >&2; exit 100",
            "exit 0",
            "E: Unable to locate package",
        ),
        ("exit 0", "exit 0", "no file came"),
        ("sleep 9", "exit 0", "no end after 0.3 s"),
        (DOWNLOAD, "echo broken archive >&2; exit 2", "could not unpack it: broken archive"),
    ],
    ids=["no apt", "no package", "no file", "hangs", "broken archive"],
)
def test_apt_says_why_not(tools: Path, tmp_path: Path, apt: str, dpkg: str, words: str) -> None:
    if apt:
        fake(tools, "apt-get", apt)
    fake(tools, "dpkg-deb", dpkg)
    with pytest.raises(DataError, match=words):
        unpacked("pkg", tmp_path / "into", seconds=0.3 if "sleep" in apt else 20)
