"""Columns of zeros beside a picture, added before a wide convolution instead of by it.

onnxruntime's convolutions on a CPU work on six columns at once, but alone on each whose window
reaches out of the picture. The last convolution of RTMPose sees 7 x 7 places of a map that is 6 or
9 wide: all columns, or six, are such. In a picture that was made wider before none is. The result
is the same to the bit, since a zero is a zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from onnx import GraphProto

_WIDE = 5
"""Columns of a window from which on that is worth another node."""

_PLANAR = 4
"""Axes of the weights of a convolution over pictures: outputs, inputs, rows, columns."""


def widen_first(graph: GraphProto) -> None:
    """Let nodes of their own add the columns that wide convolutions add to their pictures.

    Such a node is a convolution too, of each pixel alone with a weight of 1: it stays in the
    blocked layout of its neighbours, and no optimiser puts it back, as it does a Pad.
    """
    weights = {weight.name: weight for weight in graph.initializer}
    for place, node in reversed(list(enumerate(graph.node))):
        weight = weights.get(node.input[1]) if node.op_type == "Conv" else None
        if weight is None or len(weight.dims) != _PLANAR or weight.dims[3] < _WIDE:
            continue
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        top, left, bottom, right = attributes.get("pads") or (0, 0, 0, 0)
        if not left + right or attributes.get("group", 1) != 1:
            continue
        channels = weight.dims[1]
        kind = helper.tensor_dtype_to_np_dtype(weight.data_type)
        one, wider = f"posewatch/{node.output[0]}/one", f"posewatch/{node.output[0]}/wider"
        graph.initializer.append(numpy_helper.from_array(np.ones((channels, 1, 1, 1), kind), one))
        widen = helper.make_node(
            *("Conv", [node.input[0], one], [wider]),
            name=wider,
            group=channels,
            kernel_shape=[1, 1],
            pads=[0, left, 0, right],
        )
        node.input[0] = wider
        (pads,) = (one for one in node.attribute if one.name == "pads")
        pads.ints[:] = [top, 0, bottom, 0]
        graph.node.insert(place, widen)
