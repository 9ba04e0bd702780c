"""A network while it is being converted: nodes, constants, and the way into an ONNX file.

Lighter to rewrite than the protocol buffers it ends as. Pictures are NCHW inside.
"""

from __future__ import annotations

import graphlib
import heapq
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

OPSET = 17
"""Of ONNX. Every onnxruntime that we allow, and TensorRT 10, know all of it."""

IR_VERSION = 8
"""Of the ONNX file: the one that came with opset 17."""

BATCH = "N"
"""The symbolic first axis of every input and output."""

INPUT = "input"
"""The name of the only input."""


@dataclass(slots=True)
class Node:
    """One operation with one output.

    Attributes:
        kind: ONNX operator.
        inputs: names of values; empty for an optional one that is left out.
        output: name of the value that it makes.
        attributes: as ONNX calls them.
    """

    kind: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Net:
    """A network under construction.

    Attributes:
        name: of the graph.
        size: side of the input picture, pixels.
        nodes: in an order in which they can run.
        constants: values that are known, by name.
        outputs: shapes without the batch axis, by name, in order.
        shapes: of pictures inside, `(channels, height, width)`, by name of the value.
    """

    name: str
    size: int
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def add(self, kind: str, inputs: Iterable[str], output: str, **attributes: object) -> str:
        """Append a node; gives the name of its output."""
        self.nodes.append(Node(kind, list(inputs), output, dict(attributes)))
        return output

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        """Add a constant, or find the one of that name; gives its name."""
        self.constants.setdefault(name, np.asarray(value, order="C"))
        return name

    def fresh(self, name: str) -> str:
        """A name like this one that no value has yet."""
        taken = {node.output for node in self.nodes} | set(self.constants)
        return next(
            option
            for option in (f"{name}_{count}" for count in itertools.count(1))
            if option not in taken
        )

    def users(self) -> Mapping[str, list[Node]]:
        """Which nodes read each value."""
        users: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                users.setdefault(name, []).append(node)
        return users

    def makers(self) -> Mapping[str, Node]:
        """Which node makes each value."""
        return {node.output: node for node in self.nodes}

    def sort(self) -> None:
        """Put the nodes into an order in which they can run, changing it as little as possible.

        Raises:
            graphlib.CycleError: there is none.
        """
        makers = self.makers()
        order = {node.output: place for place, node in enumerate(self.nodes)}
        sorter = graphlib.TopologicalSorter(
            {node.output: [name for name in node.inputs if name in makers] for node in self.nodes}
        )
        sorter.prepare()
        ready: list[tuple[int, str]] = []
        nodes: list[Node] = []
        while sorter.is_active():
            for name in sorter.get_ready():
                heapq.heappush(ready, (order[name], name))
            _, name = heapq.heappop(ready)
            nodes.append(makers[name])
            sorter.done(name)
        self.nodes = nodes

    def prune(self) -> None:
        """Drop what no output needs, such as a head for segmentation."""
        needed = set(self.outputs)
        kept: list[Node] = []
        for node in reversed(self.nodes):
            if node.output in needed:
                kept.append(node)
                needed.update(node.inputs)
        self.nodes = kept[::-1]
        self.constants = {name: value for name, value in self.constants.items() if name in needed}

    def to_onnx(self) -> onnx.ModelProto:
        """The network as an ONNX model, checked."""
        nodes = [
            helper.make_node(
                node.kind, node.inputs, [node.output], name=node.output, **node.attributes
            )
            for node in self.nodes
        ]
        picture = helper.make_tensor_value_info(
            INPUT, TensorProto.UINT8, [BATCH, self.size, self.size, 3]
        )
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *shape])
            for name, shape in self.outputs.items()
        ]
        constants = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        model = helper.make_model(
            helper.make_graph(nodes, self.name, [picture], outputs, constants),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="posewatch",
        )
        onnx.checker.check_model(model, full_check=True)
        return model
