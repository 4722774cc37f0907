"""A trunk as one signed file, for machines that cannot make it: card and graphs, no PyTorch needed to take it in.

The file is an archive as a bundle is one (`archive`): the same trunk and key give the same bytes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline.core.digest import canonical_json, short
from trunkline.core.errors import BundleError, InputError, NotFoundError
from trunkline.core.files import write_atomic
from trunkline.core.text import cut
from trunkline.core.types.scenario import safe_name
from trunkline.platform.registry.archive import read_archive, refused, write_archive
from trunkline.platform.registry.keys import fingerprint, signing_key, trust, trusted_keys
from trunkline.platform.registry.seals import canonical_member, check_signature, signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from trunkline.algorithms.trunks import Trunk
    from trunkline.algorithms.trunks.card import TrunkCard

SUFFIX = ".tlt"
LIMITS = {"card.json": 64 << 10, "trunk.onnx": 1 << 30, "dense.onnx": 1 << 30, "signature": 4 << 10}
"""Members in their order, with the most bytes of each."""
_KIND = "trunk"
_MOST_WORDS = 200  # characters
_MOST = sum(LIMITS.values()) + (4 << 10)


def export_trunk(spec: str, home: Path, out: Path | None = None, *, say: Callable[[str], None] | None = None) -> Path:
    """Write a trunk of a home into a signed file.

    Args:
        spec: A trunk's name or spec as in a scenario, or its digest (the first 8 digits will do).
        home: The home folder; its key signs.
        out: The file, or a folder for it; `HOME/exports` when not given.
        say: Told before an export, which takes a while.

    Returns:
        The file.

    Raises:
        NotFoundError: When there is no such trunk, with near names.
        InputError: When its weights are not there, or it is over the limit of a file.
        StorageError: When the file cannot be written.
    """
    from trunkline.algorithms.trunks import exported, resolve

    trunk = resolve(_full(spec, home), home, say=say)
    whole = exported(trunk)
    content = {
        "card.json": canonical_json(trunk.card.to_json()), "trunk.onnx": whole.pooled, "dense.onnx": whole.dense,
    }  # fmt: skip
    data = write_archive(signed(content, signing_key(home), kind=_KIND), LIMITS)
    name = f"{safe_name(trunk.card.name)}-{short(trunk.card.digest)}{SUFFIX}"
    path = out or home / "exports" / name
    if path.is_dir():
        path /= name
    write_atomic(path, data)
    return path


def import_trunk(path: Path, home: Path, *, trusting: bool = False) -> Trunk:
    """Take a trunk's file into a home; it is used once the whole of it was checked and its graphs have run.

    Args:
        path: The file.
        home: The home folder.
        trusting: Take the signer's key into the keys that the home trusts, when it is not among them.

    Raises:
        BundleError: When the file was changed, is no trunk's file, or was signed by somebody whom the home does not
            trust: unlike a bundle, it holds graphs that a runtime will run.
        InputError: When its graphs do not run here, or do not give what its card says.
        StorageError: When the home cannot be written.
    """
    from trunkline.algorithms.trunks import TrunkCard, install
    from trunkline.algorithms.trunks.loader import Exported

    where = str(path)
    members = read_archive(_load(path), LIMITS, where=where, what="trunk file")
    missing = [name for name in LIMITS if name not in members]
    if missing:
        raise refused(f"expected a trunk's file, {' and '.join(missing)} not there", where, "trunk file")
    _, signer = check_signature(members, kind=_KIND, where=where)
    if signer not in trusted_keys(home) and not trusting:
        raise BundleError(
            f"signed with a key that this home does not know ({short(fingerprint(signer))})",
            where=where,
            fix="if whoever gave you the file names this same key (`trunkline doctor` there shows it), give --trust: "
            "the key is then trusted here, for models as well",
        )
    row = canonical_member(members, "card.json", where, fix="get the file again from where it was made")
    try:
        card = TrunkCard.from_json(row)
        if canonical_json(card.to_json()) != members["card.json"]:
            raise ValueError(f"expected the card of {short(card.digest)} alone")
        _check_words(card)
    except (KeyError, TypeError, ValueError, InputError) as error:
        said = error.message if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise refused(f"card.json: {said}"[:500], where, "trunk file") from error
    trunk = install(Exported(card, members["trunk.onnx"], members["dense.onnx"]), home)
    if trusting:
        trust(home, signer)
    return trunk


def _check_words(card: TrunkCard) -> None:
    """The words of a card are not in its digest, and its name becomes a file's.

    Raises:
        ValueError: When they are no names, or no texts for people.
    """
    for field in ("name", "licence", "source"):
        text = getattr(card, field)
        if not isinstance(text, str) or len(text) > _MOST_WORDS or not text.isprintable():
            raise ValueError(f"{field}: expected a text of at most {_MOST_WORDS} characters, got {cut(repr(text))}")
    if safe_name(card.name) != card.name:
        raise ValueError(f"name: expected one that can be a file's, got {cut(repr(card.name))}")


def _full(spec: str, home: Path) -> str:
    """The whole digest of a trunk of this home where `spec` is the beginning of one."""
    from trunkline.algorithms.trunks import list_trunks

    if not re.fullmatch("[0-9a-f]{8,64}", spec):
        return spec
    digests = [str(row["digest"]) for row in list_trunks(home) if "digest" in row]
    found = [digest for digest in digests if digest.startswith(spec)]
    if len(found) != 1:
        raise NotFoundError("trunk", spec, [short(digest) for digest in digests])
    return found[0]


def _load(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise InputError("expected a trunk's file", where=str(path), fix=f"name a {SUFFIX} file")
        with path.open("rb") as stream:
            return stream.read(_MOST + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), fix=f"name a {SUFFIX} file") from error
