"""An ONNX graph as float layers: batch normalisation folded, bounds fused, poolings recognised by their nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trunkline.compute.chips.npu_int8.constants import attributes, folded, parse
from trunkline.compute.chips.npu_int8.layers import FloatLayer, Geometry
from trunkline.core.errors import InputError

_BOUNDED = ("conv", "linear", "add")  # layers that can take bounds in
_STATISTICS = ("mean", "std", "max")
_OURS = ("", "ai.onnx")


def read_graph(model: bytes, *, where: str, outputs: Sequence[str] | None = None) -> tuple[list[FloatLayer], list[str]]:
    """Layers in the order in which they run, those alone that an output needs, and the names of the outputs.

    Args:
        model: An ONNX model whose one input is uint8 pictures (n, h, w, 3).
        where: What the model is, for messages.
        outputs: Names of the outputs that are wanted; all when None.

    Raises:
        InputError: On an operator that the chip does not have, naming it and its node.
        MissingExtraError: When the package onnx is not installed.
    """
    parsed = parse(model, where)
    inputs = {value.name for value in parsed.graph.input} - {tensor.name for tensor in parsed.graph.initializer}
    if len(inputs) != 1:
        raise InputError(f"expected one input of pictures, got {sorted(inputs)}", where=where)
    wanted = list(outputs) if outputs is not None else [value.name for value in parsed.graph.output]
    reader = _Reader(parsed, inputs.pop(), wanted, where)
    for node in reader.nodes:
        reader.take(node)
    return reader.result(wanted), wanted


class _Reader:
    """Takes nodes one by one.

    A tensor is known by what it means: pixels under way to be normalised, a layer's output, or a step on the way from
    a map to its standard deviation.
    """

    def __init__(self, model: Any, pictures: str, wanted: Sequence[str], where: str) -> None:
        self.where = where
        self.constants, self.nodes = folded(model, where)
        self.layers: dict[str, FloatLayer] = {}  # by output, in order
        self._alias: dict[str, str] = {}
        self._steps: dict[str, tuple[str, Any]] = {pictures: ("pixels", _pixels())}
        self._uses = Counter(name for node in self.nodes for name in node.input)
        self._uses.update(wanted)
        self._node: Any = None
        self._operators: dict[str, Callable[[Any], None]] = {
            "Add": self._add, "BatchNormalization": self._normalise, "Cast": self._cast, "Clip": self._clip,
            "Concat": self._concat, "Conv": self._conv, "Div": self._arithmetic, "Dropout": self._same,
            "Flatten": self._flatten, "Gemm": self._gemm, "GlobalAveragePool": self._mean, "Identity": self._same,
            "MatMul": self._gemm, "Mul": self._arithmetic, "Pad": self._pad, "Pow": self._arithmetic,
            "ReduceMax": self._reduce_max, "ReduceMean": self._mean, "Relu": self._clip, "Sqrt": self._sqrt,
            "Sub": self._arithmetic, "Transpose": self._transpose,
        }  # fmt: skip

    def take(self, node: Any) -> None:
        self._node = node
        operator = self._operators.get(node.op_type) if node.domain in _OURS else None
        if operator is None:
            raise self._refusal(f"npu-int8 has no operator {node.op_type}, it has {', '.join(sorted(self._operators))}")
        operator(node)

    def result(self, wanted: Sequence[str]) -> list[FloatLayer]:
        needed = set()
        for name in wanted:
            source = self._alias.get(name, name)
            if source not in self.layers:
                raise InputError(f"expected an output that a layer makes, got {name!r}", where=self.where)
            if source != name:
                raise InputError(f"expected an output of its own, {name!r} is {source!r}", where=self.where)
            needed.add(source)
        for layer in reversed(list(self.layers.values())):
            if layer.output in needed:
                needed.update(layer.inputs)
        return [layer for layer in self.layers.values() if layer.output in needed]

    # What nodes refer to.

    def _refusal(self, message: str, fix: str | None = None) -> InputError:
        name = self._node.name or self._node.output[0]
        return InputError(message, where=f"{self.where}: node {name!r} ({self._node.op_type})", fix=fix)

    def _layer(self, name: str) -> FloatLayer:
        """The layer that makes a tensor; pixels become one when they are first used."""
        name = self._alias.get(name, name)
        if name not in self.layers and self._steps.get(name, ("", None))[0] == "pixels":
            table, chw = self._steps[name][1]
            if not chw:
                raise self._refusal("expected channels before rows and columns: transpose the pictures first")
            self.layers[name] = FloatLayer("image", name, (), name, weight=table)
        if name not in self.layers:
            raise self._refusal(f"expected an input that a layer makes, got {name!r}")
        return self.layers[name]

    def _constant(self, node: Any, place: int, fallback: Any = None) -> Any:
        if len(node.input) <= place or not node.input[place]:
            return fallback
        if node.input[place] not in self.constants:
            raise self._refusal(f"expected a constant as input {place}, got {node.input[place]!r}")
        return self.constants[node.input[place]]

    def _emit(self, kind: Any, node: Any, inputs: Sequence[str], **more: Any) -> None:
        output = node.output[0]
        self.layers[output] = FloatLayer(kind, node.name or output, tuple(inputs), output, **more)

    def _absorb(self, layer: FloatLayer, node: Any, **changes: Any) -> None:
        """The layer takes a node in and makes its output from now on."""
        del self.layers[layer.output]
        self._alias[layer.output] = node.output[0]  # nobody else reads it
        self.layers[node.output[0]] = replace(layer, output=node.output[0], **changes)

    # Pictures.

    def _step(self, name: str) -> tuple[str, Any]:
        return self._steps.get(self._alias.get(name, name), ("", None))

    def _cast(self, node: Any) -> None:
        kind, value = self._step(node.input[0])
        if kind != "pixels" or attributes(node)["to"] != 1:
            raise self._refusal("expected a cast of the pictures to float32")
        self._steps[node.output[0]] = (kind, value)

    def _transpose(self, node: Any) -> None:
        kind, value = self._step(node.input[0])
        if kind != "pixels" or list(attributes(node).get("perm", ())) != [0, 3, 1, 2] or value[1]:
            raise self._refusal("expected a transposition of the pictures to (n, 3, h, w)")
        self._steps[node.output[0]] = (kind, (value[0], True))

    def _arithmetic(self, node: Any) -> None:
        """Sub, Div, Mul, Pow: of pixels and constants, or on the way to a standard deviation."""
        for place in (0, 1):
            kind, value = self._step(node.input[place])
            if kind == "pixels" and node.input[1 - place] in self.constants and node.op_type != "Pow":
                self._pixel_step(node, value, place)
                return
        first, second = (self._alias.get(name, name) for name in node.input)
        if node.op_type == "Sub" and self._is("mean", second) and self.layers[second].inputs == (first,):
            self._steps[node.output[0]] = ("centred", first)
        elif self._step(first)[0] == "centred" and (
            (node.op_type == "Mul" and first == second)
            or (node.op_type == "Pow" and np.all(self.constants.get(second, np.zeros(1)) == 2))
        ):
            self._steps[node.output[0]] = ("squared", self._step(first)[1])
        else:
            raise self._refusal(
                f"npu-int8 has no {node.op_type} of its own, but in normalised pixels and in mean, std and max of a map"
            )

    def _pixel_step(self, node: Any, value: tuple[np.ndarray, bool], place: int) -> None:
        table, chw = value
        constant = self.constants[node.input[1 - place]].astype(np.float32)
        if constant.size == 1:
            row = constant.reshape(1, 1)
        elif constant.size == 3 and constant.ndim >= 3 and constant.shape[1 if constant.ndim == 4 else 0] == 3 and chw:
            row = constant.reshape(1, 3)
        else:
            raise self._refusal(f"expected one number or one a channel (1, 3, 1, 1), got {constant.shape}")
        operation = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[node.op_type]
        with np.errstate(all="ignore"):
            made = operation(table, row) if place == 0 else operation(row, table)
        if not np.isfinite(made).all():
            raise self._refusal("expected pixels that are finite after it")
        self._steps[node.output[0]] = ("pixels", (made, chw))

    # Maps.

    def _is(self, kind: str, name: str) -> bool:
        return name in self.layers and self.layers[name].kind == kind

    def _same(self, node: Any) -> None:
        name = self._alias.get(node.input[0], node.input[0])
        self._alias[node.output[0]] = name

    def _pad(self, node: Any) -> None:
        given = attributes(node)
        pads = [int(p) for p in self._constant(node, 1, given.get("pads", ()))]
        if self._constant(node, 3) is not None or len(pads) != 8 or any(pads[i] for i in (0, 1, 4, 5)) or min(pads) < 0:
            raise self._refusal(f"expected zeros around rows and columns, got the pads {pads}")
        fill = self._constant(node, 2, np.zeros(1))
        if given.get("mode", b"constant") != b"constant" or np.any(fill != 0):
            raise self._refusal("expected zeros around maps, got another filling")
        self._steps[node.output[0]] = ("padded", (self._layer(node.input[0]).output, (*pads[2:4], *pads[6:8])))

    def _conv(self, node: Any) -> None:
        kind, value = self._step(node.input[0])
        source, before = value if kind == "padded" else (self._layer(node.input[0]).output, (0, 0, 0, 0))
        weight = np.asarray(self._constant(node, 1), np.float64)
        given = attributes(node)
        if weight.ndim != 4 or given.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
            raise self._refusal("expected a convolution over rows and columns, with its pads in numbers")
        top, left, bottom, right = (a + b for a, b in zip(given.get("pads", [0] * 4), before, strict=True))
        geometry = Geometry(
            strides=tuple(given.get("strides", [1, 1])), dilations=tuple(given.get("dilations", [1, 1])),
            pads=(top, left, bottom, right), groups=int(given.get("group", 1)),
        )  # fmt: skip
        bias = np.asarray(self._constant(node, 2, np.zeros(len(weight))), np.float64)
        self._check_walk(weight, bias, geometry)
        self._emit("conv", node, [source], weight=weight, bias=bias, geometry=geometry)

    def _check_walk(self, weight: np.ndarray, bias: np.ndarray, geometry: Geometry) -> None:
        """Refuse what the checker lets through and a convolution cannot do."""
        groups = geometry.groups
        walks = min(*geometry.strides, *geometry.dilations, groups) >= 1 and min(geometry.pads) >= 0
        if not walks or weight.size == 0 or len(weight) % groups or bias.shape != (len(weight),):
            raise self._refusal(f"expected weights, strides and groups that fit, got {weight.shape} and {geometry}")
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise self._refusal("expected finite weights")

    def _normalise(self, node: Any) -> None:
        layer = self._layer(node.input[0])
        if layer.kind != "conv" or not self._alone(node.input[0]) or layer.low != -np.inf or layer.high != np.inf:
            raise self._refusal("expected batch normalisation right after a convolution that nothing else reads")
        gain, offset, mean, variance = (np.asarray(self._constant(node, i), np.float64) for i in (1, 2, 3, 4))
        factor = gain / np.sqrt(variance + attributes(node).get("epsilon", 1e-5))
        assert layer.weight is not None and layer.bias is not None  # noqa: S101 (every convolution has them)
        self._absorb(
            layer, node, weight=layer.weight * factor[:, None, None, None], bias=(layer.bias - mean) * factor + offset
        )

    def _alone(self, name: str) -> bool:
        """Whether one node alone reads a tensor, and no output is made of it."""
        return self._uses[name] == 1

    def _clip(self, node: Any) -> None:
        given = attributes(node)
        if node.op_type == "Relu":
            low, high = 0.0, np.inf
        else:
            low = float(np.ravel(self._constant(node, 1, given.get("min", -np.inf)))[0])
            high = float(np.ravel(self._constant(node, 2, given.get("max", np.inf)))[0])
        layer = self._layer(node.input[0])
        if layer.kind in _BOUNDED and self._alone(node.input[0]):
            self._absorb(layer, node, low=max(layer.low, low), high=min(layer.high, high))
        else:
            self._emit("clip", node, [layer.output], low=low, high=high)

    def _add(self, node: Any) -> None:
        for place in (0, 1):
            kind, value = self._step(node.input[place])
            other = node.input[1 - place]
            if kind == "pixels" and other in self.constants:
                self._pixel_step(node, value, place)
                return
            if kind == "variance" and other in self.constants and self.constants[other].size == 1:
                self._steps[node.output[0]] = ("nudged", (value, float(self.constants[other].ravel()[0])))
                return
            if other in self.constants:
                self._bias(node, node.input[place], self.constants[other])
                return
        self._emit("add", node, [self._layer(name).output for name in node.input])

    def _bias(self, node: Any, name: str, constant: np.ndarray) -> None:
        layer = self._layer(name)
        if layer.kind != "linear" or not self._alone(name) or layer.bias is None or constant.size != layer.bias.size:
            raise self._refusal("npu-int8 adds a constant only as the bias of a matrix product")
        self._absorb(layer, node, bias=layer.bias + constant.astype(np.float64).ravel())

    # Numbers a channel.

    def _axes(self, node: Any) -> tuple[list[int], bool]:
        given = attributes(node)
        axes = self._constant(node, 1, given.get("axes"))
        listed = [] if axes is None else sorted(int(axis) % 4 for axis in np.ravel(axes))
        return listed, bool(given.get("keepdims", 1))

    def _mean(self, node: Any) -> None:
        axes, _ = ([2, 3], True) if node.op_type == "GlobalAveragePool" else self._axes(node)
        if axes != [2, 3]:
            raise self._refusal(f"expected a mean over all positions of a map (axes 2, 3), got axes {axes}")
        kind, value = self._step(node.input[0])
        if kind == "squared":
            self._steps[node.output[0]] = ("variance", value)
        else:
            self._emit("mean", node, [self._layer(node.input[0]).output])

    def _sqrt(self, node: Any) -> None:
        kind, value = self._step(node.input[0])
        if kind not in ("variance", "nudged"):
            raise self._refusal("expected the root of a map's variance, npu-int8 has no other")
        source, epsilon = value if kind == "nudged" else (value, 0.0)
        self._emit("std", node, [source], epsilon=epsilon)

    def _reduce_max(self, node: Any) -> None:
        axes, _ = self._axes(node)
        if axes != [2, 3]:
            raise self._refusal(f"expected a maximum over all positions of a map (axes 2, 3), got axes {axes}")
        self._emit("max", node, [self._layer(node.input[0]).output])

    def _flatten(self, node: Any) -> None:
        if self._layer(node.input[0]).kind not in (*_STATISTICS, "concat") or attributes(node).get("axis", 1) != 1:
            raise self._refusal("expected numbers a channel to flatten, after pooling")
        self._same(node)

    def _concat(self, node: Any) -> None:
        layers = [self._layer(name) for name in node.input]
        if any(layer.kind not in _STATISTICS for layer in layers) or attributes(node)["axis"] not in (1, -1):
            raise self._refusal("expected pooled numbers of maps side by side (axis 1), npu-int8 joins no maps")
        self._emit("concat", node, [layer.output for layer in layers])

    def _gemm(self, node: Any) -> None:
        given = attributes(node)
        matrix = np.asarray(self._constant(node, 1), np.float64)
        if matrix.ndim != 2 or given.get("transA", 0) or given.get("beta", 1.0) != 1.0:
            raise self._refusal("expected rows times a matrix of weights, plus a bias")
        weight = (matrix if given.get("transB", 0) else matrix.T) * given.get("alpha", 1.0)
        bias = np.broadcast_to(np.asarray(self._constant(node, 2, np.zeros(1)), np.float64).ravel(), len(weight))
        source = self._layer(node.input[0])
        if source.kind not in (*_STATISTICS, "concat", "linear"):
            raise self._refusal("expected a matrix product of pooled numbers, npu-int8 has none of maps")
        self._emit("linear", node, [source.output], weight=weight, bias=np.array(bias))


def _pixels() -> tuple[np.ndarray, bool]:
    """Every pixel value a channel, and that channels come last."""
    return np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1), False
