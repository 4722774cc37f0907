"""ONNX Runtime Web is taken from npm or from the user, and is nothing but the bytes that are pinned."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import InputError
from trunkline.platform.export import vendor

FILES = {"ort.js": b"script", "ort.wasm": b"\0asm"}


def packed(files: dict[str, bytes], *, links: tuple[tuple[str, str], ...] = ()) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return stream.getvalue()


PACKAGE = packed(
    {
        "../outside": b"x", "/absolute": b"x", "package/package.json": b"{}", "package/dist/more.js": b"x",
        **{f"package/dist/{name}": data for name, data in FILES.items()},
    }
)  # fmt: skip


def integrity(data: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


@pytest.fixture(autouse=True)
def _pins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "INTEGRITY", integrity(PACKAGE))
    monkeypatch.setattr(vendor, "FILES", {name: digest_bytes(data) for name, data in FILES.items()})


Npm = Callable[[str], Path]


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Npm:
    """Puts a program named npm on the path, which runs some Python and writes down how it was called."""

    def install(code: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (tmp_path / "archive.tgz").write_bytes(PACKAGE)
        calls = tmp_path / "calls"
        script = folder / "npm"
        script.write_text(
            f"#!{sys.executable}\nimport sys, shutil, time, pathlib\n"
            f"here = pathlib.Path({str(tmp_path)!r})\nopen({str(calls)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
            f"into = sys.argv[sys.argv.index('--pack-destination') + 1]\n{code}\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return calls

    return install


GIVES = "shutil.copy(here / 'archive.tgz', into + '/onnxruntime-web.tgz')"


def test_npm_is_asked_once_for_the_pinned_version(npm: Npm, home: Path) -> None:
    calls, said = npm(GIVES), list[str]()
    for _ in range(2):
        assert vendor.onnxruntime_web(home, brought=None, say=said.append) == FILES
    (call,) = calls.read_text().splitlines()
    assert call.startswith("pack onnxruntime-web@1.30.0 ") and " --ignore-scripts" in call
    assert said == ["fetching onnxruntime-web@1.30.0 with npm, once for this home (33 MB)"]
    assert [path.name for path in (home / "web").iterdir()] == ["onnxruntime-web-1.30.0.tgz"]


def test_what_was_kept_and_is_damaged_is_fetched_again(npm: Npm, home: Path) -> None:
    calls = npm(GIVES)
    kept = home / "web" / "onnxruntime-web-1.30.0.tgz"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(PACKAGE[:-1])
    assert vendor.onnxruntime_web(home, brought=None, say=lambda _: None) == FILES
    assert (len(calls.read_text().splitlines()), kept.read_bytes() == PACKAGE) == (1, True)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit('npm error 404 no such package')", "npm could not fetch .*404 no such package"),
        ("", "npm could not fetch .*it left no archive"),
        ("open(into + '/x.tgz', 'wb').write(b'something else')", "expected the archive of .* got sha512-"),
        ("time.sleep(5)", "npm could not fetch .*did not end within 0.5 s"),
    ],
)
def test_what_npm_cannot_bring_is_told(
    npm: Npm, home: Path, code: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm(code)
    monkeypatch.setattr(vendor, "_TIMEOUT", 0.5)
    with pytest.raises(InputError, match=said) as caught:
        vendor.onnxruntime_web(home, brought=None, say=lambda _: None)
    assert "--onnxruntime-web" in (caught.value.fix or "")
    assert caught.value.exit_status == 2


def test_without_npm_it_is_told_what_to_install_or_bring(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="npm, which fetches it, is not installed") as caught:
        vendor.onnxruntime_web(home, brought=None, say=lambda _: None)
    assert "npm pack onnxruntime-web@1.30.0" in (caught.value.fix or "")


@pytest.mark.parametrize("place", ["", "dist", "package/dist"])
def test_a_folder_is_taken(home: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "ort" / place).mkdir(parents=True)
    for name, data in FILES.items():
        (tmp_path / "ort" / place / name).write_bytes(data)
    assert vendor.onnxruntime_web(home, brought=tmp_path / "ort", say=lambda _: None) == FILES
    assert not home.exists()


def test_an_archive_is_taken(home: Path, tmp_path: Path) -> None:
    (tmp_path / "ort.tgz").write_bytes(PACKAGE)
    assert vendor.onnxruntime_web(home, brought=tmp_path / "ort.tgz", say=lambda _: None) == FILES
    assert not home.exists()


def test_a_link_in_an_archive_is_no_file(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where somebody has pinned such an archive."""
    (tmp_path / "ort.wasm").write_bytes(FILES["ort.wasm"])
    data = packed(
        {"package/dist/ort.js": FILES["ort.js"]}, links=(("package/dist/ort.wasm", str(tmp_path / "ort.wasm")),)
    )
    monkeypatch.setattr(vendor, "INTEGRITY", integrity(data))
    (tmp_path / "ort.tgz").write_bytes(data)
    with pytest.raises(InputError, match=r"expected ort\.wasm of onnxruntime-web@"):
        vendor.onnxruntime_web(home, brought=tmp_path / "ort.tgz", say=lambda _: None)


def nothing(folder: Path) -> Path:
    return folder / "nothing"


def other_archive(folder: Path) -> Path:
    (folder / "ort.tgz").write_bytes(packed({"package/dist/ort.js": b"other"}))
    return folder / "ort.tgz"


def changed(folder: Path) -> Path:
    (folder / "ort.js").write_bytes(b"other")
    (folder / "ort.wasm").write_bytes(FILES["ort.wasm"])
    return folder


def half(folder: Path) -> Path:
    (folder / "ort.js").write_bytes(FILES["ort.js"])
    return folder


def huge(folder: Path) -> Path:
    (folder / "ort.tgz").touch()
    os.truncate(folder / "ort.tgz", (64 << 20) + 1)
    return folder / "ort.tgz"


@pytest.mark.parametrize(
    ("bring", "said"),
    [
        (nothing, "cannot be read: No such file"),
        (other_archive, "expected the archive of onnxruntime-web@1.30.0"),
        (changed, "expected ort.js of onnxruntime-web@1.30.0 with SHA-256"),
        (half, "cannot be read: No such file"),
        (huge, "expected at most 67,108,864 bytes"),
    ],
)
def test_what_is_brought_and_is_not_it_is_refused(
    bring: Callable[[Path], Path], said: str, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "brought"
    folder.mkdir()
    with pytest.raises(InputError, match=said):
        vendor.onnxruntime_web(home, brought=bring(folder), say=lambda _: None)
