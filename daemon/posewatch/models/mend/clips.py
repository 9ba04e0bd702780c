"""Clipping, attached to a convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from posewatch.models.mend.convolutions import convolution

if TYPE_CHECKING:
    from posewatch.models.graph import Net, Node


def attach_clips(net: Net) -> None:
    """Put a convolution that changes nothing before each Clip that follows something else.

    onnxruntime clips inside of a convolution, in the blocked layout; on its own, a Clip makes it
    turn the picture to and fro, which costs three times as much as the empty convolution.
    """
    makers = net.makers()
    nodes: list[Node] = []
    for node in net.nodes:
        source = node.inputs[0]
        if node.kind == "Clip" and makers[source].kind != "Conv" and source in net.shapes:
            count = net.shapes[source][0]
            copy = convolution(
                net,
                source,
                net.fresh(f"{node.output}_copy"),
                np.ones((count, 1, 1, 1), np.float32),
                group=count,
            )
            nodes.append(copy)
            node.inputs[0] = copy.output
        nodes.append(node)
    net.nodes = nodes
