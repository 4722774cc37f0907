"""Small TFLite graphs, made with the schema that LiteRT brings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SIDE = 32
"""Height and width of the picture that `net` takes."""
CELLS = 8
"""Height and width of the picture that the detectors take."""
UNIT = 0.01
"""What a step of a pixel's value is worth to the detectors."""
ANCHORS = np.array([[0.25, 0.25, 0.5, 0.5], [0.75, 0.5, 0.5, 0.25]], np.float32)
"""Boxes of `detector`: y and x of the middle, height and width, in parts of the picture."""


class Builder:
    """Puts a graph together; tensors are told by their number.

    Args:
        outer: The graph that this one is a part of, as the body of a loop.
    """

    def __init__(self, outer: Builder | None = None) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self._buffers: list[Any] = outer._buffers if outer else [schema.BufferT()]
        self._codes: dict[int | str, int] = outer._codes if outer else {}
        self._tensors: list[Any] = []
        self._operators: list[Any] = []

    def tensor(
        self, name: str, shape: Sequence[int], dtype: str = "FLOAT32", scale: float = 0, zero: int = 0, *,
        data: np.ndarray | None = None,
    ) -> int:  # fmt: skip
        made = self.schema.TensorT()
        made.name, made.shape, made.type = name, list(shape), getattr(self.schema.TensorType, dtype)
        if scale:
            made.quantization = self.schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [zero]
        if data is not None:
            made.buffer = len(self._buffers)
            self._buffers.append(self.schema.BufferT())
            self._buffers[-1].data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        self._tensors.append(made)
        return len(self._tensors) - 1

    def constant(self, data: np.ndarray) -> int:
        kinds = {"float32": "FLOAT32", "int32": "INT32"}
        return self.tensor(f"constant{len(self._tensors)}", data.shape, kinds[str(data.dtype)], data=data)

    def operator(
        self, code: str, inputs: Sequence[int], outputs: Sequence[int], options: str = "", *,
        custom: bytes | None = None, **values: Any,
    ) -> None:  # fmt: skip
        """`code` is one of the schema's, or the name of a custom operator."""
        made = self.schema.OperatorT()
        builtin = getattr(self.schema.BuiltinOperator, code, None)
        made.opcodeIndex = self._codes.setdefault(code if builtin is None else builtin, len(self._codes))
        made.inputs, made.outputs = list(inputs), list(outputs)
        if options:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            made.builtinOptions = getattr(self.schema, f"{options}T")()
            for key, value in values.items():
                assert hasattr(made.builtinOptions, key)
                setattr(made.builtinOptions, key, value)
        made.customOptions = None if custom is None else list(custom)
        self._operators.append(made)

    def graph(self, inputs: Sequence[int], outputs: Sequence[int]) -> Any:
        made = self.schema.SubGraphT()
        made.tensors, made.operators = self._tensors, self._operators
        made.inputs, made.outputs = list(inputs), list(outputs)
        return made

    def to_bytes(self, inputs: Sequence[int], outputs: Sequence[int], *inner: Any) -> bytes:
        import flatbuffers

        model = self.schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [self.graph(inputs, outputs), *inner], self._buffers
        model.operatorCodes = [self._code(code) for code in self._codes]
        builder = flatbuffers.Builder(0)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _code(self, code: int | str) -> Any:
        made = self.schema.OperatorCodeT()
        custom = isinstance(code, str)
        made.builtinCode = self.schema.BuiltinOperator.CUSTOM if custom else code
        made.deprecatedBuiltinCode = min(made.builtinCode, 127)
        made.customCode = code if custom else None
        made.version = 1
        return made


def net() -> bytes:
    """From uint8 pictures to the maps tap0, tap1 and tap2 and to `pooled`, the mean of the last one."""
    build = Builder()
    rng = np.random.default_rng(0)
    images = build.tensor("images", (1, SIDE, SIDE, 3), "UINT8")
    last = build.tensor("pixels", (1, SIDE, SIDE, 3))
    build.operator("CAST", [images], [last])
    taps = []
    for number, (before, after) in enumerate([(3, 4), (4, 6), (6, 8)]):
        side = SIDE >> (number + 1)
        weights = build.constant(rng.normal(0, 0.2, (after, 3, 3, before)).astype(np.float32))
        bias = build.constant(rng.normal(0, 0.2, after).astype(np.float32))
        taps.append(build.tensor(f"tap{number}", (1, side, side, after)))
        build.operator("CONV_2D", [last, weights, bias], [taps[-1]], "Conv2DOptions", strideH=2, strideW=2,
                       fusedActivationFunction=build.schema.ActivationFunctionType.RELU)  # fmt: skip
        last = taps[-1]
    pooled = build.tensor("pooled", (1, 8))
    build.operator("MEAN", [last, build.constant(np.array([1, 2], np.int32))], [pooled], "ReducerOptions")
    return build.to_bytes([images], [pooled, *taps])


def echo(dtype: str, scale: float = 0, zero: int = 0) -> bytes:
    """The picture, of one type or another, as it comes in: the output `same`."""
    build = Builder()
    images = build.tensor("images", (1, 2, 3, 3), dtype, scale, zero)
    same = build.tensor("same", (1, 18), dtype, scale, zero)
    build.operator("RESHAPE", [images, build.constant(np.array([1, 18], np.int32))], [same])
    return build.to_bytes([images], [same])


def endless() -> bytes:
    """A loop without an end."""
    build = Builder()
    images = build.tensor("images", (1, 2, 3, 3), "FLOAT32")
    last = build.tensor("last", (1, 2, 3, 3))
    build.operator("WHILE", [images], [last], "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2)
    asks, turns = Builder(build), Builder(build)
    seen, zero, again = (
        asks.tensor("seen", (1, 2, 3, 3)),
        asks.constant(np.zeros(1, np.int32)),
        asks.tensor("b", (1,), "BOOL"),
    )
    asks.operator("EQUAL", [zero, zero], [again], "EqualOptions")
    before, after = turns.tensor("before", (1, 2, 3, 3)), turns.tensor("after", (1, 2, 3, 3))
    turns.operator("ADD", [before, turns.constant(np.ones(1, np.float32))], [after], "AddOptions")
    return build.to_bytes([images], [last], asks.graph([seen], [again]), turns.graph([before], [after]))


def vast(side: int = 20_000) -> bytes:
    """The picture, drawn larger: 4.8 GB."""
    build = Builder()
    images, large = build.tensor("images", (1, 2, 3, 3)), build.tensor("large", (1, side, side, 3))
    build.operator("RESIZE_BILINEAR", [images, build.constant(np.array([side, side], np.int32))], [large],
                   "ResizeBilinearOptions")  # fmt: skip
    return build.to_bytes([images], [large])


def _numbers(build: Builder, images: int, dtype: str) -> int:
    """The values of a picture one behind the other, each times `UNIT`."""
    shape = (1, CELLS, CELLS, 3)
    pixels, scaled = images, build.tensor("scaled", shape)
    if dtype != "FLOAT32":
        pixels = build.tensor("pixels", shape)
        build.operator("CAST", [images], [pixels])
    build.operator("MUL", [pixels, build.constant(np.array([UNIT], np.float32))], [scaled], "MulOptions")
    flat = build.tensor("flat", (1, CELLS * CELLS * 3))
    build.operator("RESHAPE", [scaled, build.constant(np.array([1, CELLS * CELLS * 3], np.int32))], [flat])
    return flat


def _part(build: Builder, flat: int, begin: int, shape: Sequence[int], name: str) -> int:
    """The next values as a tensor of some shape."""
    size = int(np.prod(shape))
    cut, made = build.tensor(f"{name}/cut", (1, size)), build.tensor(name, shape)
    at = [build.constant(np.array(numbers, np.int32)) for numbers in ((0, begin), (1, size))]
    build.operator("SLICE", [flat, *at], [cut], "SliceOptions")
    build.operator("RESHAPE", [cut, build.constant(np.array(shape, np.int32))], [made])
    return made


def told(outputs: Mapping[str, Sequence[int]], dtype: str = "UINT8") -> bytes:
    """A detector that is told what to see: its outputs are the values of the picture times `UNIT`, in their order."""
    build = Builder()
    images = build.tensor("images", (1, CELLS, CELLS, 3), dtype)
    flat, begin, made = _numbers(build, images, dtype), 0, []
    for name, shape in outputs.items():
        made.append(_part(build, flat, begin, shape, name))
        begin += int(np.prod(shape))
    return build.to_bytes([images], made)


def detector(*, classes: int = 2, options: bool = True) -> bytes:
    """A graph that ends in TFLite_Detection_PostProcess: boxes are `ANCHORS`, scores the values of the picture times
    `UNIT`, for each box the background's, then one a class. Its outputs are not in the operator's order.

    Args:
        classes: Classes.
        options: Whether the operator has its settings; without, LiteRT 2.3 crashes when it loads the graph.
    """
    from flatbuffers import flexbuffers

    build = Builder()
    images = build.tensor("images", (1, CELLS, CELLS, 3), "UINT8")
    scores = _part(build, _numbers(build, images, "UINT8"), 0, (1, len(ANCHORS), classes + 1), "raw")
    boxes = build.constant(np.zeros((1, len(ANCHORS), 4), np.float32))
    out = [build.tensor(name, ()) for name in ("out:3", "out:1", "out:2", "out:0")]
    settings = flexbuffers.Builder()
    with settings.Map():
        for key, value in {"max_detections": 4, "max_classes_per_detection": 1, "num_classes": classes}.items():
            settings.Int(key, value)
        for key, number in {"nms_score_threshold": 0.01, "nms_iou_threshold": 0.5}.items():
            settings.Float(key, number)
        for key in ("y_scale", "x_scale", "h_scale", "w_scale"):
            settings.Float(key, 1.0)
    build.operator("TFLite_Detection_PostProcess", [boxes, scores, build.constant(ANCHORS)], out,
                   custom=bytes(settings.Finish()) if options else None)  # fmt: skip
    return build.to_bytes([images], out[::-1])
