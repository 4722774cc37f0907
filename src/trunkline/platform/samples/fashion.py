"""Fashion-MNIST: photographs of garments, 28x28 grey (H. Xiao, K. Rasul, R. Vollgraf, arXiv:1708.07747, MIT licence).

Taken from where it is nearest: installed by Debian's package, that package downloaded and unpacked without root, or
the authors' repository. The 10,000 pictures of the data set's test part are enough here; the digest of their content
is the same wherever they come from and is always checked.
"""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import DataError, StorageError, TrunklineError
from trunkline.platform.samples.base import Picture, Progress, SampleSet, publish
from trunkline.platform.samples.cut import Row, classes, images_of, one_or_not, stranger, table
from trunkline.platform.samples.debian import unpacked
from trunkline.platform.samples.digits import whole
from trunkline.platform.samples.download import download
from trunkline.platform.samples.mosaics import mosaics

if TYPE_CHECKING:
    import numpy as np

    from trunkline.core.types.scenario import Scenario

GARMENTS = ("t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
_CONTENT = {
    IMAGES: ("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 16 + 10_000 * 28 * 28),
    LABELS: ("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 8 + 10_000),
}
"""SHA-256 and bytes of the unpacked files."""
_UPSTREAM = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
_PACKED = {
    IMAGES: ("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4_422_102),
    LABELS: ("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5_148),
}
"""SHA-256 and bytes of the authors' gzip files (Debian packs the same content anew)."""
_PACKAGE = "dataset-fashion-mnist"
_INSTALLED = Path("usr/share/datasets/fashion-mnist")
_RECIPE = 1
_EACH, _QUADS, _QUADS_FROM = 200, 200, 100
_SOURCE = "Fashion-MNIST: H. Xiao, K. Rasul, R. Vollgraf, 2017"
_LICENCE = "MIT"
_ALIKE = (("t-shirt", "shirt"), ("pullover", "coat"), ("sneaker", "ankle-boot"), ("sandal", "sneaker"),
          ("dress", "coat"), ("t-shirt", "dress"), ("bag", "pullover"))  # fmt: skip
_SHOES = ("sandal", "sneaker", "ankle-boot")
_TOPS = ("t-shirt", "pullover", "dress", "coat", "shirt")
Way = tuple[str, Callable[[Path], Path]]
"""A way to get the two files: its name, and what puts them below a cache folder and says where."""


class FashionMnist:
    """Garments, a folder a garment, and squares of four garments for several labels at once.

    Args:
        ways: Where the files may come from, tried in order; all three when None.
    """

    def __init__(self, ways: Sequence[Way] | None = None) -> None:
        self.ways = ways if ways is not None else (
            ("installed", lambda _: Path("/") / _INSTALLED), ("apt", from_apt), ("upstream", from_upstream),
        )  # fmt: skip

    def collect(self, into: Path, progress: Progress | None = None) -> list[SampleSet]:
        """Write the garments as PNG images.

        Raises:
            DataError: When no way leads to the files; says why for each.
        """
        root, cache = into / "fashion-mnist", into / ".fashion-mnist"
        lists: dict[str, str] = {}

        def pictures() -> Iterator[Picture]:
            by_garment = self._read(cache)
            for garment, those in by_garment.items():
                for number, pixels in enumerate(those[:_EACH]):
                    yield f"garments/{garment}/{number:03}.png", pixels
            rest = {garment: those[_EACH : _EACH + _QUADS_FROM] for garment, those in by_garment.items()}
            rows = []
            for number, (pixels, names) in enumerate(mosaics(rest, _QUADS)):
                name = f"garment-quads/{number:03}.png"
                rows.append(Row(name, names))
                yield name, pixels
            lists["garment-quads.csv"] = table(rows)

        total = len(GARMENTS) * _EACH + _QUADS
        counts = publish(root, _RECIPE, pictures, total=total, texts=lambda: lists, progress=progress)
        shutil.rmtree(cache, ignore_errors=True)
        quads = f"squares of four garments each, put together by Trunkline from {_SOURCE}"
        sets = (("garments", "classify", root / "garments", _SOURCE),
                ("garment-quads", "multilabel", root / "garment-quads.csv", quads))  # fmt: skip
        return [
            SampleSet(name, task, path, counts[name], _LICENCE, source, "fashion-mnist")  # type: ignore[arg-type]
            for name, task, path, source in sets
        ]

    def _read(self, cache: Path) -> dict[str, list[np.ndarray]]:
        """Pictures, uint8 of shape (28, 28), by garment."""
        reasons = []
        for name, way in self.ways:
            try:
                folder = way(cache)
                return read(content(folder, IMAGES), content(folder, LABELS))
            except StorageError:
                raise
            except TrunklineError as error:
                reasons.append(f"{name}: {error.message}")
        raise DataError(
            f"Fashion-MNIST could not be had ({'; '.join(reasons)})",
            fix=f"apt-get install {_PACKAGE}, or run the same command where the internet is",
        )

    def scenarios(self, sets: Sequence[SampleSet]) -> list[Scenario]:
        """Every garment against the rest, garments that look alike, shoes, tops, all ten, strangers, four at once."""
        by_name = {s.name: s for s in sets}
        found: list[Scenario] = []
        if garments := by_name.get("garments"):
            found = [one_or_not(garments, f"{g}-or-not", g, 140, 140) for g in images_of(garments)]
            found += [classes(garments, f"{a}-or-{b}", (a, b), 140) for a, b in _ALIKE]
            found.append(classes(garments, "which-shoe", _SHOES, 120))
            found.append(classes(garments, "which-top", _TOPS, 80))
            found.append(classes(garments, "which-garment", GARMENTS, 40))
            for good, others in (("trousers", _TOPS), ("ankle-boot", ("sandal", "sneaker", "bag")), ("bag", _SHOES)):
                found.append(stranger(garments, f"stranger-among-{good}", good, others=others, counts=(100, 40, 9, 51)))
        if quads := by_name.get("garment-quads"):
            found.append(whole(quads, "which-garments-of-four"))
        return found


def from_apt(cache: Path) -> Path:
    """The files from Debian's package, downloaded and unpacked below the cache."""
    return unpacked(_PACKAGE, cache / "apt") / _INSTALLED


def from_upstream(cache: Path) -> Path:
    """The files from the authors' repository."""
    for name, (sha256, size) in _PACKED.items():
        download(f"{_UPSTREAM}/{name}.gz", cache / f"{name}.gz", sha256=sha256, max_bytes=size)
    return cache


def content(folder: Path, name: str) -> bytes:
    """A file's unpacked content.

    Raises:
        DataError: When it is not there, is no gzip file, or its content is not the known one.
    """
    path = folder / f"{name}.gz"
    sha256, size = _CONTENT[name]
    try:
        data = zlib.decompressobj(wbits=31).decompress(path.read_bytes(), size + 1)  # never more, whatever is packed
    except OSError as error:
        raise DataError(f"{error.strerror}: {path.name}", where=str(folder)) from error
    except zlib.error as error:
        raise DataError(f"{path.name} is no gzip file: {error}", where=str(folder)) from error
    if digest_bytes(data) != sha256:
        raise DataError(f"{path.name} does not hold what it should: expected SHA-256 {sha256}", where=str(folder))
    return data


def read(images: bytes, labels: bytes) -> dict[str, list[np.ndarray]]:
    """Pictures by garment from the unpacked files, in the files' order.

    The layout is IDX (Y. LeCun's MNIST page): 16 and 8 bytes of header, then one byte a pixel and one a label.
    """
    import numpy as np

    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
    kinds = np.frombuffer(labels, np.uint8, offset=8)
    return {garment: list(pixels[kinds == kind]) for kind, garment in enumerate(GARMENTS)}
