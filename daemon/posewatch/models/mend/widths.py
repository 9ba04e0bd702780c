"""Numbers of channels, rounded up to what onnxruntime can work with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from posewatch.models.mend.convolutions import (
    BLOCK,
    bias,
    is_dense,
    is_depthwise,
    reweigh,
    weights,
)

if TYPE_CHECKING:
    from posewatch.models.graph import Net, Node

_ALIGNMENT = 4
_KEEP_CHANNELS = {"Add", "Clip", "MaxPool", "Relu"}


def widen_channels(net: Net) -> None:
    """Add empty channels to pictures that would have to leave the blocked layout otherwise.

    That layout is not for pooling where the last block is not full, nor for anything where the
    number of channels is less than a block or not a multiple of four. Inside of the layout the last
    block is computed whole anyway. A Pad behind the pooling that adds as many channels goes away.
    """
    frozen: set[str] = set()
    while (found := _find(net, frozen)) is not None:
        if not _widen(net, found):
            frozen |= found


def _find(net: Net, frozen: set[str]) -> set[str] | None:
    """All values that share their channels with one that does not fit the layout."""
    for node in net.nodes:
        if node.output in frozen or node.output not in net.shapes:
            continue
        count = net.shapes[node.output][0]
        pooled = node.kind == "MaxPool" and count % BLOCK
        few = count < BLOCK or count % _ALIGNMENT
        odd = node.kind == "Conv" and is_depthwise(net, node) and few
        if pooled or odd:
            return _same_channels(net, node.output)
    return None


def _keeps_channels(net: Net, node: Node) -> bool:
    return node.kind in _KEEP_CHANNELS or (node.kind == "Conv" and is_depthwise(net, node))


def _same_channels(net: Net, name: str) -> set[str]:
    makers, users = net.makers(), net.users()
    found: set[str] = set()
    queue = [name]
    while queue:
        value = queue.pop()
        if value in found or value not in net.shapes:
            continue
        found.add(value)
        if value in makers and _keeps_channels(net, makers[value]):
            queue.extend(makers[value].inputs)
        queue.extend(user.output for user in users.get(value, []) if _keeps_channels(net, user))
    return found


def _widen(net: Net, values: set[str]) -> bool:
    """Add channels of zeros to all of these values; whether all that touches them can."""
    count = net.shapes[next(iter(values))][0]
    more = -count % BLOCK
    touching = [node for node in net.nodes if values & {node.output, *node.inputs}]
    pads = [node for node in touching if node.kind == "Pad"]
    others = [node for node in touching if not _keeps_channels(net, node) and node not in pads]
    if values & set(net.outputs) or any(not is_dense(node) for node in others):
        return False
    if any(_after(net, pad) < more for pad in pads if pad.inputs[0] in values):
        return False
    for node in touching:
        if node.kind == "Conv":
            _widen_convolution(
                net, node, reads=node.inputs[0] in values, makes=node.output in values, more=more
            )
    for pad in pads:
        _pad_less(net, pad, more if pad.inputs[0] in values else -more)
    for value in values:
        channels, height, width = net.shapes[value]
        net.shapes[value] = (channels + more, height, width)
    return True


def _widen_convolution(net: Net, node: Node, *, reads: bool, makes: bool, more: int) -> None:
    rows, columns = more * makes, more * (reads and is_dense(node))
    if not is_dense(node):
        node.attributes["group"] += more
    reweigh(
        net,
        node,
        np.pad(weights(net, node), ((0, rows), (0, columns), (0, 0), (0, 0))),
        np.pad(bias(net, node), (0, rows)),
    )


def _after(net: Net, pad: Node) -> int:
    """How many channels a Pad adds at the end."""
    return int(net.constants[pad.inputs[1]][5])


def _pad_less(net: Net, pad: Node, less: int) -> None:
    amounts = net.constants[pad.inputs[1]].copy()
    amounts[5] -= less
    pad.inputs[1] = net.constant(net.fresh(f"{pad.output}_pads"), amounts)
    if not amounts.any():
        for node in net.nodes:
            node.inputs = [pad.inputs[0] if name == pad.output else name for name in node.inputs]
        net.nodes.remove(pad)
