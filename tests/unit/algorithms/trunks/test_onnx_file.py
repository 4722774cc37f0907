"""`onnx:FILE`: a user's graph becomes a trunk, or is refused with what to mend."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.unit.algorithms.trunks.nets import CARD, brought, graph, nodes, weight
from trunkline.algorithms.trunks.card import Tap
from trunkline.algorithms.trunks.onnx_file import OnnxFile
from trunkline.compute.runtimes import MEASURED, RUNTIMES
from trunkline.core.errors import InputError, NotFoundError

make = helper.make_node
FINE, COARSE = Tap("tap0", 6, 2), Tap("tap1", 10, 4)


def export(path: Path) -> Any:
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return OnnxFile(str(path)).export(scratch)


def run(data: bytes, path: Path, outputs: tuple[str, ...], runtime: str = "onnxruntime", count: int = 3) -> Any:
    path.write_bytes(data)
    session = RUNTIMES.load(runtime)().open(path, outputs=outputs, threads=1)
    images = np.random.default_rng(3).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    out = session.run(images)
    session.close()
    return out, images


def by_hand(images: np.ndarray) -> dict[str, np.ndarray]:
    """The maps of `graph()` by plain numpy."""
    x = ((images.astype(np.float64) - CARD["mean"]) / CARD["scale"]).transpose(0, 3, 1, 2)
    maps = {}
    for name, tensor in (("tap0", weight("k1", 6, 3, 3, 3)), ("tap1", weight("k22", 10, 6, 3, 3))):
        kernel = numpy_helper.to_array(tensor).astype(np.float64)
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
        x = np.maximum(np.einsum("nchwij,kcij->nkhw", windows, kernel), 0)
        maps[name] = x
    return maps


@pytest.mark.parametrize("runtime", MEASURED)
def test_pixels_are_normalised_and_the_finest_tap_comes_first(runtime: str, tmp_path: Path) -> None:
    made = export(brought(tmp_path))
    assert (made.card.name, made.card.size, made.card.taps) == ("brought", 32, (FINE, COARSE))
    assert (made.card.mean, made.card.scale) == ((120.0, 110.0, 100.0), (60.0, 61.0, 62.5))
    assert (made.card.licence, made.card.source) == ("MIT", "a friend")
    out, images = run(made.dense, tmp_path / "dense.onnx", ("pooled", "tap0", "tap1"), runtime)
    for tap, maps in by_hand(images).items():
        assert np.allclose(out[tap], maps, rtol=1e-4, atol=1e-4)
    pooled, _ = run(made.pooled, tmp_path / "pooled.onnx", ("pooled",), runtime)
    assert np.allclose(pooled["pooled"], out["pooled"], rtol=1e-5, atol=1e-5)


def test_what_no_tap_needs_is_left_out(tmp_path: Path) -> None:
    made = onnx.load_model_from_string(export(brought(tmp_path)).pooled)
    assert {c.name for c in made.graph.initializer} == {
        "input_mean", "input_scale", "net/k1", "net/k22", "pool_axes", "pool_epsilon",
    }  # fmt: skip
    assert [output.name for output in made.graph.output] == ["pooled"]
    assert "MatMul" not in {node.op_type for node in made.graph.node}


def test_a_fixed_batch_at_the_door_is_opened(tmp_path: Path) -> None:
    made = export(brought(tmp_path, graph(shape=(1, 3, 32, 32))))
    out, _ = run(made.pooled, tmp_path / "pooled.onnx", ("pooled",), count=5)
    assert out["pooled"].shape == (5, 48)


@pytest.mark.parametrize("opset", [7, 11, 13, 17, 18, 20])
@pytest.mark.parametrize("runtime", MEASURED)
def test_old_and_new_opsets_give_the_same(opset: int, runtime: str, tmp_path: Path) -> None:
    made = export(brought(tmp_path, graph(opset=opset)))
    out, images = run(made.dense, tmp_path / "dense.onnx", ("pooled", "tap0"), runtime)
    maps = by_hand(images)["tap0"]
    assert np.allclose(out["pooled"][:, :6], maps.mean((2, 3)), rtol=1e-3, atol=1e-3)
    assert np.allclose(out["pooled"][:, 12:18], maps.max((2, 3)), rtol=1e-3, atol=1e-3)


def renamed(**names: str) -> onnx.ModelProto:
    """The graph with other tensor names."""
    model = graph()
    for node in model.graph.node:
        for place in (node.input, node.output):
            place[:] = [names.get(name, name) for name in place]
    model.graph.value_info[0].name = names.get("fine", "fine")
    model.graph.input[0].name = names.get("pixels", "pixels")
    return model


def test_names_of_ours_may_be_theirs_too(tmp_path: Path) -> None:
    model = renamed(pixels="images", fine="tap1", coarse="pooled", c1="images_chw", c2="tap1_pool_mu")
    made = export(brought(tmp_path, model, taps=["tap1", "pooled"]))
    out, images = run(made.dense, tmp_path / "dense.onnx", ("pooled", "tap0", "tap1"))
    for tap, maps in by_hand(images).items():
        assert np.allclose(out[tap], maps, rtol=1e-4, atol=1e-4)


def with_branch() -> onnx.ModelProto:
    """A graph with a branch that reads a constant and a tensor from outside."""
    out = helper.make_tensor_value_info("inside", TensorProto.FLOAT, None)
    shifted = helper.make_graph(
        [make("Add", ["c2", "shift"], ["mid"]), make("Identity", ["mid"], ["inside"])], "then", [], [out],
        value_info=[helper.make_tensor_value_info("mid", TensorProto.FLOAT, [1, 10, 8, 8])],
    )  # fmt: skip
    plain = helper.make_graph([make("Identity", ["c2"], ["inside"])], "else", [], [out])
    branch = make("If", ["yes"], ["c3"], then_branch=shifted, else_branch=plain)
    made = [*nodes()[:3], branch, make("Relu", ["c3"], ["coarse"]), *nodes()[4:]]
    constants = [
        numpy_helper.from_array(np.float32(0), "shift"), numpy_helper.from_array(np.array(True), "yes"),
    ]  # fmt: skip
    return graph(made, more=constants)


def test_graphs_inside_nodes_see_what_is_outside(tmp_path: Path) -> None:
    made = export(brought(tmp_path, with_branch()))
    out, images = run(made.dense, tmp_path / "dense.onnx", ("tap0", "tap1"))
    for tap, maps in by_hand(images).items():
        assert np.allclose(out[tap], maps, rtol=1e-4, atol=1e-4)


def with_function() -> onnx.ModelProto:
    """A graph that calls a function of its own, as torch's exporter writes them."""
    body = [make("Relu", ["x"], ["y"])]
    function = helper.make_function("torch_lib", "relu", ["x"], ["y"], body, [helper.make_opsetid("", 18)])
    made = nodes()
    made[1] = make("relu", ["c1"], ["fine"], domain="torch_lib")
    model = graph(made, domains={"torch_lib": 1})
    model.functions.append(function)
    return model


def test_functions_of_the_graph_itself_are_written_out(tmp_path: Path) -> None:
    assert export(brought(tmp_path, with_function())).card.taps == (FINE, COARSE)


def test_weights_that_can_be_overridden_are_weights(tmp_path: Path) -> None:
    model = graph()
    model.graph.input.append(helper.make_tensor_value_info("k1", TensorProto.FLOAT, [6, 3, 3, 3]))
    assert export(brought(tmp_path, model)).card.taps == (FINE, COARSE)


def test_digest_is_of_the_bytes_and_the_tensors_not_of_the_place(tmp_path: Path) -> None:
    taps = [{"tensor": "c1"}, {"tensor": "c2"}]  # as many channels, of the same strides
    changes: list[dict[str, Any]] = [
        {}, {}, {"licence": "BSD"}, {"taps": ["fine", "coarse"]}, {"taps": taps}, {"mean": [1, 2, 3]},
        {"model": graph(opset=17)},
    ]  # fmt: skip
    digests = [export(brought(tmp_path / str(number), **change)).card.digest for number, change in enumerate(changes)]
    same, others = digests[:4], digests[4:]
    assert (len(set(same)), len({same[0], *others})) == (1, 4)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: os.utime(path, (1, 1)),
        lambda path: path.write_bytes(path.read_bytes() + b" "),
        lambda path: path.with_suffix(".json").write_text("{}"),
    ],
)
def test_stamp_changes_with_the_graph_or_the_card(change: Callable[[Path], None], tmp_path: Path) -> None:
    path = brought(tmp_path)
    first, second = OnnxFile(str(path)).stamp(), OnnxFile(str(path)).stamp()
    change(path)
    assert first == second != OnnxFile(str(path)).stamp()


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        export(path)
    assert caught.value.exit_status == 2
    return caught.value


def test_no_file_is_said_by_stamp_and_export(tmp_path: Path) -> None:
    error = refused(tmp_path / "none.onnx")
    assert (error.message, error.where) == ("expected an ONNX file; there is none", str(tmp_path / "none.onnx"))
    with pytest.raises(InputError, match="expected a file, got nothing"):
        OnnxFile("")


def test_no_card_shows_one_to_copy(tmp_path: Path) -> None:
    path = brought(tmp_path)
    path.with_suffix(".json").unlink()
    error = refused(path)
    assert error.message == "expected a card beside the graph, found none"
    assert "taps: [layer2" in str(error.fix)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected an ONNX graph, got one without nodes or inputs"),
        (b"no graph at all", "expected an ONNX graph, these bytes are none"),
        (bytes(range(256)) * 8, "expected an ONNX graph, these bytes are none"),
        (graph().SerializeToString()[:-300], "expected an ONNX graph, these bytes are none"),
    ],
)
def test_bytes_that_are_no_graph_are_refused(content: bytes, said: str, tmp_path: Path) -> None:
    path = brought(tmp_path, content)
    error = refused(path)
    assert (error.message, error.where) == (said, str(path))


def unsorted() -> onnx.ModelProto:
    return graph(nodes()[::-1])


def without_a_weight() -> onnx.ModelProto:
    model = graph()
    del model.graph.initializer[0]
    return model


@pytest.mark.parametrize("model", [unsorted, without_a_weight])
def test_a_graph_that_is_not_whole_is_refused(model: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    assert refused(brought(tmp_path, model())).message.startswith("the graph is broken: ")


def external(place: str, *, inside: bool = False) -> onnx.ModelProto:
    model = with_branch() if inside else graph()
    tensor = model.graph.initializer[0]
    if inside:
        body = model.graph.node[3].attribute[0].g
        body.initializer.append(numpy_helper.from_array(np.float32(1), "far"))
        tensor = body.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    return model


@pytest.mark.parametrize("place", ["net.onnx.data", "../outside.bin", "/etc/passwd"])
@pytest.mark.parametrize("inside", [False, True])
def test_weights_in_other_files_are_refused_unread(place: str, inside: bool, tmp_path: Path) -> None:
    error = refused(brought(tmp_path, external(place, inside=inside)))
    assert error.message.startswith("expected all weights inside the file, those of ")
    assert error.message.endswith(f" are in {place!r}")
    assert "onnx.save(onnx.load('net.onnx'), 'one-file.onnx')" in str(error.fix)


def custom(inside: bool) -> onnx.ModelProto:
    strange = make("Warp", ["c2"], ["strange"], domain="com.example", name="odd")
    if not inside:
        made = [*nodes()[:3], strange, make("Relu", ["strange"], ["coarse"]), *nodes()[4:]]
        return graph(made, domains={"com.example": 1})
    model = with_branch()
    model.graph.node[3].attribute[0].g.node.insert(0, strange)
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    return model


@pytest.mark.parametrize("inside", [False, True])
def test_custom_operators_are_refused(inside: bool, tmp_path: Path) -> None:
    error = refused(brought(tmp_path, custom(inside)))
    assert error.message == "expected operators of ONNX itself, got com.example::Warp in node 'odd'"


def with_loop(inside: bool) -> onnx.ModelProto:
    """A graph that says "again" as often as a number of 64 bits can, in a branch or not."""
    empty = helper.make_tensor_value_info("on", TensorProto.BOOL, [])
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    body = helper.make_graph([make("Identity", ["go"], ["on"])], "body", [turn, helper.make_tensor_value_info(
        "go", TensorProto.BOOL, [])], [empty])  # fmt: skip
    loop = make("Loop", ["times", "yes"], [], body=body, name="round")
    constants = [numpy_helper.from_array(np.int64(1 << 62), "times"), numpy_helper.from_array(np.array(True), "yes")]
    if not inside:
        return graph([*nodes(), loop], more=constants)
    model = with_branch()
    model.graph.node[3].attribute[0].g.node.insert(0, loop)
    model.graph.initializer.append(constants[0])
    return model


@pytest.mark.parametrize("inside", [False, True])
def test_loops_are_refused(inside: bool, tmp_path: Path) -> None:
    error = refused(brought(tmp_path, with_loop(inside)))
    assert error.message == "expected a graph without loops, got Loop in node 'round'"


def test_an_opset_before_broadcasting_is_refused(tmp_path: Path) -> None:
    assert refused(brought(tmp_path, graph(opset=6))).message == "expected opset 7 or newer, got 6"


@pytest.mark.parametrize(
    ("taps", "at", "fix"),
    [
        (["fine", "coarze"], 1, "did you mean 'coarse'?"),
        (["logit"], 0, "did you mean 'logits'?"),
        (["xyz"], 0, "known tensor names: c1, c2, coarse, fine, flat, logits, mean"),
        (["k1"], 0, "did you mean 'c1'?"),
    ],
)
def test_a_tap_that_is_not_there_is_refused_with_near_ones(taps: list[str], at: int, fix: str, tmp_path: Path) -> None:
    path = brought(tmp_path, taps=taps)
    error = refused(path)
    assert isinstance(error, NotFoundError)
    assert (error.where, error.fix) == (f"{path.with_suffix('.json')}: taps.{at}", fix)


@pytest.mark.parametrize(
    ("tap", "field", "said"),
    [
        ("flat", "", "expected maps (n, channels, side, side), one picture gives 'flat' the shape (1, 10)"),
        ("logits", "", "one picture gives 'logits' the shape (1, 4)"),
        ({"tensor": "fine", "channels": 7}, ".channels", "expected 7 channels, the tensor has 6"),
        ({"tensor": "fine", "stride": 4}, ".stride", "a stride of 4, the tensor has 2 (32 pixels on 16 positions)"),
    ],
    ids=str,
)  # fmt: skip
def test_a_tap_of_another_shape_is_refused(tap: Any, field: str, said: str, tmp_path: Path) -> None:
    path = brought(tmp_path, taps=["coarse", tap])
    error = refused(path)
    assert error.where == f"{path.with_suffix('.json')}: taps.1{field}"
    assert said in error.message


@pytest.mark.parametrize(
    ("shape", "kind", "got"),
    [
        (("n", 32, 32, 3), TensorProto.FLOAT, "float (n, 32, 32, 3)"),
        (("n", 3, 64, 64), TensorProto.FLOAT, "float (n, 3, 64, 64)"),
        (("n", 1, 32, 32), TensorProto.FLOAT, "float (n, 1, 32, 32)"),
        (("n", 3, 32), TensorProto.FLOAT, "float (n, 3, 32)"),
        (("n", 3, 32, 32), TensorProto.FLOAT16, "float16 (n, 3, 32, 32)"),
        (("n", 3, 32, 32), TensorProto.UINT8, "uint8 (n, 3, 32, 32)"),
    ],
    ids=str,
)
def test_a_graph_of_other_pictures_is_refused(shape: tuple[Any, ...], kind: int, got: str, tmp_path: Path) -> None:
    path = brought(tmp_path, graph(shape=shape, kind=kind))
    error = refused(path)
    assert error.message == f"expected float pictures of shape (n, 3, 32, 32), the input 'pixels' takes {got}"
    assert error.where == str(path)


def test_any_size_is_taken_where_the_graph_leaves_it_open(tmp_path: Path) -> None:
    made = export(brought(tmp_path, graph(shape=("n", 3, "h", "w")), size=48))
    assert (made.card.size, made.card.taps) == (48, (FINE, COARSE))


def test_an_input_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = brought(tmp_path, input="pixel")
    error = refused(path)
    assert (error.where, error.fix) == (f"{path.with_suffix('.json')}: input", "did you mean 'pixels'?")


def test_taps_that_depend_on_two_inputs_are_refused(tmp_path: Path) -> None:
    model = graph(
        [*nodes()[:3], make("Add", ["c2", "depth"], ["sum"]), make("Relu", ["sum"], ["coarse"]), *nodes()[4:]]
    )
    model.graph.input.append(helper.make_tensor_value_info("depth", TensorProto.FLOAT, ["n", 10, 8, 8]))
    error = refused(brought(tmp_path / "both", model))
    assert error.message == "expected taps that depend on one input, these depend on depth, pixels"
    assert export(brought(tmp_path / "one", model, taps=["fine"])).card.taps == (FINE,)


def reshaped(shape: list[int]) -> onnx.ModelProto:
    """The coarse map through a reshape with the batch baked in."""
    made = [*nodes()[:3], make("Reshape", ["c2", "shape"], ["c3"]), make("Relu", ["c3"], ["coarse"]), *nodes()[4:]]
    return graph(made, more=[numpy_helper.from_array(np.array(shape, np.int64), "shape")])


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ([1, 10, 8, 8], "the graph does not run on a batch of two pictures: "),
        ([4, 10, 8, 8], "the graph does not run on one picture: "),
        ([1, -1, 8, 8], "expected pictures of one batch that do not see each other"),
    ],
    ids=str,
)
def test_a_batch_that_is_fixed_inside_is_refused(shape: list[int], said: str, tmp_path: Path) -> None:
    path = brought(tmp_path, reshaped(shape), taps=["coarse"])
    error = refused(path)
    assert (error.where, error.message.startswith(said)) == (str(path), True)


def test_pictures_that_see_each_other_are_refused(tmp_path: Path) -> None:
    mixed = [make("ReduceMean", ["c2", "batch"], ["mu"]), make("Sub", ["c2", "mu"], ["c3"])]
    made = [*nodes()[:3], *mixed, make("Relu", ["c3"], ["coarse"]), *nodes()[4:]]
    model = graph(made, more=[numpy_helper.from_array(np.array([0], np.int64), "batch")])
    error = refused(brought(tmp_path, model))
    assert error.message == "expected pictures of one batch that do not see each other, their features change"
    assert "dynamic batch axis" in str(error.fix)


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    made = [*nodes()[:3], make("Log", ["c2"], ["c3"]), make("Relu", ["c3"], ["coarse"]), *nodes()[4:]]
    error = refused(brought(tmp_path, graph(made)))
    assert error.message == "expected finite features, the graph gives NaN or infinity"


@pytest.mark.parametrize("name", ["efficientnet-lite0", "test-trunk"])
def test_the_name_of_a_built_in_trunk_is_taken(name: str, tmp_path: Path) -> None:
    assert refused(brought(tmp_path, name=name)).message == f"the name {name!r} is taken"
