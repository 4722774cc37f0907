"""A trunk from a user's ONNX graph: normalised pictures in front, pooling behind, nothing taken on trust.

The graph is cut down to what its taps need, put between our own nodes, and run: on one picture, and on two together,
since a graph whose batch is fixed inside would give wrong features without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.algorithms.trunks.card import Tap, TrunkCard
from trunkline.algorithms.trunks.graph import IR_VERSION, import_onnx, input_nodes, pooling_nodes, to_bytes
from trunkline.algorithms.trunks.loader import Exported, at
from trunkline.algorithms.trunks.onnx_card import OnnxCard, TapEntry, card_file, read_card
from trunkline.algorithms.trunks.table import TRUNKS
from trunkline.compute.runtimes import RUNTIMES
from trunkline.core.digest import digest_bytes, digest_file, digest_json
from trunkline.core.errors import ConfigError, InputError, NotFoundError

if TYPE_CHECKING:
    import numpy as np

_PREFIX = "net/"  # before every name of the user's graph, so that none of ours is among them
_MOST_BYTES = (2 << 30) - (1 << 20)  # what one protobuf message may hold, less our own nodes
_OLDEST_OPSET = 7  # the first whose arithmetic broadcasts
_OURS = ("", "ai.onnx")
_LOOPS = ("Loop", "Scan", "SequenceMap")  # could run without end, and no trunk needs them; a branch (If) ends
_ONE_FILE = 'make it one file: python -c "import onnx; onnx.save(onnx.load({!r}), {!r})"'
_BATCH_FIX = "export the graph with a dynamic batch axis (torch.onnx.export: dynamic_axes or dynamic_shapes)"


class OnnxFile:
    """`onnx:FILE`: a graph of float32 pictures (n, 3, size, size), with its card beside it.

    Args:
        rest: The file.
    """

    def __init__(self, rest: str) -> None:
        if not rest:
            raise InputError("expected a file, got nothing", where="trunk onnx:", fix="write onnx:FILE.onnx")
        self.path = at(rest)

    @staticmethod
    def anchored(rest: str, base: Path) -> str:
        """The file, taken from a folder."""
        return str((base / at(rest)).resolve()) if rest else rest

    def stamp(self) -> str:
        if not self.path.is_file():
            raise InputError("expected an ONNX file; there is none", where=str(self.path))
        stat = self.path.stat()
        return f"{stat.st_size}-{stat.st_mtime_ns}-{digest_file(card_file(self.path))[:16]}"

    def export(self, scratch: Path) -> Exported:
        self.stamp()  # says what is missing
        path = card_file(self.path)
        card = read_card(path)
        if card.name in TRUNKS.targets:
            raise ConfigError(f"the name {card.name!r} is taken", where=f"{path}: name", fix="choose another one")
        onnx = import_onnx(f"the trunk onnx:{self.path}")
        if self.path.stat().st_size > _MOST_BYTES:
            raise InputError("expected a graph of less than 2 GB", where=str(self.path))
        data = self.path.read_bytes()
        net = Net(onnx, data, card, graph_at=str(self.path), card_at=str(path))
        shapes = net.shapes(scratch)
        # The finest first, whatever the order in the card: heads that look at places take the first two.
        order = sorted(range(len(shapes)), key=lambda number: shapes[number][1])
        taps = tuple(Tap(f"tap{place}", *shapes[number]) for place, number in enumerate(order))
        tensors = [card.taps[number].tensor for number in order]
        pooled, dense = (net.model(tensors, pooled=True, maps=maps) for maps in (False, True))
        net.check(dense, taps, scratch)
        weights = digest_json({"file": digest_bytes(data), "input": net.input, "tensors": tensors})
        made = TrunkCard(
            name=card.name, size=card.size, mean=tuple(card.mean), scale=tuple(card.scale), taps=taps,
            weights=weights, licence=card.licence, source=card.source,
        )  # fmt: skip
        return Exported(made, pooled, dense)


class Net:
    """A user's graph, parsed and refused where it cannot be a trunk.

    Args:
        onnx: The onnx package.
        data: The file's bytes.
        card: Its card.
        graph_at: The file, for messages.
        card_at: The card's file, for messages.

    Attributes:
        input: Name of the input that takes pictures.

    Raises:
        InputError: When it is not ONNX, or one with external data, custom operators or a wrong input.
        NotFoundError: When a tap is not there, with near names.
    """

    def __init__(self, onnx: Any, data: bytes, card: OnnxCard, *, graph_at: str, card_at: str) -> None:
        self._onnx = onnx
        self._card = card
        self._where = graph_at
        self._card_at = card_at
        model = self._parse(data)
        self._opset = max((o.version for o in model.opset_import if o.domain in _OURS), default=0)
        self._ir_version = max(model.ir_version, IR_VERSION)
        self._graph = model.graph
        known = [name for node in self._graph.node for name in node.output if name]
        for number, tap in enumerate(card.taps):
            if tap.tensor not in known:
                raise NotFoundError("tensor", tap.tensor, known, where=f"{card_at}: taps.{number}")
        self.input = self._input()

    def _parse(self, data: bytes) -> Any:
        try:
            model = self._onnx.load_model_from_string(data)
        except Exception as error:  # protobuf's own exception type
            raise InputError("expected an ONNX graph, these bytes are none", where=self._where) from error
        if not model.graph.node or not model.graph.input:
            raise InputError("expected an ONNX graph, got one without nodes or inputs", where=self._where)
        for tensor in (t for graph in _graphs(model.graph) for t in _tensors(graph)):
            if tensor.external_data or tensor.data_location == tensor.EXTERNAL:
                place = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
                raise InputError(
                    f"expected all weights inside the file, those of {tensor.name!r} are in {place!r}",
                    where=self._where,
                    fix=_ONE_FILE.format(Path(self._where).name, "one-file.onnx"),
                )
        try:
            if model.functions:
                model = self._onnx.inliner.inline_local_functions(model)
            self._refuse_operators(model)
            self._onnx.checker.check_model(model)
        except (self._onnx.checker.ValidationError, ValueError, RuntimeError, TypeError) as error:
            raise InputError(f"the graph is broken: {_short(error)}", where=self._where) from error
        return model

    def _refuse_operators(self, model: Any) -> None:
        for node in (n for graph in _graphs(model.graph) for n in graph.node):
            if node.domain not in _OURS:
                raise InputError(
                    f"expected operators of ONNX itself, got {node.domain}::{node.op_type} in node {node.name!r}",
                    where=self._where,
                    fix="export the graph without custom operators",
                )
            if node.op_type in _LOOPS:
                raise InputError(
                    f"expected a graph without loops, got {node.op_type} in node {node.name!r}",
                    where=self._where,
                    fix="export the graph with its loops written out",
                )
        opset = max((o.version for o in model.opset_import if o.domain in _OURS), default=0)
        if opset < _OLDEST_OPSET:
            raise InputError(
                f"expected opset {_OLDEST_OPSET} or newer, got {opset}", where=self._where, fix="export the graph anew"
            )

    def _input(self) -> str:
        """Name of the input that the taps depend on, float32 (n, 3, size, size)."""
        constants = {c.name for c in self._graph.initializer} | {c.values.name for c in self._graph.sparse_initializer}
        needed = nodes_for(self._graph, [tap.tensor for tap in self._card.taps])[1]
        found = {i.name: i for i in self._graph.input if i.name not in constants and i.name in needed}
        name = self._card.input or next(iter(found), "")
        if name not in found:
            raise NotFoundError("input that the taps depend on", name, found, where=f"{self._card_at}: input")
        if len(found) > 1:
            raise InputError(
                f"expected taps that depend on one input, these depend on {', '.join(sorted(found))}", where=self._where
            )
        kind = found[name].type.tensor_type
        dims = [d.dim_value if d.HasField("dim_value") else (d.dim_param or "?") for d in kind.shape.dim]
        size = self._card.size
        fits = not kind.HasField("shape") or (
            len(dims) == 4
            and all(not isinstance(d, int) or d == w for d, w in zip(dims[1:], (3, size, size), strict=True))
        )
        if kind.elem_type != self._onnx.TensorProto.FLOAT or not fits:
            got = self._onnx.TensorProto.DataType.Name(kind.elem_type).lower()
            raise InputError(
                f"expected float pictures of shape (n, 3, {size}, {size}), the input {name!r} takes {got} "
                f"({', '.join(map(str, dims))})",
                where=self._where,
                fix=f"mend `size` in {self._card_at}, or export the graph for such pictures",
            )
        return name

    def model(self, tensors: Sequence[str], *, pooled: bool, maps: bool) -> bytes:
        """A graph from uint8 `images` to `pooled`, to maps named tap0, tap1, ..., or to both."""
        onnx = self._onnx
        nodes, constants = input_nodes(onnx, self._card.mean, self._card.scale, output=_PREFIX + self.input)
        own = onnx.GraphProto()
        own.CopyFrom(self._graph)
        kept, needed = nodes_for(own, tensors)
        sparse = [s for s in own.sparse_initializer if s.values.name in needed]
        weights = [c for c in own.initializer if c.name in needed]
        for node in kept:
            _prefix(node)
        for value in (*weights, *(s.values for s in sparse)):
            value.name = _PREFIX + value.name
        taps = [f"tap{number}" for number in range(len(tensors))]
        nodes += kept
        nodes += [onnx.helper.make_node("Identity", [_PREFIX + t], [tap]) for t, tap in zip(tensors, taps, strict=True)]
        constants += weights
        if pooled:
            more, others = pooling_nodes(onnx, taps, opset=self._opset)
            nodes, constants = nodes + more, constants + others
        outputs = (["pooled"] if pooled else []) + (taps if maps else [])
        try:
            return to_bytes(
                onnx, nodes, constants, self._card.size, outputs,
                sparse=sparse, opset=self._opset, ir_version=self._ir_version,
            )  # fmt: skip
        except (onnx.checker.ValidationError, ValueError) as error:
            raise InputError(f"the graph is broken: {_short(error)}", where=self._where) from error

    def shapes(self, scratch: Path) -> list[tuple[int, int]]:
        """Channels and stride of each tap of the card, found by running the graph on one picture."""
        names = [f"tap{number}" for number in range(len(self._card.taps))]
        graph = self.model([tap.tensor for tap in self._card.taps], pooled=False, maps=True)
        with closing(self._open(graph, names, scratch)) as session:
            out = self._run(session, _pictures(1, self._card.size), "one picture")
        rows = zip(self._card.taps, (out[name].shape for name in names), strict=True)
        return [self._shape(number, tap, shape) for number, (tap, shape) in enumerate(rows)]

    def _shape(self, number: int, tap: TapEntry, shape: tuple[int, ...]) -> tuple[int, int]:
        where = f"{self._card_at}: taps.{number}"
        size = self._card.size
        if len(shape) != 4 or shape[0] != 1 or shape[2] != shape[3] or not 0 < shape[2] <= size:
            raise InputError(
                f"expected maps (n, channels, side, side), one picture gives {tap.tensor!r} the shape {shape}",
                where=where,
                fix="name a tensor before the pooling, with channels first",
            )
        channels, stride = shape[1], round(size / shape[2])
        if tap.channels not in (None, channels):
            raise InputError(f"expected {tap.channels} channels, the tensor has {channels}", where=f"{where}.channels")
        if tap.stride not in (None, stride):
            raise InputError(
                f"expected a stride of {tap.stride}, the tensor has {stride} ({size} pixels on {shape[2]} positions)",
                where=f"{where}.stride",
            )
        return channels, stride

    def check(self, dense: bytes, taps: Sequence[Tap], scratch: Path) -> None:
        """Two pictures in one batch must give what each gives alone.

        Raises:
            InputError: When they do not: the batch is fixed inside the graph.
        """
        import numpy as np

        pictures = _pictures(2, self._card.size)
        with closing(self._open(dense, ["pooled", *(tap.name for tap in taps)], scratch)) as session:
            alone = np.concatenate([self._run(session, one[None], "one picture")["pooled"] for one in pictures])
            together = self._run(session, pictures, "a batch of two pictures", fix=_BATCH_FIX)["pooled"]
        if not np.isfinite(alone).all():
            raise InputError(
                "expected finite features, the graph gives NaN or infinity",
                where=self._where,
                fix=f"mend `mean` and `scale` in {self._card_at}, or the weights",
            )
        if alone.shape != together.shape or np.abs(alone - together).max() > 1e-3 * (1 + np.abs(alone).max()):
            raise InputError(
                "expected pictures of one batch that do not see each other, their features change", where=self._where,
                fix=_BATCH_FIX,
            )  # fmt: skip

    def _open(self, graph: bytes, outputs: Sequence[str], scratch: Path) -> Any:
        path = scratch / "check.onnx"
        path.write_bytes(graph)
        try:
            return RUNTIMES.load("onnxruntime")().open(path, outputs=tuple(outputs), threads=1)
        except InputError as error:
            raise InputError(error.message, where=self._where) from error

    def _run(self, session: Any, images: np.ndarray, what: str, *, fix: str | None = None) -> Any:
        try:
            return session.run(images)
        except Exception as error:  # a runtime's own exception types are not public
            raise InputError(
                f"the graph does not run on {what}: {_short(error)}", where=self._where, fix=fix
            ) from error


def _inner(node: Any) -> list[Any]:
    """Graphs inside a node: bodies of If, Loop, Scan."""
    attributes = list(node.attribute)
    return [a.g for a in attributes if a.HasField("g")] + [graph for a in attributes for graph in a.graphs]


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and all those inside it."""
    yield graph
    for node in graph.node:
        for inner in _inner(node):
            yield from _graphs(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    """Constants of one graph, in initializers and in its nodes."""
    sparse = list(graph.sparse_initializer)
    yield from graph.initializer
    for attribute in (a for node in graph.node for a in node.attribute):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        sparse += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        sparse += attribute.sparse_tensors
    for one in sparse:
        yield from (one.values, one.indices)


def nodes_for(graph: Any, tensors: Sequence[str]) -> tuple[list[Any], set[str]]:
    """The nodes that tensors depend on, in the graph's order, and the names of all that these read."""
    names = set(tensors)
    kept = []
    for node in reversed(graph.node):  # a checked graph is sorted: who makes a tensor stands before who reads it
        if names.intersection(node.output):
            kept.append(node)
            names.update(node.input)
            for inner in (g for body in _inner(node) for g in _graphs(body)):  # these see the names outside
                names.update(name for one in inner.node for name in one.input)
                names.update(value.name for value in inner.output)
    return kept[::-1], names


def _prefix(node: Any) -> None:
    """Put the prefix before every name of a node and inside it; drop what its exporter wrote there for people."""
    for names in (node.input, node.output):
        for place, name in enumerate(names):
            names[place] = _PREFIX + name if name else ""
    node.doc_string = ""
    del node.metadata_props[:]
    for graph in _inner(node):
        del graph.value_info[:]  # shapes of the batch that it was exported with
        sparse = [one.values for one in graph.sparse_initializer]
        for value in (*graph.input, *graph.output, *graph.initializer, *sparse):
            value.name = _PREFIX + value.name
        for inner in graph.node:
            _prefix(inner)


def _pictures(count: int, size: int) -> np.ndarray:
    import numpy as np

    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
