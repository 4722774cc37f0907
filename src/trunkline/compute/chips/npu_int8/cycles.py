"""Cycles on a systolic array, from the package `scalesim` (Samajdar et al., ISPASS 2020).

SCALE-Sim cuts a matrix product into folds, tiles as large as the array, and lays each out cycle by cycle: operands come
in skewed, sums drain, the next fold begins. Its folds all take the same time whether they fill the array or not, so one
fold is simulated and multiplied by the number of folds that SCALE-Sim itself counts; simulated whole, a network would
take an hour for the same figure. Its memory model is left out: the estimate is of an array that is never kept waiting.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from trunkline.compute.chips.npu_int8.work import Product
from trunkline.core.errors import ConfigError, MissingExtraError

DATAFLOWS = {"os": "output stationary", "ws": "weight stationary", "is": "input stationary"}
_LARGEST = 1024
_FORM = re.compile(r"([0-9]{1,4})x([0-9]{1,4})(?:-(os|ws|is))?")


@dataclass(frozen=True, slots=True)
class Array:
    """A systolic array: rows x columns of multipliers, and which operand stays in place."""

    name: str
    rows: int
    columns: int
    dataflow: str

    @property
    def multipliers(self) -> int:
        return self.rows * self.columns


ARRAYS = {
    "edge-16x16": Array("edge-16x16", 16, 16, "os"),
    "edge-32x32": Array("edge-32x32", 32, 32, "os"),
    "eyeriss-12x14": Array("eyeriss-12x14", 12, 14, "ws"),
    "tpu-v1-256x256": Array("tpu-v1-256x256", 256, 256, "ws"),
}
"""Arrays with a name. Sizes of Eyeriss (Chen et al., ISCA 2016) and TPU v1 (Jouppi et al., ISCA 2017) are theirs; the
dataflow is the one of SCALE-Sim's example configurations, since it has none that is row stationary."""


def array_of(text: str) -> Array:
    """An array by its name, or by ROWSxCOLUMNS[-os|-ws|-is], output stationary when it does not say.

    Raises:
        ConfigError: When it is neither.
    """
    if text in ARRAYS:
        return ARRAYS[text]
    match = _FORM.fullmatch(text)
    if match and all(1 <= int(side) <= _LARGEST for side in match.groups()[:2]):
        return Array(text, int(match[1]), int(match[2]), match[3] or "os")
    raise ConfigError(
        f"expected an array, got {text!r}",
        where="array",
        fix=f"name one of {', '.join(ARRAYS)}, or a size as 32x32, 16x64-ws (at most {_LARGEST} a side; "
        + "; ".join(f"{short}: {words}" for short, words in DATAFLOWS.items())
        + ")",
    )


def check_installed() -> None:
    """Raises a `MissingExtraError` when scalesim is not installed."""
    if find_spec("scalesim") is None:
        raise MissingExtraError("scalesim", "npu", "the cycle estimate of npu-int8")


def cycles(product: Product, array: Array) -> int:
    """Cycles of a product on an array.

    Raises:
        MissingExtraError: When scalesim is not installed.
    """
    # What is laid out over rows, over columns and over time, as SCALE-Sim does for each dataflow.
    over_rows, over_columns, time = {
        "os": (product.rows, product.columns, product.depth),
        "ws": (product.depth, product.columns, product.rows),
        "is": (product.depth, product.rows, product.columns),
    }[array.dataflow]
    folds = math.ceil(over_rows / array.rows) * math.ceil(over_columns / array.columns)
    return product.times * folds * fold_cycles(array, time)


@cache
def fold_cycles(array: Array, time: int) -> int:
    """Cycles of one fold that streams `time` vectors, as SCALE-Sim lays it out."""
    if array.dataflow == "os":
        rows, depth, columns = array.rows, time, array.columns
    elif array.dataflow == "ws":
        rows, depth, columns = time, array.rows, array.columns
    else:
        rows, depth, columns = array.columns, array.rows, time
    system = _system(array)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        system.set_params(
            config_obj=_config(array),
            ifmap_op_mat=np.zeros((rows, depth)),
            filter_op_mat=np.zeros((depth, columns)),
            ofmap_op_mat=np.zeros((rows, columns)),
        )
        demands = system.get_demand_matrices()  # a row a cycle
    return int(demands[2].shape[0])


def _system(array: Array) -> Any:
    check_installed()
    name = f"systolic_compute_{array.dataflow}"
    return getattr(import_module(f"scalesim.compute.{name}"), name)()


def _config(array: Array) -> Any:
    config = import_module("scalesim.scale_config").scale_config()
    config.set_arr_dims(array.rows, array.columns)
    config.set_dataflow(array.dataflow)
    config.force_valid()
    return config
