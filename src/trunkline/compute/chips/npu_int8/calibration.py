"""What calibration pictures say of a network: the largest magnitude of each channel of each tensor.

The largest, not a percentile: 99.99 % and 99.9 % gave features no closer to the float network's (docs/npu-int8.md),
and a maximum follows exactly when channels are equalised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trunkline.compute.chips.npu_int8.floats import forward
from trunkline.compute.chips.npu_int8.layers import FloatLayer
from trunkline.core.errors import InputError


def magnitudes(layers: Sequence[FloatLayer], images: np.ndarray) -> dict[str, np.ndarray]:
    """The largest magnitude of each channel, shape (c,), by the tensor's name.

    Args:
        layers: As `read_graph` gave them.
        images: uint8 of shape (n, h, w, 3), at least one.

    Raises:
        InputError: When the graph does not fit the pictures, or gives numbers that are not finite.
    """
    found: dict[str, np.ndarray] = {}
    with np.errstate(all="ignore"):  # what overflows is refused in words
        for at in range(len(images)):  # one by one: a batch of maps in float64 is large
            for layer, values in forward(layers, images[at : at + 1]):
                largest = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
                if not np.isfinite(largest).all():
                    raise InputError(
                        "the graph gave numbers that are not finite",
                        where=layer.name,
                        fix="the weights, or the normalisation of the pictures, are wrong; mend the model",
                    )
                found[layer.output] = np.maximum(found.get(layer.output, 0.0), largest)
    return found
