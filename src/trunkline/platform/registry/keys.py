"""The signing key of a home: Ed25519 (RFC 8032), made on first use, readable by its owner alone."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.core.digest import digest_bytes
from trunkline.core.errors import ConfigError
from trunkline.core.files import locked, storage_errors, write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_MAX_PEM = 16 << 10
_PUBLIC = "ed25519.pub.pem"


@dataclass(frozen=True)
class SigningKey:
    """A private key that signs; neither `repr` nor an error shows it.

    Attributes:
        public: The raw public key, 32 bytes as 64 hex digits.
    """

    public: str
    _private: Ed25519PrivateKey = field(repr=False, compare=False)

    def sign(self, message: bytes) -> str:
        """Signature over a message, 64 bytes as 128 hex digits; the same message gives the same signature."""
        return self._private.sign(message).hex()


def fingerprint(public: str) -> str:
    """SHA-256 of a raw public key given as hex; how a signer is named to people."""
    return digest_bytes(bytes.fromhex(public))


def verify(public: str, message: bytes, signature: str) -> bool:
    """Whether the signature (hex) over the message is by the public key (hex)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not re.fullmatch("[0-9a-f]{64}", public) or not re.fullmatch("[0-9a-f]{128}", signature):
        return False  # one way to write each, so that a signature cannot be respelt
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def signing_key(home: Path) -> SigningKey:
    """The home's key; made when it has none. Two processes at once get the same one.

    Raises:
        ConfigError: When others than the owner may read the key file, or it holds no Ed25519 key.
        StorageError: When the key cannot be written.
    """
    path = home / "keys" / "ed25519.pem"
    if not path.exists():
        with locked(home / "locks" / "keys.lock"):
            if not path.exists():
                _make(path)
    key = _load(path)
    own = path.with_name(_PUBLIC)
    if not own.exists() or _load_public(own) != key.public:  # the key was put back without it, or replaced
        write_atomic(own, _pem(key.public))
    return key


def trusted_keys(home: Path) -> frozenset[str]:
    """Public keys (hex) whose bundles this home trusts: its own and those in `HOME/keys/trusted/*.pem`.

    Raises:
        ConfigError: On a file there that is no Ed25519 public key.
    """
    folder = home / "keys"
    paths = sorted((folder / "trusted").glob("*.pem"))
    own = folder / _PUBLIC
    return frozenset(_load_public(path) for path in [*paths, *([own] if own.exists() else [])])


def trust(home: Path, public: str) -> None:
    """Take somebody's public key (hex) into the keys that a home trusts.

    Raises:
        StorageError: When it cannot be written.
    """
    if public not in trusted_keys(home):
        write_atomic(home / "keys" / "trusted" / f"{fingerprint(public)[:12]}.pem", _pem(public))


def _make(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # The public half first: where the private one is, both are.
    write_atomic(path.with_name(_PUBLIC), _pem(private.public_key().public_bytes_raw().hex()))
    write_atomic(path, pem, mode=0o600)


def _pem(public: str) -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _load(path: Path) -> SigningKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    with storage_errors(path), path.open("rb") as stream:
        mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
        if mode & 0o077:
            raise ConfigError(
                f"expected a signing key that only its owner can read (mode 0600), got mode {mode:04o}",
                where=str(path),
                fix=f"if nobody else has copied it: chmod 600 '{path}'; otherwise delete it, a new one is made",
            )
        pem = stream.read(_MAX_PEM)
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None  # the library's own message may quote the file
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(
            "expected an Ed25519 private key (PEM, PKCS8, no password)",
            where=str(path),
            fix="put the right file back, or delete it: a new key is made",
        )
    return SigningKey(private.public_key().public_bytes_raw().hex(), private)


def _load_public(path: Path) -> str:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        with path.open("rb") as stream:
            public: object = serialization.load_pem_public_key(stream.read(_MAX_PEM))
    except (ValueError, OSError, UnsupportedAlgorithm):
        public = None
    if not isinstance(public, Ed25519PublicKey):
        raise ConfigError(
            "expected an Ed25519 public key (PEM)", where=str(path), fix="take it out of the folder, or put it right"
        )
    return public.public_bytes_raw().hex()
