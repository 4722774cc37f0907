"""A tiny random trunk: real graphs in every runtime, in milliseconds. For tests."""

from __future__ import annotations

from pathlib import Path

from trunkline.algorithms.trunks.card import Tap, TrunkCard
from trunkline.algorithms.trunks.graph import import_onnx, input_nodes, pooling_nodes, to_bytes
from trunkline.algorithms.trunks.loader import Exported
from trunkline.core.digest import digest_bytes

_SIZE = 32
_TAPS = (Tap("tap0", 8, 2), Tap("tap1", 16, 4), Tap("tap2", 24, 8))
_MEAN, _SCALE = (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)


class TestTrunk:
    """Three random 3x3 convolutions of stride 2, each followed by ReLU and a tap."""

    __test__ = False  # pytest: not a test class

    def stamp(self) -> str:
        return "1"

    def export(self, scratch: Path) -> Exported:
        import numpy as np

        onnx = import_onnx("the trunk test-trunk")
        rng = np.random.default_rng(7)
        nodes, constants = input_nodes(onnx, _MEAN, _SCALE, output="x0")
        inputs, raw = 3, b""
        for number, tap in enumerate(_TAPS):
            # He initialisation keeps the taps' scale alike.
            kernel = rng.normal(0, np.sqrt(2 / (9 * inputs)), (tap.channels, inputs, 3, 3)).astype(np.float32)
            raw += kernel.tobytes()
            constants.append(onnx.numpy_helper.from_array(kernel, f"kernel{number}"))
            source = f"x{number}" if number == 0 else _TAPS[number - 1].name
            nodes.append(
                onnx.helper.make_node("Conv", [source, f"kernel{number}"], [f"c{number}"], strides=[2, 2], pads=[1] * 4)
            )
            nodes.append(onnx.helper.make_node("Relu", [f"c{number}"], [tap.name]))
            inputs = tap.channels
        names = [tap.name for tap in _TAPS]
        more, others = pooling_nodes(onnx, names)
        nodes, constants = [*nodes, *more], [*constants, *others]
        card = TrunkCard(
            name="test-trunk", size=_SIZE, mean=_MEAN, scale=_SCALE, taps=_TAPS, weights=digest_bytes(raw),
            licence="Apache-2.0", source="random numbers",
        )  # fmt: skip
        return Exported(
            card, to_bytes(onnx, nodes, constants, _SIZE, ["pooled"]),
            to_bytes(onnx, nodes, constants, _SIZE, ["pooled", *names]),
        )  # fmt: skip
