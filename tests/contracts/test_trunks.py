"""What every trunk must do. A plugin's author adds the trunk to `EXAMPLES` and runs this file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.contracts.conftest import Trunks
from tests.unit.algorithms.trunks.nets import fake_timm
from trunkline.algorithms.trunks import TRUNKS, TrunkCard, anchored, open_trunk, resolve, stamp
from trunkline.algorithms.trunks.table import SCHEMES
from trunkline.compute.runtimes import MEASURED
from trunkline.core.settings import Settings

EXAMPLES = ("efficientnet-lite0", "test-trunk", "onnx", "timm")
PINNED = {
    "efficientnet-lite0": "2654af59fffb7fcdc650e0ac37d5ea43b2e2be01379cf6a6447f3b9ea4d88dda",
    "test-trunk": "0250eead52d4be249e6a81e6cbaf8c27556c4fbc3a1a4bb8f5439bb29c9384c6",
}
"""Digests that bundles out there name: another digest means that none of them can be used any more."""
EPSILON = 1e-6

each = pytest.mark.parametrize("name", EXAMPLES)
runtimes = pytest.mark.parametrize("runtime", MEASURED)


def pictures(card: TrunkCard, count: int) -> np.ndarray:
    """Noise over a gradient, no two alike: uint8 of shape (count, size, size, 3)."""
    rng = np.random.default_rng(5)
    ramp = np.linspace(0, 200, card.size)[None, None, :, None] * rng.uniform(0.2, 1, (count, 1, 1, 3))
    return (ramp + rng.integers(0, 55, (count, card.size, card.size, 3))).astype(np.uint8)


def test_every_trunk_is_tried() -> None:
    assert {*TRUNKS.names(), *SCHEMES} == set(EXAMPLES)


@each
def test_card_says_what_the_graph_gives(name: str, trunks: Trunks) -> None:
    trunk = trunks[name]
    card = trunk.card
    assert TrunkCard.from_json(card.to_json()) == card
    assert all((card.name, card.licence, card.source, card.weights))
    assert [tap.name for tap in card.taps] == [f"tap{number}" for number in range(len(card.taps))]
    session = open_trunk(trunk, Settings(home=trunks.home, runtime="onnxruntime"), dense=True)
    out = session.embed(list(pictures(card, 2)))
    session.close()
    sides = {tap.name: -(-card.size // tap.stride) for tap in card.taps}
    expected = {tap.name: (2, tap.channels, sides[tap.name], sides[tap.name]) for tap in card.taps}
    assert {key: (value.shape, value.dtype) for key, value in out.items()} == {
        key: (shape, np.float32) for key, shape in {"pooled": (2, card.width), **expected}.items()
    }


@each
@runtimes
def test_pooled_is_mean_std_and_max_of_the_maps(name: str, runtime: str, trunks: Trunks) -> None:
    trunk = trunks[name]
    session = open_trunk(trunk, Settings(home=trunks.home, runtime=runtime, threads=1), dense=True)
    out = session.embed(list(pictures(trunk.card, 3)))
    session.close()
    assert np.std(out["pooled"], axis=0).max() > 0.01
    for tap, parts in trunk.card.slices().items():
        maps = out[tap].astype(np.float64)
        pooled = {
            "mean": maps.mean((2, 3)), "std": np.sqrt(maps.var((2, 3)) + EPSILON), "max": maps.max((2, 3)),
        }  # fmt: skip
        for kind, part in parts.items():
            assert np.allclose(out["pooled"][:, part], pooled[kind], rtol=1e-3, atol=1e-3), (tap, kind)


@each
@runtimes
def test_an_image_gives_the_same_bits_in_any_company(name: str, runtime: str, trunks: Trunks) -> None:
    trunk = trunks[name]
    images = pictures(trunk.card, 5)
    found = []
    for threads, dense in ((1, False), (2, True)):
        session = open_trunk(trunk, Settings(home=trunks.home, runtime=runtime, threads=threads), dense=dense)
        found.append(session.embed(list(images))["pooled"])
        found.append(session.embed([images[2]])["pooled"])
        found.append(np.concatenate([out["pooled"] for out in session.stream([images[:2], images[2:]])]))
        session.close()
    whole = found[0]
    assert [np.array_equal(one, whole if len(one) == 5 else whole[2:3]) for one in found] == [True] * 6


@each
def test_runtimes_agree(name: str, trunks: Trunks) -> None:
    trunk = trunks[name]
    found = []
    for runtime in MEASURED:
        session = open_trunk(trunk, Settings(home=trunks.home, runtime=runtime, threads=1), dense=True)
        found.append(session.embed(list(pictures(trunk.card, 2))))
        session.close()
    first, second = found
    assert first.keys() == second.keys()
    assert {key: bool(np.allclose(first[key], second[key], rtol=1e-3, atol=1e-3)) for key in first} == dict.fromkeys(
        first, True
    )


@pytest.mark.parametrize("name", PINNED)
def test_digest_of_a_built_in_trunk_never_changes(name: str, trunks: Trunks) -> None:
    assert trunks[name].card.digest == PINNED[name]


@pytest.mark.parametrize("name", sorted({*EXAMPLES} - {"efficientnet-lite0"}))
def test_exported_again_and_elsewhere_it_is_the_same(
    name: str, trunks: Trunks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_timm(monkeypatch)
    elsewhere = Trunks(tmp_path / "home", tmp_path / "files")
    again = resolve(elsewhere.spec(name), elsewhere.home)
    assert again.card == trunks[name].card
    assert again.path().read_bytes() == trunks[name].path().read_bytes()
    assert again.path(dense=True).read_bytes() == trunks[name].path(dense=True).read_bytes()


@each
def test_a_stamp_stays_while_the_weights_do(
    name: str, trunks: Trunks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_timm(monkeypatch)
    spec = Trunks(tmp_path, tmp_path / "files").spec(name)
    assert stamp(spec, tmp_path) == stamp(spec, tmp_path)
    assert not (tmp_path / "trunks").exists()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("efficientnet-lite0", "efficientnet-lite0"),
        ("0" * 64, "0" * 64),
        ("unknown:net", "unknown:net"),
        ("onnx:net.onnx", "onnx:{base}/net.onnx"),
        ("onnx:../net.onnx", "onnx:{base.parent}/net.onnx"),
        ("onnx:/nets/net.onnx", "onnx:/nets/net.onnx"),
        ("onnx:", "onnx:"),
        ("timm:resnet18", "timm:resnet18"),
        ("timm:a?licence=MIT&weights=w.safetensors", "timm:a?licence=MIT&weights={base}/w.safetensors"),
        ("timm:a?weights=/w.safetensors", "timm:a?weights=/w.safetensors"),
    ],
)
def test_files_in_a_name_are_found_from_a_folder(spec: str, expected: str, tmp_path: Path) -> None:
    assert anchored(spec, tmp_path) == expected.format(base=tmp_path)


def test_runs_without_torch(trunks: Trunks) -> None:
    code = """
import sys
sys.modules.update(dict.fromkeys(("torch", "torchvision", "timm", "onnx", "lance", "mlflow", "sklearn")))
from pathlib import Path
import numpy as np
from trunkline.algorithms.trunks import by_digest, open_trunk
from trunkline.core.settings import Settings
home, *digests = sys.argv[1:]
for digest in digests:
    trunk = by_digest(digest, Path(home))
    picture = np.zeros((trunk.card.size, trunk.card.size, 3), np.uint8)
    print(open_trunk(trunk, Settings(home=Path(home), runtime="onnxruntime")).embed([picture])["pooled"].shape[1])
"""
    ready = [trunks[name] for name in EXAMPLES]
    done = subprocess.run(
        [sys.executable, "-c", code, str(trunks.home), *(trunk.card.digest for trunk in ready)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout.split(), done.returncode) == ([str(trunk.card.width) for trunk in ready], 0), done.stderr
