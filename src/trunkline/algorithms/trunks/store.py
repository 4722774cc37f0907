"""Trunks of one home: `HOME/trunks/DIGEST/` with card and graphs, made once."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trunkline.algorithms.trunks.card import RECIPE, TrunkCard
from trunkline.algorithms.trunks.loader import Exported, Loader
from trunkline.algorithms.trunks.proof import check_runs
from trunkline.algorithms.trunks.sized import at_side, parse, resized_card
from trunkline.algorithms.trunks.table import SCHEMES, TRUNKS
from trunkline.core.digest import canonical_json, digest_bytes, digest_file, short
from trunkline.core.errors import InputError, NotFoundError
from trunkline.core.files import locked, storage_errors, write_atomic
from trunkline.core.plugins import Table

_LOADERS = Table("trunk loader", SCHEMES)
Say = Callable[[str], None]


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
        try:
            whole = digest_file(path) == json.loads((self.folder / "card.json").read_bytes())["files"][name]
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            raise InputError(
                "the trunk's graph is missing or was changed since it was exported",
                where=str(path),
                fix=f"remove the folder {self.folder} and run the same command again",
            )
        return path


def resolve(spec: str, home: Path, *, where: str | None = None, say: Say | None = None) -> Trunk:
    """The trunk that a name stands for; exported on first use, under a lock.

    Args:
        spec: A name in `TRUNKS`, `onnx:FILE`, `timm:NAME`, or the digest of a trunk of this home; `@SIDE` behind it
            asks for the same weights on pictures of another side.
        home: The home folder.
        where: What named it, for messages.
        say: Told before an export, which takes a while.

    Raises:
        NotFoundError: On an unknown name, with near names.
        InputError: When its weights are not there or cannot be used.
    """
    known = _load(home, spec)
    if known is not None:
        return known
    base, side = parse(spec)
    if side is not None:
        return _sized(resolve(base, home, where=where, say=say), side, home, where)
    loader = _loader(spec, where)
    names = home / "trunks" / "names.json"
    entry = f"{RECIPE}|{spec}|{loader.stamp()}"
    digest = _names(names).get(entry)
    trunk = _load(home, digest) if digest else None
    if trunk is not None:
        return trunk
    with locked(home / "locks" / "trunks.lock"):
        digest = _names(names).get(entry)
        trunk = _load(home, digest) if digest else None
        if trunk is None:
            if say:
                say(f"making the trunk {spec} ready, once for this home; this takes a while")
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
    if known is not None:
        return known.card.digest
    base, side = parse(spec)
    return f"{spec}|{_loader(spec, where).stamp()}" if side is None else f"{stamp(base, home, where=where)}@{side}"


def anchored(spec: str, base: Path) -> str:
    """The same trunk with the files in its name taken from a folder: a scenario's paths start where its file is."""
    scheme, colon, rest = spec.partition(":")
    if not colon or scheme not in SCHEMES:
        return spec
    name, side = parse(rest)
    return f"{scheme}:{_LOADERS.load(scheme).anchored(name, base)}" + (f"@{side}" if side is not None else "")


def _loader(spec: str, where: str | None) -> Loader:
    scheme, colon, rest = spec.partition(":")
    if colon and scheme in SCHEMES:
        loader: Loader = _LOADERS.load(scheme)(rest)
        return loader
    if spec not in TRUNKS.targets:
        known = [*TRUNKS.names(), *(f"{name}:..." for name in SCHEMES)]
        raise NotFoundError("trunk", spec, known, where=where)
    made: Loader = TRUNKS.load(spec, where=where)()
    return made


def _names(path: Path) -> dict[str, str]:
    try:
        known = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):  # never written, or torn: what it named is found again
        known = {}
    rows = known.items() if isinstance(known, dict) else ()
    return {entry: digest for entry, digest in rows if isinstance(digest, str)}


def _load(home: Path, digest: str) -> Trunk | None:
    if len(digest) != 64 or not all(c in "0123456789abcdef" for c in digest):
        return None
    folder = home / "trunks" / digest
    try:
        card = TrunkCard.from_json(json.loads((folder / "card.json").read_bytes()))
        if card.digest != digest:
            raise ValueError(f"it was changed: expected the digest {short(digest)}, got {short(card.digest)}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"the trunk's card cannot be used: {error}",
            where=str(folder / "card.json"),
            fix=f"remove the folder {folder} and run the same command again",
        ) from error
    return Trunk(card, folder)


def by_digest(digest: str, home: Path, *, name: str = "", say: Say | None = None) -> Trunk:
    """The trunk with a digest: one of this home, or the built-in one of a name, exported on first use.

    Args:
        digest: Of the trunk.
        home: The home folder.
        name: What the trunk is called where it was made.
        say: Told before an export, which takes a while.

    Raises:
        InputError: When this machine does not have it, saying what to bring.
    """
    trunk = _load(home, digest)
    reason = ""
    if trunk is None and parse(name)[0] in TRUNKS.targets:  # never a path that a bundle names
        try:
            trunk = resolve(name, home, say=say)
        except InputError as error:
            reason = f" ({error.message})"
    if trunk is not None and trunk.card.digest == digest:
        return trunk
    if trunk is not None:
        reason = f" (the one of this name here is {short(trunk.card.digest)})"
    raise InputError(
        f"the trunk {f'{name} {short(digest)}'.strip()} is not on this machine{reason}",
        fix=f"bring its file: `trunkline trunks export {short(digest)}` where the model was built makes it, then here "
        "`trunkline trunks import FILE`",
    )


def _export(loader: Loader, home: Path) -> Trunk:
    with _scratch(home) as scratch:
        exported = loader.export(scratch)
        return _placed(exported, home, scratch)


def _sized(trunk: Trunk, side: int, home: Path, where: str | None) -> Trunk:
    """A trunk of this home at another input side, made on first use."""
    if side == trunk.card.size:
        return trunk
    known = _load(home, resized_card(trunk.card, side, where=where).digest)
    if known is not None:
        return known
    with locked(home / "locks" / "trunks.lock"), _scratch(home) as scratch:
        return _placed(at_side(exported(trunk), side, scratch, where=where), home, scratch)


def install(exported: Exported, home: Path) -> Trunk:
    """Put a trunk that came from elsewhere into a home, after it has shown that it runs; one that is there stays.

    Raises:
        InputError: When its graphs do not run, or do not give what its card says.
        StorageError: When the home cannot be written.
    """
    known = _load(home, exported.card.digest)
    if known is not None and _whole(known):
        return known
    with locked(home / "locks" / "trunks.lock"), _scratch(home) as scratch:
        check_runs(exported, scratch)
        return _placed(exported, home, scratch)


def _whole(trunk: Trunk) -> bool:
    try:
        trunk.path(), trunk.path(dense=True)
    except InputError:
        return False
    return True


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    """An empty folder beside the trunks of a home; who calls holds the lock."""
    root = home / "trunks"
    with storage_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        for left in root.glob(".export-*"):  # by a process that was killed; the lock is ours
            shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix=".export-", dir=root))
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _placed(exported: Exported, home: Path, scratch: Path) -> Trunk:
    """Write a trunk's folder and move it into its place."""
    digest = exported.card.digest
    part, target = scratch / digest, home / "trunks" / digest
    part.mkdir()
    (part / "trunk.onnx").write_bytes(exported.pooled)
    (part / "dense.onnx").write_bytes(exported.dense)
    files = {"trunk.onnx": digest_bytes(exported.pooled), "dense.onnx": digest_bytes(exported.dense)}
    (part / "card.json").write_bytes(canonical_json({**exported.card.to_json(), "files": files}))
    known = _load(home, digest)
    if known is None or not _whole(known):
        shutil.rmtree(target, ignore_errors=True)  # a folder that somebody took a file from, or changed one in
        os.replace(part, target)  # noqa: PTH105
    return Trunk(exported.card, target)


def exported(trunk: Trunk) -> Exported:
    """A trunk of a home as card and graphs.

    Raises:
        InputError: When a graph is missing or was changed.
    """
    return Exported(trunk.card, trunk.path().read_bytes(), trunk.path(dense=True).read_bytes())


def list_trunks(home: Path) -> list[dict[str, Any]]:
    """Trunks of this home, then those in the table that have not been exported here."""
    rows: list[dict[str, Any]] = []
    for path in sorted((home / "trunks").glob("*/card.json")):
        digest = path.parent.name
        try:
            trunk = _load(home, digest)
        except InputError as error:
            rows.append({"name": short(digest), "digest": digest, "state": f"failed: {error.message}"})
            continue
        if trunk is not None:
            rows.append(_row(trunk.card))
    seen = {row["name"] for row in rows}
    rows += [{"name": name, "state": _state(name)} for name in TRUNKS.names() if name not in seen]
    return rows


def _row(card: TrunkCard) -> dict[str, Any]:
    return {
        "name": card.name, "digest": card.digest, "digest_short": short(card.digest),
        "input": f"{card.size} x {card.size}", "licence": card.licence, "source": card.source,
        "features": card.width, "state": "ready",
    }  # fmt: skip


def _state(name: str) -> str:
    try:
        TRUNKS.load(name)().stamp()
    except InputError as error:
        return f"failed: {error.message}"
    except Exception as error:  # a plugin's own fault must not hide the other trunks  # noqa: BLE001
        return f"failed: {type(error).__name__}: {error}"
    return "made on first use"
