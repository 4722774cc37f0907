"""Runs a program in whole numbers alone: the same integers on every machine, with any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from trunkline.compute.chips.blas import Blas
from trunkline.compute.chips.npu_int8.arithmetic import divided, requantised, roots, saturated, shifted
from trunkline.compute.chips.npu_int8.kernels import convolve, exact_type, product
from trunkline.compute.chips.npu_int8.program import Program, Step

FRACTION = 8
"""Bits after the point in which mean, std and max of a map are given."""
MOST_POSITIONS = 1 << 16
"""Of a map whose std is taken: 2 x 2^16 x positions^2 x 127^2 stays under 2^63."""


def run(program: Program, inputs: np.ndarray, *, keep: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The integers of a program's outputs.

    Args:
        program: The program.
        inputs: uint8 pictures (n, size, size, 3), or integers (n, size) of features.
        keep: Further tensors that are wanted, by name.

    Returns:
        By name: int8 maps (n, h, w, c), int32 numbers a channel (n, d), or int32 accumulators (n, k).

    Raises:
        ValueError: When the inputs are not what the program takes.
    """
    _check(program, inputs)
    wanted = {*program.outputs, *keep}
    last = {name: at for at, step in enumerate(program.steps) for name in step.inputs}
    values: dict[str, np.ndarray] = {} if program.takes == "images" else {"features": inputs.astype(np.int32)}
    for at, step in enumerate(program.steps):
        given = [inputs] if step.kind == "image" else [values[name] for name in step.inputs]
        values[step.output] = execute(step, given)
        for name in step.inputs:
            if last[name] <= at and name not in wanted:
                values.pop(name, None)
    return {name: values[name] for name in dict.fromkeys((*program.outputs, *keep))}


def run_many(program: Program, inputs: np.ndarray, *, threads: int) -> dict[str, np.ndarray]:
    """As `run`, one picture at a time in each of some threads, so that memory stays small.

    Raises:
        ValueError: When the inputs are not what the program takes, or there are none.
    """
    if not len(inputs):
        raise ValueError("expected at least one input")
    # BLAS with one thread: two that share a picture wait for each other most of the time.
    with Blas(1).limit(1), ThreadPoolExecutor(threads, thread_name_prefix="npu") as pool:
        parts = list(pool.map(lambda at: run(program, inputs[at : at + 1]), range(len(inputs))))
    return {name: np.concatenate([part[name] for part in parts]) for name in program.outputs}


def execute(step: Step, inputs: list[np.ndarray]) -> np.ndarray:
    """One step on its inputs, or on pictures."""
    return _KINDS[step.kind](step, inputs)


def accumulators(step: Step, source: np.ndarray) -> np.ndarray:
    """Products and bias, whole numbers in the smallest float that holds them all."""
    dtype = exact_type(step.largest)
    weight, source = step.arrays["weight"].astype(dtype), source.astype(dtype)
    sums = convolve(source, weight, step.geometry) if step.kind == "conv" else product(source, weight)
    sums += step.arrays["bias"].astype(dtype)
    return sums


def _check(program: Program, inputs: np.ndarray) -> None:
    if program.takes == "images":
        shape, fits = f"uint8 (n, {program.size}, {program.size}, 3)", inputs.dtype == np.uint8
        fits = fits and inputs.shape[1:] == (program.size, program.size, 3)
    else:
        shape, fits = f"integers (n, {program.size})", inputs.dtype.kind == "i" and inputs.shape[1:] == (program.size,)
    if not fits:
        raise ValueError(f"expected {shape}, got {inputs.dtype} {inputs.shape}")


def _image(step: Step, inputs: list[np.ndarray]) -> np.ndarray:
    return np.asarray(step.arrays["table"][inputs[0], np.arange(3)])


def _weighed(step: Step, inputs: list[np.ndarray]) -> np.ndarray:
    arrays, sums = step.arrays, accumulators(step, inputs[0])
    if "multipliers" not in arrays:
        return np.asarray(sums.astype(np.int32))  # the last of a head
    return saturated(requantised(sums, arrays["multipliers"], step.shift), arrays["low"], arrays["high"])


def _add(step: Step, inputs: list[np.ndarray]) -> np.ndarray:
    first, second = step.arrays["multipliers"].astype(np.int64)
    total = inputs[0].astype(np.int64) * first + inputs[1].astype(np.int64) * second
    return saturated(shifted(total, step.shift), step.arrays["low"], step.arrays["high"])


def _clip(step: Step, inputs: list[np.ndarray]) -> np.ndarray:
    return np.asarray(np.clip(inputs[0], step.arrays["low"], step.arrays["high"]))


def _mean(step: Step, inputs: list[np.ndarray]) -> np.ndarray:
    maps = inputs[0]
    sums = maps.sum(axis=(1, 2), dtype=np.int64)
    return divided(sums << FRACTION, maps.shape[1] * maps.shape[2]).astype(np.int32)


def _std(step: Step, inputs: list[np.ndarray]) -> np.ndarray:
    maps = inputs[0].astype(np.int32)
    count = maps.shape[1] * maps.shape[2]
    sums, squares = maps.sum(axis=(1, 2), dtype=np.int64), (maps * maps).sum(axis=(1, 2), dtype=np.int64)
    variance = divided((count * squares - sums * sums) << (2 * FRACTION), count * count)
    return roots(variance + step.epsilon).astype(np.int32)


def _max(step: Step, inputs: list[np.ndarray]) -> np.ndarray:
    return np.asarray(inputs[0].max(axis=(1, 2)).astype(np.int32) << FRACTION)


def _concat(step: Step, inputs: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(inputs, axis=1)


def _gather(step: Step, inputs: list[np.ndarray]) -> np.ndarray:
    return saturated(requantised(inputs[0], step.arrays["multipliers"], step.shift))


def _contrast(step: Step, inputs: list[np.ndarray]) -> np.ndarray:
    """Each tap's numbers over the length of its std vector, the quotient rounded once."""
    features = inputs[0].astype(np.int64)
    lengths, start = np.empty_like(features), 0
    for count in step.channels:
        std = features[:, start + count : start + 2 * count]
        lengths[:, start : start + 3 * count] = np.maximum(roots((std * std).sum(axis=1, keepdims=True)), 1)
        start += 3 * count
    return saturated(divided(features * step.arrays["multipliers"], lengths << step.shift))


_KINDS: Mapping[str, Callable[[Step, list[np.ndarray]], np.ndarray]] = {
    "image": _image, "conv": _weighed, "linear": _weighed, "add": _add, "clip": _clip, "mean": _mean, "std": _std,
    "max": _max, "concat": _concat, "gather": _gather, "contrast": _contrast,
}  # fmt: skip
