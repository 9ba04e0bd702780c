"""Enlarging, moved behind the convolution that follows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posewatch.models.mend.convolutions import is_dense, is_pointwise, weights

if TYPE_CHECKING:
    from posewatch.models.graph import Net


def swap_resizes(net: Net) -> None:
    """Mix channels before enlarging a picture, where that leaves fewer channels.

    A bilinear resize treats all channels alike, and its factors sum up to one everywhere, so a
    1 x 1 convolution gives the same before it and after it, bias and all; before it, there are four
    times fewer pixels.
    """
    for resize in [node for node in net.nodes if node.kind == "Resize"]:
        users = net.users()[resize.output]
        if len(users) != 1 or not (is_dense(users[0]) and is_pointwise(net, users[0])):
            continue
        (mixer,) = users
        made, read = weights(net, mixer).shape[:2]
        if made > read:
            continue
        mixer.inputs[0] = resize.inputs[0]
        resize.output, mixer.output = mixer.output, resize.output
        resize.inputs[0] = mixer.output
        net.shapes[resize.output] = (made, *net.shapes[mixer.output][1:])
        net.shapes[mixer.output] = (made, *net.shapes[mixer.inputs[0]][1:])
    net.sort()
