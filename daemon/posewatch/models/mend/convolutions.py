"""What the mends know about convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from posewatch.models.graph import Node

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from posewatch.models.graph import Net


BLOCK = 16
"""How many channels onnxruntime keeps together, at most (with AVX-512; else 8).

It computes with whole blocks, so a number of channels that fills the last one costs no more than
one that does not.
"""


def weights(net: Net, node: Node) -> NDArray[Any]:
    """`(out, in / group, height, width)`."""
    return net.constants[node.inputs[1]]


def bias(net: Net, node: Node) -> NDArray[Any]:
    """`(out,)`; zeros where there is none."""
    if len(node.inputs) > 2:
        return net.constants[node.inputs[2]]
    return np.zeros(len(weights(net, node)), np.float32)


def reweigh(
    net: Net, node: Node, new_weights: NDArray[Any], new_bias: NDArray[Any] | None = None
) -> None:
    """Give a convolution other weights. The old ones may serve another, and are left alone."""
    given = [new_weights] if new_bias is None else [new_weights, new_bias]
    tags = ("weights", "bias")
    for place, (tag, value) in enumerate(zip(tags, given, strict=False), start=1):
        name = net.constant(net.fresh(f"{node.output}_{tag}"), value.astype(np.float32))
        node.inputs[place : place + 1] = [name]
    node.attributes["kernel_shape"] = list(new_weights.shape[2:])


def convolution(
    net: Net,
    source: str,
    output: str,
    new_weights: NDArray[Any],
    new_bias: NDArray[Any] | None = None,
    *,
    group: int = 1,
) -> Node:
    """A new 1 x 1 convolution; not in the net yet. Notes the shape of its output."""
    node = Node(
        "Conv",
        [source, ""],
        output,
        {"group": group, "strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]},
    )
    reweigh(net, node, new_weights, new_bias)
    _, height, width = net.shapes[source]
    net.shapes[output] = (len(new_weights), height, width)
    return node


def is_dense(node: Node) -> bool:
    """A convolution in which every input channel may reach every output channel."""
    return node.kind == "Conv" and node.attributes["group"] == 1


def is_depthwise(net: Net, node: Node) -> bool:
    """A convolution of each channel for itself, one output for each."""
    return (
        node.kind == "Conv"
        and node.attributes["group"] == net.shapes[node.inputs[0]][0] == len(weights(net, node))
        and weights(net, node).shape[1] == 1
    )


def is_pointwise(net: Net, node: Node) -> bool:
    """A convolution, dense or not, of each pixel for itself."""
    return (
        node.kind == "Conv"
        and weights(net, node).shape[2:] == (1, 1)
        and node.attributes["strides"] == [1, 1]
        and not any(node.attributes["pads"])
    )
