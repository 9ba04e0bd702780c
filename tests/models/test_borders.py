"""Columns of zeros that are added before a wide convolution: the same to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from posewatch.models.borders import widen_first

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CHANNELS, ROWS, COLUMNS = 32, 12, 9


def network(side: int, **attributes: Any) -> onnx.ModelProto:  # noqa: ANN401 -- as onnx has them
    """Two convolutions in a row, the second of `side` by `side`."""
    random = np.random.default_rng(0)
    inputs = CHANNELS // attributes.get("group", 1)
    weights = {
        "narrow": random.normal(size=(CHANNELS, CHANNELS, 1, 1)).astype(np.float32),
        "wide": random.normal(size=(CHANNELS, inputs, side, side)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "narrow"], ["between"]),
        helper.make_node("Conv", ["between", "wide"], ["y"], **attributes),
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("x", ["N", CHANNELS, ROWS, COLUMNS]), ("y", ["N", CHANNELS, "h", "w"]))
    ]
    constants = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "two", *ends, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def borders(model: onnx.ModelProto) -> list[list[int]]:
    return [
        next((list(one.ints) for one in node.attribute if one.name == "pads"), [])
        for node in model.graph.node
        if node.op_type == "Conv"
    ]


def run(model: onnx.ModelProto, optimised: Path | None = None) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # that what is written fits this machine only
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    picture = np.random.default_rng(1).normal(size=(2, CHANNELS, ROWS, COLUMNS))
    (output,) = session.run(None, {"x": picture.astype(np.float32)})
    assert isinstance(output, np.ndarray)
    return output


@pytest.mark.parametrize(
    ("side", "pads", "strides"),
    [(7, [3, 3, 3, 3], [1, 1]), (5, [0, 2, 1, 4], [1, 1]), (7, [3, 3, 3, 3], [2, 2])],
)
def test_the_result_is_the_same_to_the_bit(
    side: int, pads: list[int], strides: list[int], tmp_path: Path
) -> None:
    before = network(side, pads=pads, strides=strides)
    after = onnx.ModelProto.FromString(before.SerializeToString())
    widen_first(after.graph)
    onnx.checker.check_model(after, full_check=True)
    top, left, bottom, right = pads
    apart = [[], [0, left, 0, right], [top, 0, bottom, 0]]
    assert borders(after) == apart
    optimised = tmp_path / "optimised.onnx"
    np.testing.assert_array_equal(run(after, optimised), run(before))
    assert borders(onnx.load(optimised))[1:] == apart[1:], "onnxruntime has put it back"


@pytest.mark.parametrize(
    "untouched",
    [
        network(3, pads=[1, 1, 1, 1]),
        network(7),
        network(7, pads=[3, 0, 3, 0]),
        network(7, auto_pad="SAME_UPPER"),
        network(7, pads=[3, 3, 3, 3], group=CHANNELS),
    ],
    ids=["narrow", "no border", "rows only", "automatic", "each channel alone"],
)
def test_convolutions_that_would_gain_nothing_stay_as_they_are(untouched: onnx.ModelProto) -> None:
    before = untouched.SerializeToString()
    widen_first(untouched.graph)
    assert untouched.SerializeToString() == before
