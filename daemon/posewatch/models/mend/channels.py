"""Channels that hold the same number whatever the picture, taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from posewatch.models.mend.convolutions import (
    BLOCK,
    bias,
    is_dense,
    is_depthwise,
    is_pointwise,
    reweigh,
    weights,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from posewatch.models.graph import Net, Node


def drop_constant_channels(net: Net) -> None:
    """Shrink expand-depthwise-mix blocks by the channels that training has emptied.

    In hand_landmark, more than half of the 1152 channels of each of the last blocks have no weights
    left. What a channel gives after the depthwise convolution is bounded by its weights and by what
    the activation before it lets through; where both bounds agree it is a number, and goes into the
    bias of what reads it.
    """
    for depthwise in [node for node in net.nodes if node.kind == "Conv"]:
        if is_depthwise(net, depthwise):
            _shrink(net, depthwise)


def _shrink(net: Net, depthwise: Node) -> None:
    expand, before = _made_by(net, depthwise.inputs[0])
    if expand is None or not is_dense(expand) or expand is depthwise:
        return
    last, after = _activated(net, depthwise)
    readers = _readers(net, last)
    if not readers:
        return
    low, high = _bounds(net, depthwise, _outputs(net, expand, before))
    low, high = _limit(net, after, low), _limit(net, after, high)
    kept = low != high
    spare = np.flatnonzero(~kept)[: -int(kept.sum()) % BLOCK]
    kept[spare] = True
    if kept.all() or not kept.any():
        return
    reweigh(net, expand, weights(net, expand)[kept], bias(net, expand)[kept])
    reweigh(net, depthwise, weights(net, depthwise)[kept], bias(net, depthwise)[kept])
    depthwise.attributes["group"] = int(kept.sum())
    for reader in readers:
        _without(net, reader, kept, low)
    for name in {expand.output, depthwise.inputs[0], depthwise.output, last}:
        net.shapes[name] = (int(kept.sum()), *net.shapes[name][1:])


def _made_by(net: Net, name: str) -> tuple[Node | None, Node | None]:
    """The convolution that makes a value, and the activation between, where nobody else reads."""
    makers, users = net.makers(), net.users()
    node = makers.get(name)
    activation = None
    if node is not None and node.kind in {"Clip", "Relu"} and len(users[name]) == 1:
        activation, node = node, makers.get(node.inputs[0])
    if node is None or node.kind != "Conv" or len(users[node.output]) != 1:
        return None, None
    return node, activation


def _activated(net: Net, node: Node) -> tuple[str, Node | None]:
    """What comes out behind a node's activation, and that."""
    users = net.users().get(node.output, [])
    if len(users) == 1 and users[0].kind in {"Clip", "Relu"}:
        return users[0].output, users[0]
    return node.output, None


def _readers(net: Net, name: str) -> list[Node]:
    """What reads a value, if all of it mixes channels and nothing else; else nothing."""
    readers: list[Node] = []
    users: Mapping[str, list[Node]] = net.users()
    for user in users.get(name, []):
        if is_dense(user) and is_pointwise(net, user):
            readers.append(user)
        elif user.kind == "ReduceMean" and all(
            reader.kind == "Gemm" for reader in users[user.output]
        ):
            readers.extend(users[user.output])
        else:
            return []
    return [] if name in net.outputs else readers


def _limit(net: Net, activation: Node | None, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What an activation makes of values."""
    if activation is None:
        return values
    limits = [0.0, np.inf]
    if activation.kind == "Clip":
        limits = [float(net.constants[name]) for name in activation.inputs[1:]]
    return np.minimum(np.maximum(values, limits[0]), limits[1])


def _outputs(
    net: Net, node: Node, activation: Node | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of what a convolution and its activation can give, by channel."""
    offset = bias(net, node).astype(np.float64)
    empty = ~weights(net, node).reshape(len(offset), -1).any(axis=1)
    low = np.where(empty, offset, -np.inf)
    high = np.where(empty, offset, np.inf)
    return _limit(net, activation, low), _limit(net, activation, high)


def _bounds(
    net: Net, node: Node, source: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bounds of what a depthwise convolution can give, by channel, from those of what it reads."""
    low, high = source
    if any(node.attributes["pads"]):
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    taps = weights(net, node).reshape(len(low), -1).astype(np.float64)
    offset = bias(net, node)
    with np.errstate(invalid="ignore"):  # no weight times no bound is nothing
        ends = np.stack(
            [
                np.nan_to_num(taps * end[:, None], nan=0.0, posinf=np.inf, neginf=-np.inf)
                for end in (low, high)
            ]
        )
    return ends.min(axis=0).sum(axis=1) + offset, ends.max(axis=0).sum(axis=1) + offset


def _without(net: Net, reader: Node, kept: NDArray[np.bool_], values: NDArray[np.float64]) -> None:
    """Take channels out of what a convolution or a Gemm reads; they were `values`."""
    old = weights(net, reader)
    dropped = old[:, ~kept].reshape(len(old), -1).astype(np.float64) @ values[~kept]
    new_bias = bias(net, reader) + dropped
    if reader.kind == "Conv":
        reweigh(net, reader, old[:, kept], new_bias)
        return
    names = (("weights", old[:, kept]), ("bias", new_bias))
    reader.inputs[1:] = [
        net.constant(net.fresh(f"{reader.output}_{tag}"), value.astype(np.float32))
        for tag, value in names
    ]
