"""A trunk from timm: `timm:NAME?weights=FILE.safetensors`. Weights come from that file only; nothing is downloaded."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trunkline.algorithms.trunks.card import Tap, TrunkCard
from trunkline.algorithms.trunks.loader import Exported, at
from trunkline.algorithms.trunks.torch_export import export_graphs, import_torch, weights_digest
from trunkline.core.digest import digest_json
from trunkline.core.errors import InputError, MissingExtraError, NotFoundError

_TAPS = 3  # the deepest of those that timm gives
_KEYS = ("weights", "licence")
_SHAPE = "timm:NAME?weights=FILE.safetensors"


class TimmModel:
    """A model of the package timm, by its name and a file with its weights.

    Args:
        rest: `NAME?weights=FILE.safetensors`, and `&licence=TEXT` where the licence of the weights is known.

    Raises:
        InputError: When it names no model, no file, or something on a network.
    """

    def __init__(self, rest: str) -> None:
        self.name, _, options = rest.partition("?")
        self._where = f"timm:{self.name}"
        if not self.name or ":" in self.name or "/" in self.name:
            raise InputError(
                f"expected the name of a timm model, got {self.name!r}",
                where=f"timm:{rest}",
                fix=f"write {_SHAPE}; models are not loaded from a hub",
            )
        given = dict(option.partition("=")[::2] for option in options.split("&") if option)
        unknown = next((key for key in given if key not in _KEYS), None)
        if unknown is not None:
            raise NotFoundError("option", unknown, _KEYS, where=f"timm:{rest}")
        self.licence = given.get("licence") or "not stated"
        self.weights = at(given.get("weights", ""))

    @staticmethod
    def anchored(rest: str, base: Path) -> str:
        """The same options, with the file taken from a folder."""
        name, mark, options = rest.partition("?")
        pairs = [option.partition("=") for option in options.split("&")]
        return (
            name
            + mark
            + "&".join(
                f"{key}={(base / at(value)).resolve()}" if key == "weights" and value else f"{key}{equals}{value}"
                for key, equals, value in pairs
            )
        )

    def stamp(self) -> str:
        needs("timm", self._where)
        needs("torchvision", self._where)
        if not self.weights.name:
            raise InputError(
                "expected a file with weights; Trunkline downloads none",
                where=self._where,
                fix=f"get the model's .safetensors file from where you trust it, then write {_SHAPE}",
            )
        if self.weights.suffix != ".safetensors":
            raise InputError(
                "expected weights in a .safetensors file, which holds numbers and no code", where=str(self.weights)
            )
        if not self.weights.is_file():
            raise InputError("expected a file with weights; there is none", where=str(self.weights))
        stat = self.weights.stat()
        return f"{stat.st_size}-{stat.st_mtime_ns}-{self.licence}"

    def export(self, scratch: Path) -> Exported:
        self.stamp()  # says what is missing
        torch = import_torch(f"the trunk {self._where}")
        net = self._loaded(torch)
        size, mean, scale = self._preprocessing(net.pretrained_cfg)
        taps, order = self._taps(torch, net, size)

        def taps_of(x: Any) -> Sequence[Any]:
            maps = _maps(net, x)
            return [maps[place] for place in order]

        names = [tap.name for tap in taps]
        pooled, dense = export_graphs(taps_of, net, size=size, mean=mean, scale=scale, tap_names=names, scratch=scratch)
        card = TrunkCard(
            name=self.name, size=size, mean=mean, scale=scale, taps=taps,
            weights=digest_json({"model": self.name, "weights": weights_digest(net.state_dict())}),
            licence=self.licence, source=f"timm, {self.weights.name}",
        )  # fmt: skip
        return Exported(card, pooled, dense)

    def _loaded(self, torch: Any) -> Any:
        """The network with the file's weights, in evaluation mode.

        It is made twice, from two seeds: a weight that the file does not give would differ. timm itself says nothing
        when a file lacks weights.
        """
        digests = []
        with torch.random.fork_rng(devices=[]):
            for seed in (0, 1):
                torch.manual_seed(seed)
                net = self._made().eval()
                digests.append(weights_digest(net.state_dict()))
        if digests[0] != digests[1]:
            raise InputError(
                f"expected all weights of {self.name}, some are not in this file",
                where=str(self.weights),
                fix="name the file that belongs to this model",
            )
        return net

    def _made(self) -> Any:
        try:
            import timm
        except Exception as error:  # torchvision and torch of different builds fail in many ways
            raise InputError(
                f"timm cannot be loaded here: {type(error).__name__}: {error}",
                where=self._where,
                fix="install versions of torch and torchvision that belong together",
            ) from error
        logging.getLogger("timm").setLevel(logging.ERROR)  # it warns of weights that no tap needs
        if not timm.is_model(self.name):
            raise NotFoundError("timm model", self.name, timm.list_models(), where=self._where)
        overlay = {"file": str(self.weights), "custom_load": False}
        try:
            return timm.create_model(self.name, pretrained=True, pretrained_cfg_overlay=overlay, features_only=True)
        except Exception as error:  # what a model raises on weights of another one is its own
            said = " ".join(str(error).split())[:300]
            raise InputError(
                f"timm cannot make {self.name} from this file: {type(error).__name__}: {said}",
                where=str(self.weights),
                fix="name the file that belongs to this model",
            ) from error

    def _preprocessing(
        self, config: Mapping[str, Any]
    ) -> tuple[int, tuple[float, float, float], tuple[float, float, float]]:
        """Input side, mean and scale in pixels of 0 to 255."""
        channels, height, width = config["input_size"]
        if channels != 3 or height != width:
            raise InputError(
                f"expected a model of square RGB pictures, got {channels} channels of {height} x {width}",
                where=self._where,
            )
        mean, scale = (tuple(255.0 * float(value) for value in config[key]) for key in ("mean", "std"))
        return int(height), mean, scale  # type: ignore[return-value]  # three each: the card checks that

    def _taps(self, torch: Any, net: Any, size: int) -> tuple[tuple[Tap, ...], list[int]]:
        """The deepest maps, finest first, and where they stand among what the network gives."""
        with torch.no_grad():
            shapes = [tuple(y.shape) for y in _maps(net, torch.zeros(1, 3, size, size))]
        channels = list(net.feature_info.channels())
        for shape, count in zip(shapes, channels, strict=True):
            if len(shape) != 4 or shape[1] != count or shape[2] != shape[3]:
                raise InputError(
                    f"expected maps (n, channels, side, side), {self.name} gives {shape} for {count} channels",
                    where=self._where,
                    fix="name a model whose features are maps",
                )
        sides = [shape[2] for shape in shapes]
        order = sorted(range(len(shapes)), key=lambda place: -sides[place])[-_TAPS:]
        taps = (Tap(f"tap{n}", channels[place], round(size / sides[place])) for n, place in enumerate(order))
        return tuple(taps), order


def _maps(net: Any, x: Any) -> list[Any]:
    """The network's maps with channels first; some transformers give them last, and say so."""
    last = "NHWC" in str(getattr(net, "output_fmt", ""))
    return [y.permute(0, 3, 1, 2) if last else y for y in net(x)]


def needs(package: str, where: str) -> None:
    """Refuse early where a package is not installed.

    Raises:
        MissingExtraError: With the command that installs it.
    """
    if find_spec(package) is None:
        raise MissingExtraError(package, "timm", f"the trunk {where}")
