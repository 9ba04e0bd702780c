"""The net that the conversion builds: order, pruning, and the way into ONNX."""

from __future__ import annotations

import graphlib

import numpy as np
import onnx
import pytest

from posewatch.models.graph import Net


def diamond() -> Net:
    net = Net("diamond", 4)
    net.add("Cast", ["input"], "a", to=onnx.TensorProto.FLOAT)
    net.add("Relu", ["a"], "b")
    net.add("Neg", ["a"], "c")
    net.add("Add", ["b", "c"], "out")
    net.outputs["out"] = (4, 4, 3)
    return net


def order(net: Net) -> list[str]:
    return [node.output for node in net.nodes]


def test_sorting_puts_makers_before_readers_and_leaves_the_rest() -> None:
    net = diamond()
    net.sort()
    assert order(net) == ["a", "b", "c", "out"]
    net.nodes = [net.nodes[place] for place in (3, 2, 0, 1)]
    net.sort()
    assert order(net) == ["a", "c", "b", "out"]


def test_a_circle_cannot_be_sorted() -> None:
    net = diamond()
    net.nodes[0].inputs = ["out"]
    with pytest.raises(graphlib.CycleError):
        net.sort()


def test_pruning_drops_what_no_output_needs() -> None:
    net = diamond()
    net.add("Mul", ["a", net.constant("two", np.float32(2))], "unused")
    net.constant("lonely", np.float32(1))
    net.prune()
    assert order(net) == ["a", "b", "c", "out"]
    assert net.constants == {}


def test_fresh_names_are_nobody_elses() -> None:
    net = diamond()
    net.constant("b_1", np.float32(1))
    net.add("Relu", ["a"], "b_2")
    assert net.fresh("b") == "b_3"
    assert net.fresh("new") == "new_1"


def test_constants_keep_their_shape_and_their_first_value() -> None:
    net = diamond()
    net.constant("one", np.float32(1))
    net.constant("one", np.float32(2))
    assert net.constants["one"].shape == ()
    assert net.constants["one"] == 1


def test_the_onnx_file_has_a_batch_of_any_size() -> None:
    model = diamond().to_onnx()
    (picture,), (out,) = model.graph.input, model.graph.output
    dims = [
        [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (picture, out)
    ]
    assert dims == [["N", 4, 4, 3], ["N", 4, 4, 3]]


def test_a_net_that_is_wrong_is_not_written() -> None:
    net = diamond()
    net.outputs["out"] = (4, 4, 5)
    with pytest.raises(onnx.shape_inference.InferenceError):
        net.to_onnx()
