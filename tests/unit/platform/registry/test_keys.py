"""The signing key: made once, kept to its owner, and never shown."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import ConfigError
from trunkline.platform.registry.keys import fingerprint, signing_key, trusted_keys, verify


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_made_on_first_use_for_its_owner_alone(home: Path) -> None:
    assert trusted_keys(home) == frozenset()
    key = signing_key(home)
    assert signing_key(home) == key
    assert trusted_keys(home) == {key.public}
    assert (mode(home / "keys"), mode(home / "keys" / "ed25519.pem")) == (0o700, 0o600)


def test_signs_and_verifies(home: Path) -> None:
    key, other = signing_key(home), signing_key(home.with_name("other"))
    signature = key.sign(b"message")
    assert key.sign(b"message") == signature
    assert verify(key.public, b"message", signature)
    assert fingerprint(key.public) == digest_bytes(bytes.fromhex(key.public))
    wrong = [
        verify(other.public, b"message", signature),
        verify(key.public, b"messagf", signature),
        verify(key.public, b"message", signature[:-1] + "g"),
        verify(key.public, b"message", signature.upper()),
        verify(key.public, b"message", signature + "00"),
        verify("0" * 64, b"message", signature),
        verify("f" * 64, b"message", signature),
        verify("", b"message", signature),
    ]
    assert wrong == [False] * len(wrong)


def test_is_never_shown(home: Path) -> None:
    key = signing_key(home)
    private = (home / "keys" / "ed25519.pem").read_text().splitlines()[1]
    assert private not in repr(key)
    assert repr(key) == f"SigningKey(public={key.public!r})"


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(home: Path, bits: int) -> None:
    signing_key(home)
    path = home / "keys" / "ed25519.pem"
    path.chmod(bits)
    with pytest.raises(ConfigError, match=f"got mode {bits:04o}") as caught:
        signing_key(home)
    assert (caught.value.where, f"chmod 600 '{path}'" in str(caught.value.fix)) == (str(path), True)


ANOTHER_KIND = ec.generate_private_key(ec.SECP256R1())
PRIVATE = ANOTHER_KIND.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
LOCKED = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw"))
PUBLIC = ANOTHER_KIND.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    "content",
    ["", "secret-words", "-----BEGIN PRIVATE KEY-----\nsecret-words\n-----END", PRIVATE, PUBLIC, LOCKED.decode()],
    ids=["empty", "words", "broken", "another kind", "public", "with a password"],
)
def test_a_file_that_is_no_key_is_refused_and_not_quoted(home: Path, content: str) -> None:
    signing_key(home)
    (home / "keys" / "ed25519.pem").write_text(content)
    with pytest.raises(ConfigError, match="expected an Ed25519 private key") as caught:
        signing_key(home)
    assert [word for word in content.split() if len(word) > 9 and word in str(caught.value)] == []


@pytest.mark.parametrize("content", ["", "junk", PUBLIC, PRIVATE], ids=["empty", "words", "another kind", "private"])
def test_a_file_that_is_no_public_key_is_refused(home: Path, content: str) -> None:
    folder = home / "keys" / "trusted"
    folder.mkdir(parents=True)
    (folder / "colleague.pem").write_text(content)
    with pytest.raises(ConfigError, match="expected an Ed25519 public key") as caught:
        trusted_keys(home)
    assert caught.value.where == str(folder / "colleague.pem")


def test_a_folder_among_the_trusted_keys_is_refused(home: Path) -> None:
    (home / "keys" / "trusted" / "a.pem").mkdir(parents=True)
    with pytest.raises(ConfigError, match="expected an Ed25519 public key"):
        trusted_keys(home)


def test_a_colleague_is_trusted_by_the_public_half(home: Path) -> None:
    other = home.with_name("other")
    keys = {signing_key(home).public, signing_key(other).public}
    (home / "keys" / "trusted").mkdir()
    (home / "keys" / "trusted" / "other.pem").write_bytes((other / "keys" / "ed25519.pub.pem").read_bytes())
    assert trusted_keys(home) == keys


@pytest.mark.parametrize("stale", [True, False])
def test_a_key_that_was_put_back_brings_its_public_half(home: Path, stale: bool) -> None:
    old, path = signing_key(home), home / "keys" / "ed25519.pem"
    backup = path.read_bytes()
    path.unlink()
    assert signing_key(home) != old
    path.write_bytes(backup)
    path.chmod(0o600)
    (home / "keys" / "ed25519.pub.pem").replace(home / ("keys/ed25519.pub.pem" if stale else "aside"))
    assert signing_key(home) == old
    assert trusted_keys(home) == {old.public}


def test_a_kill_between_the_halves_leaves_no_half_key(home: Path) -> None:
    signing_key(home)
    (home / "keys" / "ed25519.pem").unlink()
    key = signing_key(home)
    assert trusted_keys(home) == {key.public}


def test_processes_at_once_get_the_same_key(home: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trunkline.platform.registry.keys import signing_key;"
        "sys.stdout.write(signing_key(Path(sys.argv[1])).public)"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE) for _ in range(3)]
    made = {process.communicate(timeout=60)[0].decode() for process in running}
    assert made == {signing_key(home).public}
