"""Files of a source: looked at without reading them, listed once, and never given out when they leave its folder."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from functools import cached_property, lru_cache
from pathlib import Path

from trunkline.core.errors import DataError
from trunkline.core.images import IMAGE_SUFFIXES, MAX_BYTES, probe
from trunkline.platform.data.fingerprint import walk
from trunkline.platform.data.formats.notes import Notes

NEUTRAL = frozenset({"images", "image", "imgs", "img", "jpegimages"})
"""Names of folders that say "images are here" and nothing about a class."""
LAYOUT_WORDS = NEUTRAL | {"annotations", "labels", "imagesets"}
_SPLITS = {
    "train": "train", "training": "train", "trainval": "train", "val": "val", "valid": "val", "validation": "val",
    "dev": "val", "test": "test", "testing": "test",
}  # fmt: skip
_JUNK = frozenset({"__MACOSX"})
_HEAD = 64 << 10
_PEEKS = 20  # JSON files of a folder that are looked into
_FIRST = 200  # files or folders below a folder that are looked at to tell a layout


@lru_cache(1024)  # asked for each row of a list and each folder of a path
def split_word(name: str) -> str:
    """ "train", "val" or "test" for a name that means one of them ("valid", "train2017"), else ""."""
    return _SPLITS.get(re.sub(r"[\s_-]*\d*$", "", name.strip().casefold()), "")


def is_image(name: str) -> bool:
    """Whether a file's ending says that it is an image."""
    return posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES


def stem_of(path: str) -> str:
    """A relative path without its last ending."""
    return posixpath.splitext(path)[0]


def read_bounded(path: Path, limit: int, kind: str) -> bytes:
    """The bytes of a file of labels.

    Raises:
        DataError: When it is larger than `limit` bytes or cannot be read.
    """
    try:
        seen = path.stat()
        if not stat.S_ISREG(seen.st_mode):
            raise DataError(f"expected {kind}, got what is no regular file", where=str(path))
        if seen.st_size > limit:
            raise DataError(
                f"expected {kind} of at most {limit >> 20} MB, got {seen.st_size >> 20} MB", where=str(path)
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"expected {kind}: {error.strerror or error}", where=str(path)) from error


def size_of(path: Path) -> tuple[int, int] | None:
    """Width and height after EXIF orientation, from the header; None when the file is no image that can be read."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
            try:
                info = probe(head)
            except DataError:  # headers may stand anywhere (TIFF), or behind large metadata (JPEG)
                if len(head) < _HEAD or os.fstat(stream.fileno()).st_size > MAX_BYTES:
                    return None
                info = probe(head + stream.read())
    except (OSError, DataError):
        return None
    return info.width, info.height


class Look:
    """A source seen from outside: names, and the first kilobytes of a few files.

    A folder that holds nothing but one other folder (an unpacked archive) is passed through.

    Attributes:
        path: What was asked about.
        file: Whether it is a single file.
        top: The folder that the layout begins in, relative to `path`, with "/" at its end; "" for `path` itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = not path.is_dir()
        self._listed: dict[str, tuple[list[str], list[str]]] = {}
        self._real = path.resolve()
        self.top = "" if self.file else self._unwrap()

    def _unwrap(self) -> str:
        top = ""
        for _ in range(8):
            folders, files = self._list(top)
            if len(folders) != 1 or any(not name.casefold().startswith(("readme", "licen")) for name in files):
                break
            name = folders[0]
            inner = self._list(f"{top}{name}/")
            if split_word(name) or name.casefold() in LAYOUT_WORDS or not inner[0] or any(map(is_image, inner[1])):
                break
            top += f"{name}/"
        return top

    def _list(self, folder: str) -> tuple[list[str], list[str]]:
        if folder not in self._listed:
            folders: list[str] = []
            files: list[str] = []
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or entry.name in _JUNK:
                        continue
                    if entry.is_symlink() and not _within(Path(entry.path), self._real):
                        continue  # a file of labels that is outside is not read either
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.name)
                    elif entry.is_file():  # a named pipe would keep us waiting for ever
                        files.append(entry.name)
            self._listed[folder] = (sorted(folders), sorted(files))
        return self._listed[folder]

    def folders(self, below: str = "") -> list[str]:
        """Names of the folders in a folder ("images/"), sorted; none when it is not there."""
        return [] if self.file or not self._is_folder(below) else self._list(self.top + below)[0]

    def files(self, below: str = "") -> list[str]:
        """Names of the files in a folder, sorted; none when it is not there."""
        return [] if self.file or not self._is_folder(below) else self._list(self.top + below)[1]

    def _is_folder(self, below: str) -> bool:
        return not below or (self.path / self.top / below).is_dir()

    def named(self, *words: str, below: str = "") -> list[str]:
        """Folders of these names, whatever their case, as "Annotations/"."""
        return [f"{below}{name}/" for name in self.folders(below) if name.casefold() in words]

    def sides(self) -> list[str]:
        """Folders that are named like splits, as "train/"."""
        return [f"{name}/" for name in self.folders() if split_word(name)]

    def having(self, suffix: str, below: str) -> bool:
        """Whether a file of this ending is in a folder, or in one of the folders in it."""
        places = [below, *(f"{below}{name}/" for name in self.folders(below)[:_FIRST])]
        return any(name.lower().endswith(suffix) for place in places for name in self.files(place))

    def images(self) -> bool:
        """Whether there is an image anywhere below; looks at 10,000 names at most."""
        left = 10_000
        for _, folders, names in os.walk(self.path):
            if any(is_image(name) and not name.startswith(".") for name in names):
                return True
            folders[:] = [name for name in folders if not name.startswith(".") and name not in _JUNK]
            left -= len(names) + 1
            if left < 0:
                break
        return False

    def jsons(self) -> list[tuple[str, str]]:
        """Path and first 64 KB of JSON files where layouts keep them; "" stands for the source itself."""
        if self.file:
            return [("", _head(self.path))] if self.path.suffix.lower() == ".json" else []
        places = ["", *self.named("annotations"), *self.sides()]
        found = [place + name for place in places for name in self.files(place) if name.lower().endswith(".json")]
        return [(name, _head(self.path / self.top / name)) for name in found[:_PEEKS]]

    def describe(self) -> str:
        """What is here, for people: "2 folders (a, b) and 3 files (.pdf, .txt)"."""
        if self.file:
            return f"a single file ({self.path.suffix or 'no ending'})"
        folders, files = self._list(self.top)
        if not folders and not files:
            return "an empty folder"
        shown = ", ".join(folders[:5]) + (", ..." if len(folders) > 5 else "")
        endings = sorted({posixpath.splitext(name)[1].lower() or "no ending" for name in files})
        parts = [f"{len(folders)} folder{'s' * (len(folders) > 1)} ({shown})"] * bool(folders)
        parts += [f"{len(files)} file{'s' * (len(files) > 1)} ({', '.join(endings[:5])})"] * bool(files)
        return " and ".join(parts) + ", and no image"


def _head(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_HEAD).decode("utf-8", "replace")
    except OSError:
        return ""


class Folder:
    """The folder of a source: every file in it by relative path, and nothing outside it.

    Attributes:
        root: The folder.
        notes: Told of links and names that lead outside.
    """

    def __init__(self, root: Path, notes: Notes) -> None:
        self.root = root
        self.notes = notes
        self._real = root.resolve()
        self._inside: dict[str, bool] = {}
        self._refused: set[str] = set()

    @cached_property
    def files(self) -> dict[str, None]:
        """Relative paths of all files, sorted. Hidden names, links that leave the folder and names that are not text
        are passed over.
        """
        found: dict[str, None] = {}
        for name, seen in walk(self.root):
            if name.split("/", 1)[0] in _JUNK or "/__MACOSX/" in name:
                continue
            if not name.isascii() and not _is_text(name):
                self.notes.add("bad-name", name, "not UTF-8; rename the file")
            elif stat.S_ISREG(seen.st_mode) or (stat.S_ISLNK(seen.st_mode) and self._link(name)):
                found[name] = None
            elif not stat.S_ISLNK(seen.st_mode):
                self.notes.add("special-file", name, "not a regular file")
        return found

    @cached_property
    def images(self) -> list[str]:
        """Relative paths of all files that are images by their ending, sorted."""
        return [name for name in self.files if is_image(name)]

    def _link(self, name: str) -> bool:
        """Whether a link leads to a file inside the folder."""
        if not _within(self.root / name, self._real):
            self._refuse(name)
            return False
        return (self.root / name).is_file()

    def _refuse(self, name: str) -> None:
        self._refused.add(name)
        self.notes.add("outside-path", name, "a link that leaves the folder; copy the file into it")

    def relative(self, name: str, base: str = "") -> str | None:
        """A name from a file of labels as a path relative to the folder, or None, with a note, when it leaves it.

        Args:
            name: The name as it is written; "\\" parts folders where Windows wrote it.
            base: Folder that it is relative to, as "annotations/".
        """
        plain = name.replace("\\", "/")
        made = posixpath.normpath(base + plain)
        if plain.startswith("/") or re.match(r"[A-Za-z]:/", plain) or made.startswith("../") or made in ("..", "."):
            self.notes.add("outside-path", name, "leaves the source's folder; name files relative to it")
            return None
        return made

    def has(self, name: str) -> bool:
        """Whether a file is there, without listing the folder; a link that leaves the folder is noted."""
        try:
            mode = os.lstat(f"{self.root}/{name}").st_mode  # no Path is made for each row of a list
            parent = posixpath.dirname(name)
            if parent not in self._inside:  # a folder on the way may be a link as well
                self._inside[parent] = _within(self.root / parent, self._real)
            if not self._inside[parent]:
                self._refuse(name)
                return False
        except (OSError, ValueError):  # not there, a name too long, a NUL in it
            return False
        return stat.S_ISREG(mode) or (stat.S_ISLNK(mode) and self._link(name))

    def missing(self, name: str, reason: str) -> None:
        """Note that a named file is not there, unless it is a link that was refused."""
        if name not in self._refused:
            self.notes.add("missing-file", name, reason)


def _within(path: Path, folder: Path) -> bool:
    """Whether what a path leads to is in a folder, which holds no link itself."""
    try:
        return path.resolve().is_relative_to(folder)
    except (OSError, RuntimeError):  # a loop of links
        return False


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that Python could not decode
        return False
    return True
