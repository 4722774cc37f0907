"""What all tests share: a home of their own, small pictures, the shared data, and skips that say why."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Before numpy is imported anywhere: several workers with a pool of threads each would fight for the same cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it puts in the background: commands that
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests interrupt would inherit it and never notice

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session", autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's home of models, whatever `TRUNKLINE_*` says outside."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TRUNKLINE_")]:
            patch.delenv(name)
        patch.setenv("TRUNKLINE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("COLUMNS", "120")
        patch.setenv("NO_COLOR", "1")
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder of this test alone, also for the commands that it starts."""
    folder = tmp_path / "home"
    monkeypatch.setenv("TRUNKLINE_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no shared data beside the checkout ({SHARED.name}/)")
    return SHARED


@pytest.fixture(scope="session")
def neu_det(shared: Path) -> Path:
    """NEU-DET: 1,800 pictures of steel in 6 classes with VOC boxes."""
    folder = shared / "data" / "neu-det"
    if not (folder / "images").is_dir():
        pytest.skip("NEU-DET is not among the shared data")
    return folder


class Pictures:
    """Small pictures, the same for the same arguments; classes can be told apart by colour and stripes."""

    @staticmethod
    def array(seed: int = 0, *, kind: int = 0, size: tuple[int, int] = (48, 48)) -> np.ndarray:
        """RGB uint8 pixels of shape (height, width, 3): stripes of the kind's pitch and colour, with noise."""
        import numpy as np

        width, height = size
        rng = np.random.default_rng([seed, kind])
        stripes = np.sin(np.arange(width) * (0.25 + 0.35 * kind) + rng.uniform(0, 6.28))
        colour = np.array([np.cos(kind * 2.1 + c) for c in range(3)]) * 60 + 128
        pixels = colour + 50 * stripes[None, :, None] + rng.normal(0, 12, (height, width, 3))
        return np.clip(pixels, 0, 255).astype(np.uint8)

    def encode(self, seed: int = 0, *, kind: int = 0, size: tuple[int, int] = (48, 48), form: str = "PNG") -> bytes:
        """A picture's file as bytes; `form` is Pillow's name of the format."""
        from PIL import Image

        stream = io.BytesIO()
        Image.fromarray(self.array(seed, kind=kind, size=size)).save(stream, form)
        return stream.getvalue()

    def folder(self, path: Path, labels: Sequence[str] = ("a", "b"), count: int = 8, form: str = "PNG") -> Path:
        """An ImageFolder of `count` pictures for each label; no two are alike."""
        for kind, label in enumerate(labels):
            (path / label).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                file = path / label / f"{number:03}.{form.lower()}"
                file.write_bytes(self.encode(number, kind=kind, form=form))
        return path


@pytest.fixture(scope="session")
def pictures() -> Pictures:
    """Helpers that make small pictures."""
    return Pictures()


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Images that the trunk was run on, one number for each call."""
    from trunkline.platform.engine.features import FeatureStore

    counts: list[int] = []
    real = FeatureStore.embed

    def counting(self: FeatureStore, *args: Any, **options: Any) -> None:
        before = self.embedded
        real(self, *args, **options)
        counts.append(self.embedded - before)

    monkeypatch.setattr(FeatureStore, "embed", counting)
    yield counts


def _has(package: str) -> bool:
    if shutil.which(package):
        return True
    if not shutil.which("dpkg-query"):
        return False
    asked = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}", package], capture_output=True, text=True)
    return asked.stdout.startswith("ii")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a Debian package that is not installed."""
    for mark in item.iter_markers("apt"):
        for package in mark.args:
            if not _has(package):
                pytest.skip(f"needs the Debian package {package} (packages.apt)")
