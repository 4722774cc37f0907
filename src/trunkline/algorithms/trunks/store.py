"""Trunks of one home: `HOME/trunks/DIGEST/` with card and graphs, made once."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trunkline.algorithms.trunks.card import TrunkCard
from trunkline.algorithms.trunks.loader import Loader
from trunkline.algorithms.trunks.table import SCHEMES, TRUNKS
from trunkline.core.digest import canonical_json, digest_bytes, digest_file, short
from trunkline.core.errors import InputError, NotFoundError
from trunkline.core.files import locked, storage_errors, write_atomic
from trunkline.core.plugins import Table


@dataclass(frozen=True)
class Trunk:
    """A trunk that is ready on this machine: `trunk.onnx` gives pooled features, `dense.onnx` the maps as well."""

    card: TrunkCard
    folder: Path

    def path(self, *, dense: bool = False) -> Path:
        """The graph's file, checked against the digest that was written down when it was exported.

        Raises:
            InputError: When the file is missing or was changed.
        """
        name = "dense.onnx" if dense else "trunk.onnx"
        path = self.folder / name
        expected = json.loads((self.folder / "card.json").read_bytes())["files"][name]
        if not path.is_file() or digest_file(path) != expected:
            raise InputError(
                "the trunk's graph is missing or was changed since it was exported",
                where=str(path),
                fix=f"remove the folder {self.folder} and run the same command again",
            )
        return path


def resolve(spec: str, home: Path, *, where: str | None = None) -> Trunk:
    """The trunk that a name stands for; exported on first use, under a lock.

    Args:
        spec: A name in `TRUNKS`, `onnx:FILE`, `timm:NAME`, or the digest of a trunk of this home.
        home: The home folder.
        where: What named it, for messages.

    Raises:
        NotFoundError: On an unknown name, with near names.
        InputError: When its weights are not there or cannot be used.
    """
    known = _load(home, spec)
    if known is not None:
        return known
    loader = _loader(spec, where)
    names = home / "trunks" / "names.json"
    entry = f"{spec}|{loader.stamp()}"
    digest = _names(names).get(entry)
    trunk = _load(home, digest) if digest else None
    if trunk is not None:
        return trunk
    with locked(home / "locks" / "trunks.lock"):
        digest = _names(names).get(entry)
        trunk = _load(home, digest) if digest else None
        if trunk is None:
            trunk = _export(loader, home)
            write_atomic(names, canonical_json({**_names(names), entry: trunk.card.digest}))
    return trunk


def stamp(spec: str, home: Path, *, where: str | None = None) -> str:
    """What a name stands for at this moment, without exporting it; changes when its weights may have changed.

    Raises:
        NotFoundError: On an unknown name, with near names.
        InputError: When its weights are not there.
    """
    known = _load(home, spec)
    return known.card.digest if known is not None else f"{spec}|{_loader(spec, where).stamp()}"


def _loader(spec: str, where: str | None) -> Loader:
    scheme, colon, rest = spec.partition(":")
    if colon and scheme in SCHEMES:
        loader: Loader = Table("trunk loader", SCHEMES).load(scheme)(rest)
        return loader
    if spec not in TRUNKS.targets:
        known = [*TRUNKS.names(), *(f"{name}:..." for name in SCHEMES)]
        raise NotFoundError("trunk", spec, known, where=where)
    made: Loader = TRUNKS.load(spec, where=where)()
    return made


def _names(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        return {}


def _load(home: Path, digest: str) -> Trunk | None:
    if len(digest) != 64 or not all(c in "0123456789abcdef" for c in digest):
        return None
    folder = home / "trunks" / digest
    try:
        card = TrunkCard.from_json(json.loads((folder / "card.json").read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the card cannot be read: {error}", where=str(folder / "card.json"), fix="remove the folder"
        ) from error
    return Trunk(card, folder)


def by_digest(digest: str, home: Path) -> Trunk:
    """The trunk with a digest; the built-in ones are exported when one of them has it.

    Raises:
        InputError: When this machine does not have it, saying what to bring.
    """
    trunk = _load(home, digest)
    if trunk is not None:
        return trunk
    for name in TRUNKS.names():
        try:
            trunk = resolve(name, home)
        except InputError:  # its weights are not installed here, so it is not the one
            continue
        if trunk.card.digest == digest:
            return trunk
    raise InputError(
        f"the trunk {short(digest)} is not on this machine",
        fix=f"copy the folder trunks/{digest} from the home where the model was built",
    )


def _export(loader: Loader, home: Path) -> Trunk:
    root = home / "trunks"
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".export-", dir=root))
        try:
            exported = loader.export(scratch)
            digest = exported.card.digest
            part = scratch / digest
            part.mkdir()
            (part / "trunk.onnx").write_bytes(exported.pooled)
            (part / "dense.onnx").write_bytes(exported.dense)
            files = {"trunk.onnx": digest_bytes(exported.pooled), "dense.onnx": digest_bytes(exported.dense)}
            (part / "card.json").write_bytes(canonical_json({**exported.card.to_json(), "files": files}))
            target = root / digest
            if not target.exists():
                os.replace(part, target)  # noqa: PTH105
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return Trunk(exported.card, target)


def list_trunks(home: Path) -> list[dict[str, Any]]:
    """Trunks of this home, then those in the table that have not been exported here."""
    rows, seen = [], set()
    for path in sorted((home / "trunks").glob("*/card.json")):
        card = json.loads(path.read_bytes())
        seen.add(card["name"])
        rows.append(
            {
                "name": card["name"], "digest": card["digest"], "digest_short": short(card["digest"]),
                "input": f"{card['size']} x {card['size']}", "licence": card["licence"], "source": card["source"],
                "features": 3 * sum(tap["channels"] for tap in card["taps"]), "state": "ready",
            }
        )  # fmt: skip
    for name in TRUNKS.names():
        if name not in seen:
            reason = next((s.reason for s in TRUNKS.status() if s.name == name), "")
            try:
                TRUNKS.load(name)().stamp()
            except InputError as error:
                reason = error.message
            rows.append({"name": name, "state": f"failed: {reason}" if reason else "made on first use"})
    return rows
