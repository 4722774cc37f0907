"""Writing an ONNX graph node by node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

_PREFIX = "export/"  # of all names but inputs and outputs, so that a trunk has none of them
OLDEST_OPSET = 13
"""The first with the softmax of today; trunks of an older one are converted to `OPSET`."""


class Graph:
    """Nodes and constants in the order in which they are added. Tensors are named by number, as "max_12".

    Args:
        onnx: The onnx package.
        opset: Of the model that they go into.
    """

    def __init__(self, onnx: Any, opset: int) -> None:
        self.onnx = onnx
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node of one output.

        Args:
            operator: ONNX's name of it, as "MatMul".
            inputs: Names of tensors.
            output: A name for the output, where it must have one.
            **attributes: As ONNX names them.

        Returns:
            The output's name.
        """
        name = output or f"{_PREFIX}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, values: Any, dtype: str = "float32") -> str:
        """Add a constant: a number, or an array of any shape."""
        import numpy as np

        array: np.ndarray = np.ascontiguousarray(np.asarray(values, dtype)).reshape(np.shape(values))
        name = f"{_PREFIX}constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(array, name))
        return name

    def chain(self, tensor: str, *steps: tuple[str, float]) -> str:
        """Operators with one number each, one after the other: `("Mul", 2.0), ("Add", 1.0)`."""
        for operator, number in steps:
            tensor = self.add(operator, tensor, self.constant(number))
        return tensor

    def reduced(self, operator: str, tensor: str, axes: Sequence[int], *, keep: bool) -> str:
        """Reduce over axes, which became an input of the operators in opset 13 (sums) and 18 (the others)."""
        if self.opset < 18 and operator != "ReduceSum":
            return self.add(operator, tensor, axes=list(axes), keepdims=int(keep))
        return self.add(operator, tensor, self.constant(list(axes), "int64"), keepdims=int(keep))

    def cast(self, tensor: str, kind: str) -> str:
        """As another type, by ONNX's name: "FLOAT", "UINT8"."""
        return self.add("Cast", tensor, to=getattr(self.onnx.TensorProto, kind))
