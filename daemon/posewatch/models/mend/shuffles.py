"""Depth to space, moved into the convolutions that read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from posewatch.models.mend.convolutions import (
    bias,
    is_dense,
    is_depthwise,
    is_pointwise,
    reweigh,
    weights,
)

if TYPE_CHECKING:
    from posewatch.models.graph import Net, Node

_BLOCK = 2


def fold_depth_to_space(net: Net) -> None:
    """Read the pixels that depth-to-space would make from the channels they come from.

    Depth-to-space lays four groups of channels out as the four pixels of a 2 x 2 block. Where a
    depthwise convolution with stride 2 follows, each of its taps meets always the same group, so it
    is a depthwise convolution with stride 1 on the channels as they are, up to the sum over the
    four groups; that sum is left to the 1 x 1 convolution that comes next.
    """
    for shuffle in [node for node in net.nodes if node.kind == "DepthToSpace"]:
        users = net.users()
        depthwise = users[shuffle.output]
        mixers = [users[node.output] for node in depthwise]
        if (
            shuffle.attributes["blocksize"] != _BLOCK
            or not all(_fits(net, node) for node in depthwise)
            or not all(
                len(mixer) == 1 and is_dense(mixer[0]) and is_pointwise(net, mixer[0])
                for mixer in mixers
            )
        ):
            continue
        for node, (mixer,) in zip(depthwise, mixers, strict=True):
            _read_channels(net, shuffle, node)
            own, own_bias = weights(net, mixer), bias(net, mixer)
            carried = own[:, :, 0, 0] @ bias(net, node)
            reweigh(net, mixer, np.tile(own, (1, _BLOCK * _BLOCK, 1, 1)), own_bias + carried)
            del node.inputs[2:]
        net.nodes.remove(shuffle)


def _fits(net: Net, node: Node) -> bool:
    return (
        is_depthwise(net, node)
        and node.attributes["strides"] == [_BLOCK, _BLOCK]
        and node.attributes["dilations"] == [1, 1]
    )


def _read_channels(net: Net, shuffle: Node, node: Node) -> None:
    """Let a depthwise convolution read what goes into depth-to-space, not what comes out.

    Along one axis, tap `k` with padding `t` reads pixel `2i + k - t` for output `i`: the pixel
    `i + (k - t) // 2` before depth-to-space, of group `(k - t) % 2`.
    """
    old = weights(net, node)
    top, left, _, _ = node.attributes["pads"]
    size = old.shape[2]
    taps = [
        [((tap - pad) // _BLOCK, (tap - pad) % _BLOCK) for tap in range(size)]
        for pad in (top, left)
    ]
    first = [min(step for step, _ in axis) for axis in taps]
    last = [max(step for step, _ in axis) for axis in taps]
    count = len(old)
    new = np.zeros(
        (_BLOCK, _BLOCK, count, last[0] - first[0] + 1, last[1] - first[1] + 1), np.float32
    )
    for row, (down, group_y) in enumerate(taps[0]):
        for column, (right, group_x) in enumerate(taps[1]):
            place = (group_y, group_x, slice(None), down - first[0], right - first[1])
            new[place] = old[:, 0, row, column]
    reweigh(net, node, new.reshape(_BLOCK * _BLOCK * count, 1, *new.shape[3:]))
    channels, height, width = net.shapes[shuffle.inputs[0]]
    _, out_height, out_width = net.shapes[node.output]
    bottom, right = (
        out - size + kernel - 1 + start
        for out, size, kernel, start in zip(
            (out_height, out_width), (height, width), new.shape[3:], first, strict=True
        )
    )
    node.inputs[0] = shuffle.inputs[0]
    node.attributes.update(
        group=channels, strides=[1, 1], pads=[-first[0], -first[1], bottom, right]
    )
    net.shapes[node.output] = (channels, out_height, out_width)
