"""Bundles: sealed around the very head that was measured, refused when anything about them is not so."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from trunkline.core.digest import canonical_json, short
from trunkline.core.errors import BundleError
from trunkline.core.types.bundle import GateRecord, Lineage, Override, TrunkRef
from trunkline.core.types.bundle import TestSet as FrozenImages
from trunkline.platform.registry import bundle as bundles
from trunkline.platform.registry.archive import read_archive, write_archive
from trunkline.platform.registry.keys import SigningKey, trusted_keys

Reseal = Callable[[Mapping[str, bytes]], bytes]
AGAIN = "get the bundle again from where it was made; it is used whole or not at all"


def refusal(data: bytes) -> str:
    """Why a bundle is refused, or "" when it is not."""
    try:
        bundles.read(data)
    except BundleError as error:
        return error.message
    return ""


def same_weights(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    return set(a) == set(b) and all(a[k].dtype == b[k].dtype and np.array_equal(a[k], b[k]) for k in a)


def test_what_was_sealed_is_read(make: SimpleNamespace, sealed: bytes, signer: Path, key: SigningKey) -> None:
    head = make.head()
    found = bundles.read(sealed, trusted=trusted_keys(signer))
    trunk = found.manifest.trunk
    assert same_weights(found.head.weights, head.weights)
    assert replace(found.head, weights={}) == replace(head, weights={}, config={"rung": "linear", "channels": [4]})
    assert trunk == TrunkRef(
        name="test-trunk", digest=make.card.digest, preprocessing=trunk.preprocessing, licence="Apache-2.0"
    )
    assert found.manifest.lineage == Lineage(
        scenario=make.scenario, dataset=make.dataset, trunk=make.card.digest, head=found.head.digest()
    )
    assert found.manifest.model_dump(
        include={"schema_version", "name", "task", "status", "metrics", "intervals", "data_licence", "override"}
    ) == {
        "schema_version": 1,
        "name": "steel",
        "task": "classify",
        "status": "passed",
        "metrics": {"accuracy": 0.95, "recall_min": None},
        "intervals": {"accuracy": [0.9, 1.0]},
        "data_licence": "CC0-1.0",
        "override": None,
    }
    assert found.manifest.test == FrozenImages(dataset=make.dataset, images=40)
    assert found.manifest.gates == [
        GateRecord(
            name="accuracy", limit=">= 0.9", verdict="passed", evidence="ok", value=0.95, low=0.95 - 0.01,
            high=0.95 + 0.01, note="note", machine=False,
        ),
        GateRecord(
            name="latency_ms_p95", limit=">= 0.9", verdict="passed", evidence="ok", value=None, low=None, high=None,
            note="", machine=True,
        ),
    ]  # fmt: skip
    assert (found.preview, found.report, found.size) == (make.png(), {"findings": []}, len(sealed))
    assert (found.signer, found.trusted, found.warnings) == (key.public, True, [])


def test_a_file_is_read_as_its_bytes_are(sealed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "铜 copper.tlb"
    path.write_bytes(sealed)
    found, again = bundles.read(path), bundles.read(sealed)
    assert (found.digest, found.manifest) == (again.digest, again.manifest)


def test_same_inputs_give_the_same_bytes(make: SimpleNamespace, signer: Path, sealed: bytes) -> None:
    assert make.bundle(signer, make.check(), make.check(machine=True, value=7.0)) == sealed
    assert make.bundle(signer, make.check(), make.check(machine=True, value=9.0)) == sealed, "a time is in it"
    assert make.bundle(signer, make.check(), make.check(machine=True), seed=1) != sealed


def test_what_is_measured_is_what_ships(make: SimpleNamespace, sealed: bytes) -> None:
    packed = bundles.candidate(
        make.head(), name="steel", trunk=make.card, scenario=make.scenario, dataset=make.dataset, data_licence="CC0-1.0"
    )
    assert read_archive(packed)["head.safetensors"] == read_archive(sealed)["head.safetensors"]
    assert bundles.open_candidate(packed).digest() == bundles.read(sealed).head.digest()


def test_weights_need_not_lie_in_one_piece(make: SimpleNamespace) -> None:
    head = make.head()
    turned = replace(head, weights={k: np.asfortranarray(v) for k, v in head.weights.items()})
    packed = [
        bundles.candidate(h, name="a", trunk=make.card, scenario=make.scenario, dataset=make.dataset)
        for h in (head, turned)
    ]
    assert packed[0] == packed[1]


def test_two_homes_give_one_digest_and_two_signatures(make: SimpleNamespace, sealed: bytes, tmp_path: Path) -> None:
    other = make.bundle(tmp_path, make.check(), make.check(machine=True))
    ours, theirs = bundles.read(sealed), bundles.read(other, trusted=trusted_keys(tmp_path))
    assert (ours.digest, ours.manifest) == (theirs.digest, theirs.manifest)
    assert read_archive(sealed)["signature"] != read_archive(other)["signature"]
    assert (ours.signer != theirs.signer, ours.trusted, theirs.trusted) == (True, False, True)
    assert ours.warnings == [f"steel: signed with a key that this home does not know ({short(ours.signer)})"]


def test_a_failed_model_says_so(failed: bytes, signer: Path) -> None:
    found = bundles.read(failed, trusted=trusted_keys(signer))
    assert (found.status, found.warnings) == ("failed", ["steel: this model failed its gate (accuracy)"])


def test_an_override_is_another_bundle_that_names_the_first(failed: bytes, signer: Path, key: SigningKey) -> None:
    let_through = bundles.override(failed, key=key, who=" ann ", why="needed tonight 更好\n")
    found, before = bundles.read(let_through, trusted=trusted_keys(signer)), bundles.read(failed)
    reason = Override(who="ann", why="needed tonight 更好", bundle=before.digest)
    changed = before.manifest.model_copy(update={"status": "overridden", "override": reason})
    assert (found.status, found.manifest) == ("overridden", changed)
    assert found.digest != before.digest
    assert found.warnings == ["steel: this model failed its gate (accuracy); let through by ann: needed tonight 更好"]
    assert bundles.override(failed, key=key, who="ann", why="needed tonight 更好") == let_through


@pytest.mark.parametrize(
    ("which", "who", "why", "message"),
    [
        ("failed", "", "why", "expected a name and a reason"),
        ("failed", "ann", " \n", "expected a name and a reason"),
        ("sealed", "ann", "why", "got one with status 'passed'"),
    ],
)
def test_an_override_needs_a_failed_model_a_name_and_a_reason(
    which: str, who: str, why: str, message: str, key: SigningKey, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(BundleError, match=message):
        bundles.override(request.getfixturevalue(which), key=key, who=who, why=why)


def test_every_changed_byte_is_refused(sealed: bytes) -> None:
    changed = (sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :] for i in range(len(sealed)))
    assert [i for i, data in enumerate(changed) if not refusal(data)] == []


def test_every_truncation_is_refused(sealed: bytes) -> None:
    assert [i for i in range(len(sealed)) if not refusal(sealed[:i])] == []


@pytest.mark.parametrize("name", ["bundle.json", "head.safetensors", "preview.png", "report.json"])
def test_content_that_was_not_signed_is_refused(sealed: bytes, name: str) -> None:
    members = read_archive(sealed)
    changes = {
        "bundle.json": members["bundle.json"].replace(b"0.95", b"0.99", 1),
        "head.safetensors": members["head.safetensors"][:-1] + b"\x3c",
        "preview.png": members["preview.png"] + b"\0",
        "report.json": b"{}",
    }
    assert members[name] != changes[name]
    said = refusal(write_archive({**members, name: changes[name]}))
    assert said == "the signature does not fit the content: the bundle was changed"


@pytest.mark.parametrize("name", ["bundle.json", "head.safetensors", "preview.png", "report.json", "signature"])
def test_a_member_that_is_not_there_is_named(sealed: bytes, name: str) -> None:
    members = read_archive(sealed)
    del members[name]
    with pytest.raises(BundleError) as caught:
        bundles.read(write_archive(members), where="x.tlb")
    assert (caught.value.message, caught.value.where, caught.value.fix) == (
        f"expected a sealed bundle, {name} not there",
        "x.tlb",
        AGAIN,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: {**row, "algorithm": "none"}, "expected a signature by ed25519, got one by 'none'"),
        (lambda row: {**row, "signature": row["signature"].upper()}, "the signature does not fit"),
        (lambda row: {**row, "signature": ""}, "the signature does not fit"),
        (lambda row: {**row, "public_key": "0" * 64}, "the signature does not fit"),
        (lambda row: {**row, "public_key": 7}, "expected a signature of algorithm"),
        (lambda row: {**row, "more": ""}, "expected a signature of algorithm"),
        (lambda row: {"algorithm": "ed25519"}, "expected a signature of algorithm"),
        (lambda row: [], "expected a signature of algorithm"),
    ],
)
def test_other_signatures_are_refused(sealed: bytes, change: Callable[[Any], Any], message: str) -> None:
    members = read_archive(sealed)
    signature = canonical_json(change(json.loads(members["signature"])))
    assert refusal(write_archive({**members, "signature": signature})).startswith(message)


@pytest.mark.parametrize(
    "text", [b'{ "a":1}', b'{"b":1,"a":2}', b'{"a":1,"a":2}', b'{"a":NaN}', b"{", b"\xff", b"[" * 9999, b'{"a":1}\n']
)
def test_json_is_written_one_way_only(reseal: Reseal, text: bytes) -> None:
    assert refusal(reseal({"report.json": text})) == "expected canonical JSON in report.json"


@pytest.mark.parametrize("text", [b"[]", b"3", b"null"])
def test_a_report_is_an_object(reseal: Reseal, text: bytes) -> None:
    assert refusal(reseal({"report.json": text})) == "expected an object in report.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": []}, "bundle.json: labels:"),
        ({"labels": ["a", "a"]}, "head.safetensors: expected at least one label and no repeats"),
        ({"name": "../up"}, "bundle.json: name:"),
        ({"name": "a" * 201}, "bundle.json: name:"),
        ({"more": 1}, "bundle.json: more:"),
        ({"status": "candidate"}, "bundle.json: : Value error, status 'candidate' does not go with"),
        ({"status": "failed"}, "bundle.json: : Value error, status 'failed' does not go with failed gates []"),
        ({"status": "overridden"}, "bundle.json: : Value error, status 'overridden' does not go with"),
        ({"test": None}, "bundle.json: : Value error, status 'passed' does not go with"),
        ({"task": "segment"}, "expected the head"),
        ({"thresholds": {}}, "expected the head"),
        ({"schema_version": "1"}, "bundle.json: schema_version:"),
        ({"metrics": {"accuracy": "high"}}, "bundle.json: metrics.accuracy:"),
        ({"metrics": {"accuracy": True}}, "bundle.json: metrics.accuracy:"),
    ],
)
def test_a_signature_does_not_make_nonsense_true(
    reseal: Reseal, manifest: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    assert refusal(reseal({"bundle.json": canonical_json({**manifest, **change})})).startswith(message)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (b"", "head.safetensors: "),
        (b"\xff" * 16, "expected a head with a header of at most 65536 bytes"),
        (b"\x04" + b"\0" * 7 + b"junk", "head.safetensors: "),
        (save({"weight": np.zeros(3)}), "head.safetensors: expected weights of float32 or float16, got"),
        (save({"weight": np.full(3, np.nan, np.float32)}), "head.safetensors: expected finite weights"),
        (save({"weight": np.full(3, np.inf, np.float16)}), "head.safetensors: expected finite weights"),
        (save({"other": np.zeros(3, np.float32)}), "expected the head"),
    ],
)
def test_other_weights_are_refused(reseal: Reseal, weights: bytes, message: str) -> None:
    assert refusal(reseal({"head.safetensors": weights})).startswith(message)


@pytest.mark.parametrize("tail", [b"", b"another layout altogether"])
def test_a_newer_bundle_is_told_from_a_broken_one(reseal: Reseal, manifest: dict[str, Any], tail: bytes) -> None:
    data = reseal({"bundle.json": canonical_json({**manifest, "schema_version": 2, "news": 1})}) + tail
    with pytest.raises(BundleError) as caught:
        bundles.read(data, where="new.tlb")
    assert str(caught.value) == (
        "new.tlb: made by a newer Trunkline: expected schema 1 or older, got 2\n"
        "  fix: upgrade: pip install --upgrade trunkline"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing.tlb", "cannot be read: No such file or directory"),
        ("folder.tlb", "expected a bundle file"),
        ("pipe.tlb", "expected a bundle file"),
        ("empty.tlb", r"expected a Trunkline bundle"),
    ],
)
def test_what_is_no_file_of_ours_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.tlb").mkdir()
    (tmp_path / "empty.tlb").touch()
    os.mkfifo(tmp_path / "pipe.tlb")
    with pytest.raises(BundleError, match=message) as caught:
        bundles.read(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)


def test_a_candidate_is_no_bundle_and_a_bundle_no_candidate(make: SimpleNamespace, sealed: bytes) -> None:
    packed = bundles.candidate(make.head(), name="steel", trunk=make.card, scenario=make.scenario, dataset=make.dataset)
    assert refusal(packed) == "expected a sealed bundle, preview.png and report.json and signature not there"
    with pytest.raises(BundleError, match="expected a candidate, got a bundle with status 'passed'"):
        bundles.open_candidate(sealed)


def test_a_head_that_cannot_be_packed_is_a_fault_of_the_caller(make: SimpleNamespace) -> None:
    head = make.head()
    given = {"name": "a", "trunk": make.card, "scenario": make.scenario, "dataset": make.dataset}
    with pytest.raises(ValueError, match="expected a head on trunk"):
        bundles.candidate(replace(head, trunk="0" * 64), **given)
    with pytest.raises(ValueError, match=r"expected weights of float32 or float16, got {'weight': 'float64'}"):
        bundles.candidate(replace(head, weights={"weight": np.zeros((12, 2))}), **given)


def test_a_report_on_another_head_does_not_seal(make: SimpleNamespace, key: SigningKey) -> None:
    packed = bundles.candidate(make.head(), name="a", trunk=make.card, scenario=make.scenario, dataset=make.dataset)
    given = {"key": key, "test_images": 1, "report_json": {}}
    with pytest.raises(ValueError, match=f"got one on {'0' * 64}"):
        bundles.seal(packed, report=make.report("0" * 64), preview=make.png(), **given)
    with pytest.raises(ValueError, match="expected a preview in PNG"):
        bundles.seal(packed, report=make.report(bundles.open_candidate(packed).digest()), preview=b"GIF8", **given)
