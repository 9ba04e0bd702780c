"""Padding, moved into the convolutions around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from posewatch.models.mend.convolutions import convolution

if TYPE_CHECKING:
    from posewatch.models.graph import Net, Node


def _amounts(net: Net, node: Node) -> list[list[int]]:
    """Before and after, for each of the axes NCHW."""
    pads: list[list[int]] = net.constants[node.inputs[1]].reshape(2, 4).T.tolist()
    return pads


def fold_borders(net: Net) -> None:
    """Let convolutions add the zeros around a picture themselves."""
    for pad in [node for node in net.nodes if node.kind == "Pad"]:
        batch, channels, rows, columns = _amounts(net, pad)
        users = net.users()[pad.output]
        if any([*batch, *channels]) or any(user.kind != "Conv" for user in users):
            continue
        border = [rows[0], columns[0], rows[1], columns[1]]
        for user in users:
            pads = zip(user.attributes["pads"], border, strict=True)
            user.attributes["pads"] = [own + more for own, more in pads]
            user.inputs[0] = pad.inputs[0]
        net.nodes.remove(pad)


def lower_channel_pads(net: Net) -> None:
    """Add channels of zeros with a 1 x 1 convolution.

    onnxruntime keeps channels in blocks for its convolutions. It has no Pad for that layout, and
    turns the picture to and fro for one; a convolution stays in it, and takes the addition that
    follows along.
    """
    for place, pad in enumerate(net.nodes):
        if pad.kind != "Pad":
            continue
        batch, (before, after), rows, columns = _amounts(net, pad)
        if any([*batch, *rows, *columns]):
            continue
        count = net.shapes[pad.inputs[0]][0]
        identity = np.eye(before + count + after, count, -before, np.float32)
        net.nodes[place] = convolution(net, pad.inputs[0], pad.output, identity[..., None, None])
