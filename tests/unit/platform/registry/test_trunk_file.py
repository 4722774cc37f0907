"""A trunk travels as one signed file: whole, from somebody known, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from trunkline.algorithms.trunks import TRUNKS, by_digest, list_trunks, resolve
from trunkline.algorithms.trunks.store import exported
from trunkline.core.digest import canonical_json, digest_file
from trunkline.core.errors import BundleError, InputError, NotFoundError
from trunkline.platform.registry.archive import read_archive, write_archive
from trunkline.platform.registry.keys import signing_key, trusted_keys
from trunkline.platform.registry.seals import signed
from trunkline.platform.registry.trunk_file import LIMITS, export_trunk, import_trunk


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home where the trunk was made."""
    return tmp_path_factory.mktemp("there")


@pytest.fixture(scope="module")
def file(there: Path) -> Path:
    return export_trunk("test-trunk", there)


@pytest.fixture
def forged(there: Path, file: Path, tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    """A file with other members, signed anew by the same key."""

    def make(members: Mapping[str, bytes]) -> Path:
        content = {**read_archive(file.read_bytes(), LIMITS), **members}
        del content["signature"]
        path = tmp_path / "forged.tlt"
        path.write_bytes(write_archive(signed(content, signing_key(there), kind="trunk"), LIMITS))
        return path

    return make


def test_it_goes_to_a_machine_that_cannot_make_it(
    there: Path, file: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = resolve("test-trunk", there)
    monkeypatch.setattr(TRUNKS, "targets", {})
    trunk = import_trunk(file, home, trusting=True)
    assert (trunk.card, exported(trunk)) == (made.card, exported(made))
    assert by_digest(made.card.digest, home) == trunk
    assert signing_key(there).public in trusted_keys(home)
    assert import_trunk(file, home) == trunk


def test_its_bytes_follow_from_trunk_and_key(there: Path, file: Path, tmp_path: Path) -> None:
    digest = resolve("test-trunk", there).card.digest
    again = export_trunk(digest[:8], there, tmp_path)
    assert (again, digest_file(again)) == (tmp_path / file.name, digest_file(file))
    assert file == there / "exports" / f"test-trunk-{digest[:12]}.tlt"


def test_an_unknown_signer_is_refused_until_trusted(file: Path, home: Path) -> None:
    with pytest.raises(BundleError, match="signed with a key that this home does not know"):
        import_trunk(file, home)
    assert (home.exists() and list(home.rglob("*.onnx"))) in (False, [])


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (lambda data: b"", "expected a Trunkline trunk file"),
        (lambda data: data[:-1], "damaged, truncated"),
        (lambda data: data[: len(data) // 2], "the file ends within"),
        (lambda data: data.replace(b"test-trunk", b"best-trunk"), "damaged|signature does not fit"),
    ],
    ids=["empty", "short of a byte", "half", "renamed"],
)
def test_a_damaged_file_is_refused(
    cut: Callable[[bytes], bytes], message: str, file: Path, home: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cut.tlt"
    path.write_bytes(cut(file.read_bytes()))
    with pytest.raises(BundleError, match=message):
        import_trunk(path, home, trusting=True)
    assert list_trunks(home) == list_trunks(tmp_path / "empty")


def test_a_signed_file_with_another_card_is_refused(
    forged: Callable[[Mapping[str, bytes]], Path], there: Path, home: Path
) -> None:
    card = resolve("test-trunk", there).card
    rows = {
        "no JSON": (b"{", "canonical JSON in card.json"),
        "extra key": (canonical_json({**card.to_json(), "more": 1}), "expected the card of"),
        "no taps": (canonical_json({**card.to_json(), "taps": []}), "expected taps"),
        "out of the home": (canonical_json(replace(card, name="../../x").to_json()), "name: expected one that can be"),
        "long name": (
            canonical_json(replace(card, name="x" * 9_999).to_json()),
            "name: expected a text of at most 200",
        ),
        "no licence": (canonical_json({**card.to_json(), "licence": None}), "licence: expected a text"),
        "wider": (canonical_json(replace(card, size=64).to_json()), "expected uint8 pictures|does not run"),
    }
    for data, message in rows.values():
        with pytest.raises(InputError, match=message):
            import_trunk(forged({"card.json": data}), home, trusting=True)
    assert not list(home.glob("trunks/*/card.json"))


def test_a_trunk_that_was_changed_here_is_put_right(file: Path, there: Path, home: Path) -> None:
    shutil.copytree(there / "trunks", home / "trunks")
    trunk = resolve("test-trunk", home)
    (trunk.folder / "dense.onnx").write_bytes(b"changed")
    assert exported(import_trunk(file, home, trusting=True)) == exported(resolve("test-trunk", there))


@pytest.mark.parametrize("spec", ["0" * 12, "f" * 64, "tset-trunk"])
def test_an_unknown_trunk_is_told(spec: str, there: Path) -> None:
    with pytest.raises(NotFoundError, match=f"no trunk named '{spec}'"):
        export_trunk(spec, there)
