from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import DataError, NotFoundError, StorageError
from trunkline.core.settings import Settings
from trunkline.core.types.dataset import Box, Dataset, Sample
from trunkline.core.types.scenario import Source
from trunkline.platform.data.export import export
from trunkline.platform.data.intake import take_in
from trunkline.platform.data.store import ImageStore


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings(home=home, threads=1)


def dataset(settings: Settings, names: Sequence[str], datas: Sequence[bytes], label: str = "a") -> Dataset:
    ImageStore(settings.home).add((digest_bytes(data), data) for data in datas)
    pairs = zip(names, datas, strict=True)
    return Dataset(
        "parts", 1, tuple(Sample(digest_bytes(data), name, (label,), (), "", 48, 48) for name, data in pairs)
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_images_are_written_byte_for_byte(settings: Settings, pictures: Any, tmp_path: Path) -> None:
    datas = [pictures.encode(0, form="JPEG"), pictures.encode(1, form="BMP")]
    export(dataset(settings, ["x/1.jpg", "x/2.bmp"], datas), tmp_path / "new/out", "imagefolder", settings)
    assert tree(tmp_path / "new") == {"out/a/1.jpg": datas[0], "out/a/2.bmp": datas[1]}


NAMES: dict[str, tuple[list[str], list[str]]] = {
    "folders stay": (["line 3/001.png", "line 4/001.png"], ["line 3/001.png", "line 4/001.png"]),
    "folders of a layout go": (["images/train/1.png", "JPEGImages/2.png"], ["1.png", "2.png"]),
    "case alone": (["A.png", "a.png", "b/C.png", "B/c.png"], ["A.png", "a-2.png", "b/C.png", "B/c-2.png"]),
    "ending alone": (["1.png", "1.jpg"], ["1.png", "1-2.jpg"]),
    "the same name": (["1.png", "1.png", "1-2.png", "1.png"], ["1.png", "1-2.png", "1-2-2.png", "1-3.png"]),
    "two ways to write \u00e9": (["\u00e9.png", "e\u0301.png"], ["\u00e9.png", "e\u0301-2.png"]),
    "ways out": (["../../x.png", "/etc/y.png", "..\\z.png", ".hidden.png"],
                 ["x.png", "etc/y.png", "z.png", "_.hidden.png"]),
    "letters that others refuse": (['a:b*c?"<>|.png', "tab\t\n.png", "dot./1.png", " s .png"],
                                   ["a_b_c_____.png", "tab__.png", "dot/1.png", "s .png"]),
    "no ending": (["frame", "v1.0", "", "x.txt"], ["frame.png", "v1.0.png", "image.png", "x.txt.png"]),
    "a folder like a file": (["x.png/1.png", "x.png"], ["x.png_/1.png", "x.png"]),
    "other scripts, quotes, a dash": (["上海/钢板 1.png", "it's.png", "-rf.png"],
                                     ["上海/钢板 1.png", "it's.png", "-rf.png"]),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_names_are_safe_and_told_apart(case: str, settings: Settings, pictures: Any, tmp_path: Path) -> None:
    names, expected = NAMES[case]
    datas = [pictures.encode(seed) for seed in range(len(names))]
    export(dataset(settings, names, datas), tmp_path / "out", "csv", settings)
    lines = (tmp_path / "out/labels.csv").read_text().splitlines()
    written = {name: data for name, data in tree(tmp_path / "out").items() if name != "labels.csv"}
    assert written == {f"images/{name}": data for name, data in zip(expected, datas, strict=True)}
    assert lines == ["path,label,split", *(f"images/{name},a," for name in expected)]


def test_endings_are_those_of_the_bytes_where_a_name_has_none(
    settings: Settings, pictures: Any, tmp_path: Path
) -> None:
    forms = {"JPEG": "jpg", "PNG": "png", "BMP": "bmp", "GIF": "gif", "WEBP": "webp", "PPM": "ppm", "TIFF": "tif"}
    datas = [pictures.encode(seed, form=form) for seed, form in enumerate(forms)]
    export(dataset(settings, list(forms), datas), tmp_path / "out", "imagefolder", settings)
    assert sorted(tree(tmp_path / "out")) == sorted(f"a/{form}.{ending}" for form, ending in forms.items())


def test_names_too_long_are_cut_and_stay_apart(settings: Settings, pictures: Any, tmp_path: Path) -> None:
    names = ["钢" * 200 + "1.png", "钢" * 200 + "2.png"]
    export(
        dataset(settings, names, [pictures.encode(1), pictures.encode(2)]), tmp_path / "out", "imagefolder", settings
    )
    written = [Path(name).name for name in tree(tmp_path / "out")]
    assert len({name.casefold() for name in written}) == 2
    assert all(len(name.encode()) <= 120 and name.endswith(".png") for name in written)


def test_many_of_one_name_cost_no_more_than_few(settings: Settings, pictures: Any, tmp_path: Path) -> None:
    data = pictures.encode(1, size=(2, 2))
    export(dataset(settings, ["1.png"] * 3000, [data] * 3000), tmp_path / "out", "imagefolder", settings)
    assert len(tree(tmp_path / "out")) == 3000
    assert (tmp_path / "out/a/1-3000.png").exists()


def filled(out: Path) -> None:
    out.mkdir()
    (out / ".x").touch()


IN_THE_WAY = {"a folder with a file": filled, "a file": Path.touch, "a link": lambda out: out.symlink_to(out.parent)}


@pytest.mark.parametrize("case", IN_THE_WAY)
def test_nothing_is_written_over(case: str, settings: Settings, pictures: Any, tmp_path: Path) -> None:
    made = dataset(settings, ["1.png"], [pictures.encode(1)])
    out = tmp_path / "place" / "out"
    out.parent.mkdir()
    IN_THE_WAY[case](out)
    before = sorted(out.parent.rglob("*"))
    with pytest.raises(DataError, match=r"expected an? (empty )?folder") as caught:
        export(made, out, "imagefolder", settings)
    assert (caught.value.where, sorted(out.parent.rglob("*"))) == (str(out), before)


def test_nothing_is_written_into_a_source(settings: Settings, pictures: Any, tmp_path: Path) -> None:
    source = pictures.folder(tmp_path / "source", count=1)
    made = take_in([Source(path=source)], settings, name="parts")
    before = sorted(tmp_path.rglob("*"))
    larger = settings.model_copy(update={"max_pixels": settings.max_pixels + 1})
    for out, now in ((source / "out", settings), (source / "a" / "b" / "out", settings), (source / "out", larger)):
        with pytest.raises(DataError, match="expected a folder outside the source") as caught:
            export(made, out, "imagefolder", now)
        assert (caught.value.where, str(source) in caught.value.message) == (str(out), True)
    assert sorted(tmp_path.rglob("*")) == before
    export(made, tmp_path / "source-2", "imagefolder", settings)


def test_an_empty_folder_may_be_there(settings: Settings, pictures: Any, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    export(dataset(settings, ["1.png"], [pictures.encode(1)]), Path("out/../out"), "imagefolder", settings)
    assert sorted(tree(tmp_path / "out")) == ["a/1.png"]


FULL = OSError(errno.ENOSPC, "No space left on device")
DENIED = PermissionError(errno.EACCES, "Permission denied")
FAULTS = {
    "full while images are written": (Path, "write_bytes", FULL, "no space left on the disk"),
    "full while labels are written": (Path, "write_text", FULL, "no space left on the disk"),
    "not to be written": (Path, "mkdir", DENIED, "this place cannot be written"),
    "a file in the way": (Path, "mkdir", NotADirectoryError(errno.ENOTDIR, "Not a directory"),
                          "expected a folder, got a file"),
    "filled meanwhile": (Path, "replace", OSError(errno.ENOTEMPTY, "Directory not empty"),
                         "this place cannot be written"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_of_the_disk_leaves_nothing(
    case: str, settings: Settings, pictures: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, method, fault, message = FAULTS[case]
    made = dataset(settings, ["1.png"], [pictures.encode(1)])

    def failing(*_: object, **__: object) -> None:
        raise fault

    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patch, pytest.raises(StorageError, match=message) as caught:
        patch.setattr(owner, method, failing)
        export(made, tmp_path / "out", "csv", settings)
    assert (caught.value.where, bool(caught.value.fix)) == (str(tmp_path / "out"), True)
    assert sorted(tmp_path.iterdir()) == before


def test_an_unknown_layout_or_a_missing_image_is_named(settings: Settings, pictures: Any, tmp_path: Path) -> None:
    made = dataset(settings, ["1.png"], [pictures.encode(1)])
    with pytest.raises(NotFoundError, match="did you mean 'coco'"):
        export(made, tmp_path / "out", "cocoo", settings)
    gone = Dataset("parts", 1, (Sample("f" * 64, "1.png", ("a",)),))
    with pytest.raises(NotFoundError, match=f"no image named '{'f' * 64}'"):
        export(gone, tmp_path / "out", "imagefolder", settings)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_held_is_said_with_the_layouts_that_can(settings: Settings, tmp_path: Path) -> None:
    boxed = Dataset("parts", 1, (Sample("f" * 64, "1.png", (), (Box("a", 0, 0, 1, 1),), "", 8, 8),), ("a",))
    with pytest.raises(DataError) as caught:
        export(boxed, tmp_path / "out", "imagefolder", settings)
    assert (caught.value.message, caught.value.where, caught.value.fix) == (
        "the layout imagefolder has no place for boxes (1 images have some)", "parts",
        "choose one that can hold it all: coco, csv, datumaro, voc, yolo",
    )  # fmt: skip
