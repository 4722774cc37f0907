"""A model as one graph: any picture in, answers out. Preprocessing, trunk and head are inside."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trunkline.algorithms.trunks.graph import OPSET, import_onnx
from trunkline.core.digest import canonical_json
from trunkline.core.errors import InputError
from trunkline.platform.export.graph import OLDEST_OPSET, Graph
from trunkline.platform.export.heads import HEAD_EXPORTS
from trunkline.platform.export.resize import resized

if TYPE_CHECKING:
    from trunkline.algorithms.trunks import Trunk
    from trunkline.core.types.bundle import Bundle
    from trunkline.core.types.features import FeatureTable

IMAGE = "image"
"""Name of the input: uint8 RGB of shape (n, height, width, 3), pictures of one size."""
SCORES, ACCEPTED, UNSURE, ANOMALY = "scores", "accepted", "unsure", "anomaly_score"
"""Names of the outputs, as in `heads.base.HeadExport`; the last one only where the task has it."""
_DEFAULT_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Standalone:
    """A model as ONNX.

    Attributes:
        data: The file's bytes.
        opset: ONNX's operator set.
        facts: What its metadata says, by key.
    """

    data: bytes
    opset: int
    facts: dict[str, str]


def standalone(bundle: Bundle, version: int | None, trunk: Trunk, sample: FeatureTable) -> Standalone:
    """Make one graph of a model and its trunk.

    Args:
        bundle: The model.
        version: Its version in the registry, if it has one.
        trunk: The trunk that its head reads.
        sample: Features of one picture on that trunk, with the maps that the head needs.

    Raises:
        NotFoundError: When there is no exporter for the task.
        InputError: When the trunk's graph cannot be put together with ours.
        MissingExtraError: When the package onnx is not installed.
    """
    onnx = import_onnx("exporting a model")
    exporter = HEAD_EXPORTS.load(bundle.task, where=bundle.name)()
    model = _trunk_model(onnx, trunk, dense=bool(sample.dense))
    graph = Graph(onnx, _opset(model))
    resized(graph, IMAGE, trunk.card.size, output=model.graph.input[0].name)
    features = {name: name for name in ("pooled", *sample.dense)}
    before = len(graph.nodes)
    outputs = exporter.nodes(graph, bundle.head, features, sample)
    answers = {SCORES: outputs.scores, ACCEPTED: outputs.accepted, UNSURE: outputs.unsure, ANOMALY: outputs.anomaly}
    given = {name: tensor for name, tensor in answers.items() if tensor}
    for name, tensor in given.items():
        graph.add("Identity", tensor, output=name)
    facts = _facts(bundle, version, graph.opset)
    _put_around(model, graph, before, list(given), len(bundle.head.labels))
    onnx.helper.set_model_props(model, facts)
    try:
        onnx.checker.check_model(model, full_check=True)
        return Standalone(bytes(model.SerializeToString(deterministic=True)), graph.opset, facts)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise InputError(
            f"the trunk's graph and the head cannot be made one: {' '.join(str(error).split())[:300]}",
            where=f"trunk {trunk.card.name}",
            fix="export the trunk's graph anew, with other names of tensors, or in parts under 2 GB",
        ) from error


def _trunk_model(onnx: Any, trunk: Trunk, *, dense: bool) -> Any:
    """The trunk's graph, of an opset that our nodes can be of as well."""
    model = onnx.load_model_from_string(trunk.path(dense=dense).read_bytes())
    opset = _opset(model)
    if opset >= OLDEST_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except Exception as error:  # its exception types are not public
        raise InputError(
            f"expected a trunk of opset {OLDEST_OPSET} or newer, got {opset}, which cannot be converted: "
            + " ".join(str(error).split())[:200],
            where=f"trunk {trunk.card.name}",
            fix="export the trunk's graph anew with a newer opset",
        ) from error


def _opset(model: Any) -> int:
    return int(next(one.version for one in model.opset_import if one.domain in _DEFAULT_DOMAINS))


def _put_around(model: Any, graph: Graph, before: int, outputs: list[str], labels: int) -> None:
    """Put our nodes before and behind the trunk's, and leave out what no answer hangs on.

    Args:
        model: The trunk; it becomes the whole.
        graph: Our nodes.
        before: How many of them come before the trunk.
        outputs: Names of the outputs.
        labels: How many labels there are.
    """
    from trunkline.algorithms.trunks.onnx_file import nodes_for

    onnx, whole = graph.onnx, graph.onnx.GraphProto()
    whole.node.extend([*graph.nodes[:before], *model.graph.node, *graph.nodes[before:]])
    nodes, names = nodes_for(whole, outputs)
    weights = [weight for weight in model.graph.initializer if weight.name in names]
    sparse = [weight for weight in model.graph.sparse_initializer if weight.values.name in names]
    kind, describe = onnx.TensorProto, onnx.helper.make_tensor_value_info
    forms = {
        SCORES: (kind.FLOAT, ["n", labels]),
        ACCEPTED: (kind.BOOL, ["n", labels]),
        UNSURE: (kind.BOOL, ["n"]),
        ANOMALY: (kind.FLOAT, ["n"]),
    }
    made = onnx.helper.make_graph(
        nodes, "trunkline",
        [describe(IMAGE, kind.UINT8, ["n", "height", "width", 3])], [describe(name, *forms[name]) for name in outputs],
        [*weights, *graph.constants], sparse_initializer=sparse,
    )  # fmt: skip
    model.graph.CopyFrom(made)
    model.producer_name, model.doc_string = "trunkline", ""


def _facts(bundle: Bundle, version: int | None, opset: int) -> dict[str, str]:
    """What travels in the file's metadata: texts, and JSON where it is more than one."""
    from trunkline import __version__

    head = bundle.head
    return {
        "name": bundle.name,
        "version": str(version or ""),
        "task": bundle.task,
        "status": bundle.status,
        "labels": json.dumps(list(head.labels), ensure_ascii=False),
        "thresholds": _json(head.thresholds),
        "unsure": _json({label: list(band) for label, band in head.unsure.items()}),
        "bundle_digest": bundle.digest,
        "trunk": bundle.trunk.name,
        "trunk_digest": bundle.trunk.digest,
        "trunk_licence": bundle.trunk.licence,
        "data_licence": bundle.manifest.data_licence,
        "opset": str(opset),
        "made_by": f"trunkline {__version__}",
    }


def _json(value: Any) -> str:
    return canonical_json(value).decode()
