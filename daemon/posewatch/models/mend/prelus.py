"""PRelu, written with convolutions.

onnxruntime has no PRelu for its blocked layout, and a slow one otherwise. But

    PRelu(x) = a x + (1 - a) Relu(x) = a x + Relu((1 - a) x)   for slopes a <= 1

is two depthwise 1 x 1 convolutions, and both the Relu and the addition are done inside of them. A
scale and a shift that follow are taken in on the way. A channel whose slope is above one comes out
with the wrong sign; whatever reads it is told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from posewatch.models.mend.convolutions import (
    bias,
    convolution,
    is_dense,
    is_depthwise,
    is_pointwise,
    reweigh,
    weights,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from posewatch.models.graph import Net, Node


def lower_prelus(net: Net) -> None:
    """Replace every PRelu."""
    negated: dict[str, NDArray[Any]] = {}
    for prelu in [node for node in net.nodes if node.kind == "PRelu"]:
        output, signs = _lower(net, prelu)
        if (signs < 0).any():
            negated[output] = signs
    for name, signs in negated.items():
        if not _negate(net, name, signs):
            _undo_signs(net, name, signs)
    net.sort()


def _lower(net: Net, prelu: Node) -> tuple[str, NDArray[Any]]:
    """Replace one; gives the name of what takes its place, and the sign of each channel there."""
    source, output = prelu.inputs[0], prelu.output
    slopes = net.constants[prelu.inputs[1]].reshape(-1)
    count = len(slopes)
    scale, shift = np.ones(count, np.float32), np.zeros(count, np.float32)
    net.nodes.remove(prelu)
    users = net.users().get(output, [])
    if len(users) == 1 and is_pointwise(net, users[0]) and is_depthwise(net, users[0]):
        (affine,) = users
        scale, shift = weights(net, affine).reshape(-1), bias(net, affine)
        output = affine.output
        net.nodes.remove(affine)
    bend = scale * (1 - slopes)
    signs = np.where(bend < 0, np.float32(-1), np.float32(1))

    def by_channel(name: str, factors: NDArray[Any], offsets: NDArray[Any] | None = None) -> str:
        node = convolution(
            net,
            source,
            net.fresh(f"{output}_{name}"),
            factors.reshape(-1, 1, 1, 1),
            offsets,
            group=count,
        )
        net.nodes.append(node)
        return node.output

    offsets = shift * signs if shift.any() else None
    straight = by_channel("straight", scale * slopes * signs, offsets)
    bent = net.add("Relu", [by_channel("bent", np.abs(bend))], net.fresh(f"{output}_relu"))
    net.add("Add", [straight, bent], output)
    net.shapes[bent] = net.shapes[output] = net.shapes[source]
    return output, signs


def _negate(net: Net, name: str, signs: NDArray[Any]) -> bool:
    """Make everything that reads a value expect its channels times `signs`; whether it can."""
    changes: list[Callable[[], None]] = []
    seen: set[int] = set()

    def plan(value: str) -> bool:
        if value in net.outputs:
            return False
        return all(plan_user(value, user) for user in net.users().get(value, []))

    def plan_user(value: str, user: Node) -> bool:
        if id(user) in seen:  # an addition of two values that are both negated
            return True
        seen.add(id(user))
        if user.kind == "Conv" and (is_dense(user) or is_depthwise(net, user)):
            changes.append(lambda: _expect(net, user, signs))
            return True
        if user.kind != "Add":
            return False
        other = next(term for term in user.inputs if term != value)
        maker = net.makers().get(other)
        if maker is None or maker.kind != "Conv" or len(net.users()[other]) != 1:
            return False
        changes.append(lambda: _make(net, maker, signs))
        return plan(user.output)

    if not plan(name):
        return False
    for change in changes:
        change()
    return True


def _expect(net: Net, node: Node, signs: NDArray[Any]) -> None:
    """Turn the signs of what a convolution reads."""
    shape = (1, -1, 1, 1) if is_dense(node) else (-1, 1, 1, 1)
    reweigh(net, node, weights(net, node) * signs.reshape(shape))


def _make(net: Net, node: Node, signs: NDArray[Any]) -> None:
    """Turn the signs of what a convolution makes."""
    reweigh(net, node, weights(net, node) * signs.reshape(-1, 1, 1, 1), bias(net, node) * signs)


def _undo_signs(net: Net, name: str, signs: NDArray[Any]) -> None:
    """Turn the signs of a value itself, with one more convolution."""
    maker = net.makers()[name]
    maker.output = net.fresh(f"{name}_signed")
    net.shapes[maker.output] = net.shapes[name]
    factors = signs.reshape(-1, 1, 1, 1)
    net.nodes.append(convolution(net, maker.output, name, factors, group=len(signs)))
