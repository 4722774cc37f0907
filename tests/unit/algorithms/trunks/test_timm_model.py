"""`timm:NAME?weights=FILE`: a model of timm with the weights of that file and no others.

timm itself is not needed: a stand-in is put in its place.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.unit.algorithms.trunks.nets import fake_timm, timm_weights
from trunkline.algorithms.trunks.card import Tap
from trunkline.algorithms.trunks.timm_model import TimmModel
from trunkline.core.errors import InputError, MissingExtraError, NotFoundError


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    fake_timm(monkeypatch)
    return sys.modules["timm"]


@pytest.mark.usefixtures("timm")
def test_the_deepest_maps_become_taps(tmp_path: Path) -> None:
    weights = timm_weights(tmp_path)
    made = TimmModel(f"tiny_net?weights={weights}&licence=Apache-2.0").export(tmp_path)
    assert made.card.taps == (Tap("tap0", 6, 4), Tap("tap1", 8, 8), Tap("tap2", 10, 16))
    assert (made.card.name, made.card.size, made.card.licence, made.card.source) == (
        "tiny_net", 32, "Apache-2.0", "timm, tiny_net.safetensors",
    )  # fmt: skip
    assert made.card.mean == (127.5, 102.0, 76.5)
    assert made.card.scale == (51.0, 63.75, 127.5)


@pytest.mark.usefixtures("timm")
def test_licence_is_for_people_weights_are_for_the_digest(tmp_path: Path) -> None:
    first = TimmModel(f"tiny_net?weights={timm_weights(tmp_path / 'a')}").export(tmp_path).card
    second = TimmModel(f"tiny_net?licence=MIT&weights={timm_weights(tmp_path / 'b')}").export(tmp_path).card
    assert (first.licence, second.licence) == ("not stated", "MIT")
    assert first.digest == second.digest


@pytest.mark.usefixtures("timm")
def test_stamp_changes_with_the_file_and_the_licence(tmp_path: Path) -> None:
    spec = f"tiny_net?weights={timm_weights(tmp_path)}"
    stamps = [TimmModel(spec).stamp(), TimmModel(spec).stamp(), TimmModel(f"{spec}&licence=MIT").stamp()]
    os.utime(tmp_path / "tiny_net.safetensors", (1, 1))
    stamps.append(TimmModel(spec).stamp())
    assert (stamps[0] == stamps[1], len(set(stamps))) == (True, 3)


@pytest.mark.skipif(bool(find_spec("timm")), reason="timm is installed here")
def test_without_timm_the_command_that_installs_it_is_told() -> None:
    for call in (TimmModel("resnet18?weights=a.safetensors").stamp, lambda: TimmModel("resnet18").export(Path())):
        with pytest.raises(MissingExtraError) as caught:
            call()
        assert str(caught.value) == (
            "the trunk timm:resnet18 needs the package 'timm', which is not installed\n"
            "  fix: pip install 'trunkline[timm]'"
        )
        assert caught.value.exit_status == 2


@pytest.mark.usefixtures("timm")
def test_without_torchvision_it_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.algorithms.trunks.timm_model.find_spec", lambda name: name == "timm" or None)
    with pytest.raises(MissingExtraError, match="needs the package 'torchvision'"):
        TimmModel("tiny_net").stamp()


def test_a_timm_that_does_not_load_is_said_with_its_reason(
    timm: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = TimmModel(f"tiny_net?weights={timm_weights(tmp_path)}")
    monkeypatch.setattr(model, "stamp", lambda: "")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match="timm cannot be loaded here: ModuleNotFoundError: ") as caught:
        model.export(tmp_path)
    assert caught.value.where == "timm:tiny_net"


@pytest.mark.parametrize("rest", ["", "hf_hub:timm/resnet18", "hf-hub:a/b?weights=c", "a/b", "local-dir:/models/a"])
def test_names_of_hubs_are_refused(rest: str) -> None:
    with pytest.raises(InputError, match="expected the name of a timm model, got ") as caught:
        TimmModel(rest)
    assert "models are not loaded from a hub" in str(caught.value.fix)


def test_unknown_options_are_refused_with_near_ones() -> None:
    with pytest.raises(NotFoundError) as caught:
        TimmModel("resnet18?weight=a.safetensors")
    assert str(caught.value) == (
        "timm:resnet18?weight=a.safetensors: no option named 'weight'\n  fix: did you mean 'weights'?"
    )


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("rest", "where", "said"),
    [
        ("tiny_net", "timm:tiny_net", "expected a file with weights; Trunkline downloads none"),
        ("tiny_net?weights=", "timm:tiny_net", "expected a file with weights; Trunkline downloads none"),
        ("tiny_net?weights=a.pth", "a.pth", "expected weights in a .safetensors file, which holds numbers and no code"),
        ("tiny_net?weights=no.safetensors", "no.safetensors", "expected a file with weights; there is none"),
    ],
)  # fmt: skip
def test_weights_come_from_a_file_that_is_named(rest: str, where: str, said: str, tmp_path: Path) -> None:
    for call in (TimmModel(rest).stamp, lambda: TimmModel(rest).export(tmp_path)):
        with pytest.raises(InputError) as caught:
            call()
        assert (caught.value.where, caught.value.message) == (where, said)


@pytest.mark.usefixtures("timm")
def test_an_unknown_model_is_refused_with_near_ones(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        TimmModel(f"tiny_nett?weights={timm_weights(tmp_path)}").export(tmp_path)
    assert caught.value.fix == "did you mean 'tiny_net' or 'tiny_net_v2'?"


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("missing", ["steps.0.weight", "steps.3.bias"])
def test_a_file_that_lacks_weights_is_refused(missing: str, tmp_path: Path) -> None:
    path = timm_weights(tmp_path, leave_out=missing)
    with pytest.raises(InputError) as caught:
        TimmModel(f"tiny_net?weights={path}").export(tmp_path)
    assert caught.value.message == "expected all weights of tiny_net, some are not in this file"
    assert caught.value.where == str(path)


@pytest.mark.usefixtures("timm")
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny_net.safetensors"
    path.write_bytes(b"\x80\x04pickle?")
    with pytest.raises(InputError, match="timm cannot make tiny_net from this file: ") as caught:
        TimmModel(f"tiny_net?weights={path}").export(tmp_path)
    assert caught.value.where == str(path)


def test_maps_with_channels_last_are_turned(timm: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = f"tiny_net?weights={timm_weights(tmp_path)}"
    plain = TimmModel(spec).export(tmp_path)
    made = timm.create_model

    def turned(*given: Any, **named: Any) -> Any:
        net = made(*given, **named)
        forward = net.forward
        net.output_fmt = "NHWC"
        net.forward = lambda x: [y.permute(0, 2, 3, 1) for y in forward(x)]
        return net

    monkeypatch.setattr(timm, "create_model", turned)
    assert TimmModel(spec).export(tmp_path).card == plain.card


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("pretrained_cfg", {"input_size": (1, 32, 32)}, "square RGB pictures, got 1 channels of 32 x 32"),
        ("pretrained_cfg", {"input_size": (3, 32, 48)}, "square RGB pictures, got 3 channels of 32 x 48"),
        ("forward", lambda x: [x[:, :, :4].permute(0, 2, 3, 1)] * 4, r"tiny_net gives \(1, 4, 32, 3\) for 4 channels"),
        ("forward", lambda x: [x.flatten(1)] * 4, r"tiny_net gives \(1, 3072\) for 4 channels"),
    ],
    ids=["grey", "oblong", "channels last", "no map"],
)
def test_a_model_that_gives_no_maps_of_square_pictures_is_refused(
    attribute: str, value: Any, said: str, timm: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = timm.create_model

    def changed(*given: Any, **named: Any) -> Any:
        net = made(*given, **named)
        setattr(net, attribute, {**net.pretrained_cfg, **value} if isinstance(value, dict) else value)
        return net

    monkeypatch.setattr(timm, "create_model", changed)
    with pytest.raises(InputError, match=said):
        TimmModel(f"tiny_net?weights={timm_weights(tmp_path)}").export(tmp_path)
