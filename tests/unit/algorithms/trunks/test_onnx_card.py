"""The card beside an ONNX file: found, read, and refused with the line to mend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.unit.algorithms.trunks.nets import CARD
from trunkline.algorithms.trunks.onnx_card import EXAMPLE, OnnxCard, TapEntry, card_file, read_card
from trunkline.core.errors import ConfigError, InputError


def test_the_example_in_the_messages_is_a_card(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(EXAMPLE)
    assert read_card(tmp_path / "net.yaml") == OnnxCard(
        name="my-backbone", size=224, mean=[123.675, 116.28, 103.53], scale=[58.395, 57.12, 57.375],
        taps=[TapEntry(tensor=name) for name in ("layer2", "layer3", "layer4")], licence="Apache-2.0",
        source="where the weights are from",
    )  # fmt: skip


def test_the_page_shows_the_same_card() -> None:
    assert f"```yaml\n{EXAMPLE}\n```" in (ROOT / "docs" / "trunks.md").read_text()


@pytest.mark.parametrize(("suffix", "write"), [(".yaml", yaml.safe_dump), (".yml", json.dumps), (".json", json.dumps)])
def test_a_card_is_yaml_or_json(suffix: str, write: Any, tmp_path: Path) -> None:
    (tmp_path / f"net{suffix}").write_text("\ufeff" + write(CARD), encoding="utf-8")
    path = card_file(tmp_path / "net.onnx")
    assert path == tmp_path / f"net{suffix}"
    card = read_card(path)
    assert card.model_dump(exclude_defaults=True) == {
        **CARD, "taps": [{"tensor": "coarse"}, {"tensor": "fine", "channels": 6, "stride": 2}],
    }  # fmt: skip


def test_no_card_shows_one_to_copy(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        card_file(tmp_path / "net.onnx")
    assert caught.value.message == "expected a card beside the graph, found none"
    assert caught.value.fix == f"write {tmp_path / 'net.yaml'}, for example:\n\n{EXAMPLE}\n"


def test_two_cards_are_refused(tmp_path: Path) -> None:
    for suffix in (".yml", ".json"):
        (tmp_path / f"net{suffix}").touch()
    with pytest.raises(InputError, match=r"expected one card, got net\.yml and net\.json"):
        card_file(tmp_path / "net.onnx")


@pytest.mark.parametrize(
    ("change", "where", "said"),
    [
        ({"name": None}, "name", "this key is missing"),
        ({"taps": None}, "taps", "this key is missing"),
        ({"licence": ""}, "licence", "expected at least 1 character, got ''"),
        ({"meen": [1, 2, 3]}, "meen", "unknown key\n  fix: did you mean 'mean'?"),
        ({"batch": 4}, "batch", "unknown key\n  fix: known keys: name, size"),
        ({"name": "a/b"}, "name", "expected at most 100 letters, digits, points, dashes and underscores, the first"),
        ({"size": "224"}, "size", "expected a whole number, got '224'"),
        ({"size": 5}, "size", "expected a number greater than or equal to 8, got 5"),
        ({"size": -3}, "size", "expected a number greater than or equal to 8, got -3"),
        ({"size": 1e308}, "size", "expected a whole number, got 1e+308"),
        ({"size": True}, "size", "expected a whole number, got True"),
        ({"mean": [1, 2]}, "mean", "expected at least 3 entries, got [1, 2]"),
        ({"mean": 3}, "mean", "expected a list, got 3"),
        (
            {"mean": [1e308, 0, 0]},
            "mean",
            "expected numbers from -1000000 to 1000000 (pixels are 0 to 255), got [1e+308",
        ),
        ({"mean": [float("nan"), 0, 0]}, "mean.0", "expected a finite number, got nan"),
        ({"mean": ["1e2", 0, 0]}, "mean.0", "expected a number, got '1e2'"),
        ({"size": 10**4000}, "size", f"got {'1' + 56 * '0'}..."),
        ({"k" * 5000: 1}, "k" * 57 + "...", "unknown key"),
        ({"scale": [1e-320, 1, 1]}, "scale", "expected numbers of a size from 0.000001 to 1000000 (pixels"),
        ({"mean": [1, 2, "x"]}, "mean.2", "expected a number, got 'x'"),
        ({"scale": [1, 0, 2]}, "scale", "expected numbers other than 0, got [1, 0, 2]"),
        ({"taps": []}, "taps", "got []"),
        ({"taps": ["a", "a"]}, "taps", "expected each tensor once, got ['a', 'a']"),
        ({"taps": [{"tensor": "a", "stride": 0}]}, "taps.0.stride", "got 0"),
        ({"taps": ["a", {"tensor": "b", "chanels": 3}]}, "taps.1.chanels", "did you mean 'channels'?"),
        ({"taps": "a"}, "taps", "expected"),
    ],
    ids=str,
)
def test_a_wrong_card_is_refused(change: dict[str, Any], where: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(json.dumps({key: value for key, value in {**CARD, **change}.items() if value is not None}))
    with pytest.raises(ConfigError) as caught:
        read_card(path)
    assert caught.value.where == f"{path}: {where}"
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("net.yaml", b"", "expected a block of keys"),
        ("net.yaml", b"- a\n- b\n", "expected a block of keys"),
        ("net.yaml", b"a: [1,\nb", r"not YAML: .*line \d"),
        ("net.yaml", b"a: !!python/object/apply:os.system ['true']", "not YAML: .*could not determine a constructor"),
        ("net.yaml", b"\xff\xfe\x00", "not YAML"),
        ("net.yaml", b"[" * 1000, "not YAML"),
        ("net.yaml", b"name: a\n---\nname: b\n", "not YAML: expected one document"),
        ("net.yaml", b"a: &a [x]\nb: *a\n", "not YAML: .*aliases"),
        ("net.yaml", b"size: !!bool x\n", "not YAML: .*'x' is no bool"),
        ("net.yaml", b"size: !!timestamp x\n", "not YAML: .*'x' is no timestamp"),
        ("net.yaml", b"size: 0x" + b"f" * 6000, "not YAML: .*'0xf{55}...' is no int"),
        ("net.json", b"name: a", "not JSON: "),
        ("net.json", b"[" * 60_000, "not JSON"),
        ("net.json", b" " * 70_000, "expected a card of at most 64 KB, got 68 KB"),
    ],
)
def test_a_file_that_is_no_card_is_refused(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        read_card(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)
