"""The way from bytes to the first convolution, made short."""

from __future__ import annotations

import numpy as np

from posewatch.models.graph import INPUT, Net, Node
from posewatch.models.mend.convolutions import is_dense, reweigh, weights

_CHANNELS = 3


def read_interleaved(net: Net) -> None:
    """Let the first convolutions read the picture as it lies in memory, as bytes.

    Their weights take the factor of the normalisation. And a picture of interleaved channels is
    also one of a single channel that is three times as wide, over which a kernel three times as
    wide moves in steps three times as long: nothing has to be turned.

    A network that wants -1..1 sees zeros around the picture, which are no bytes. There, the middle
    of the bytes is subtracted, so that zero stays zero.
    """
    makers = net.makers()
    turn = next((node for node in net.nodes if node.kind == "Transpose"), None)
    readers = net.users()[turn.output] if turn else []
    if turn is None or not all(
        is_dense(node) and node.attributes["dilations"] == [1, 1] for node in readers
    ):
        return
    value, shift = turn.inputs[0], 0.0
    if makers[value].kind == "Add":
        value, low = makers[value].inputs
        shift = float(net.constants[low])
    scale = float(net.constants[makers[value].inputs[1]])
    for reader in readers:
        kernel = weights(net, reader).transpose(0, 2, 3, 1)  # (out, height, width, channels)
        reweigh(net, reader, kernel.reshape(len(kernel), 1, kernel.shape[1], -1) * scale)
        down, right = reader.attributes["strides"]
        top, left, bottom, rest = reader.attributes["pads"]
        reader.attributes["strides"] = [down, right * _CHANNELS]
        reader.attributes["pads"] = [top, left * _CHANNELS, bottom, rest * _CHANNELS]
    cast = makers[makers[value].inputs[0]]
    width = net.size * _CHANNELS
    shape = net.constant("input_shape", np.array([0, 1, net.size, width], np.int64))
    net.shapes[turn.output] = (1, net.size, width)
    start = [Node("Reshape", [INPUT, shape], "input_wide"), cast]
    cast.inputs = ["input_wide"]
    if shift:
        middle = net.constant("input_middle", np.float32(shift / scale))
        start.append(Node("Add", [cast.output, middle], turn.output))
    else:
        cast.output = turn.output
    net.nodes = [*start, *(node for node in net.nodes if node is not cast and node is not turn)]
    net.prune()
