"""Cycles: SCALE-Sim's folds, against its whole layout and against the formula."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trunkline.compute.chips.npu_int8 import cycles as module
from trunkline.compute.chips.npu_int8.cycles import ARRAYS, Array, array_of, cycles, fold_cycles
from trunkline.compute.chips.npu_int8.work import Product
from trunkline.core.errors import ConfigError, MissingExtraError

PRODUCTS = [Product(1, 64, 27, 20), Product(1, 64, 9, 1), Product(1, 10, 70, 30), Product(1, 1, 1, 1)]


@pytest.mark.parametrize("product", PRODUCTS, ids=str)
@pytest.mark.parametrize("dataflow", ["os", "ws", "is"])
def test_folds_add_up_to_what_scalesim_lays_out_whole(product: Product, dataflow: str) -> None:
    pytest.importorskip("scalesim")
    array = Array("small", 8, 12, dataflow)
    system = module._system(array)
    system.set_params(
        config_obj=module._config(array),
        ifmap_op_mat=np.zeros((product.rows, product.depth)),
        filter_op_mat=np.zeros((product.depth, product.columns)),
        ofmap_op_mat=np.zeros((product.rows, product.columns)),
    )
    assert cycles(product, array) == len(system.get_ofmap_demand_mat())


@pytest.mark.parametrize(
    ("dataflow", "expected"),
    [
        # Samajdar et al., 2020: a fold of an array of 16 x 8 fills, streams and drains in 16 + 8 + T - 2 cycles; one
        # whose operand has to be loaded first takes 16 more.
        ("os", [(22 + 27) * 4 * 3, (22 + 9) * 4, (22 + 70) * 1 * 4, 22 + 1]),
        ("ws", [(38 + 64) * 2 * 3, (38 + 64) * 1, (38 + 10) * 5 * 4, 38 + 1]),
        ("is", [(38 + 20) * 2 * 8, (38 + 1) * 1 * 8, (38 + 30) * 5 * 2, 38 + 1]),
    ],
)
def test_cycles_are_those_of_the_formula(dataflow: str, expected: list[int]) -> None:
    pytest.importorskip("scalesim")
    assert [cycles(product, Array("mid", 16, 8, dataflow)) for product in PRODUCTS] == expected


def test_a_depthwise_convolution_is_one_product_for_each_channel() -> None:
    pytest.importorskip("scalesim")
    array = ARRAYS["edge-16x16"]
    assert cycles(Product(96, 49, 9, 1), array) == 96 * cycles(Product(1, 49, 9, 1), array)


def test_scalesim_prints_nothing_and_leaves_no_file(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scalesim")
    monkeypatch.chdir(tmp_path)
    fold_cycles.cache_clear()
    cycles(PRODUCTS[0], ARRAYS["eyeriss-12x14"])
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "array"),
    [
        ("32x16", Array("32x16", 32, 16, "os")),
        ("1x1024-ws", Array("1x1024-ws", 1, 1024, "ws")),
        ("tpu-v1-256x256", Array("tpu-v1-256x256", 256, 256, "ws")),
    ],
)
def test_arrays_by_name_and_size(text: str, array: Array) -> None:
    assert array_of(text) == array


@pytest.mark.parametrize("text", ["", "big", "0x8", "8x2000", "8x8-xs", "8X8", " 8x8", "8x8\n", "٣x٣"])
def test_what_is_no_array_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(ConfigError, match="expected an array, got") as caught:
        array_of(text)
    assert "edge-16x16" in str(caught.value.fix)


def test_without_scalesim_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"trunkline\[npu\]"):
        fold_cycles.__wrapped__(ARRAYS["edge-16x16"], 3)
