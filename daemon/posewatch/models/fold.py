"""Rewrites published top-down networks so that they take bytes and give what is wanted of them.

A published detector takes float pictures and answers with 8,400 rows of 85 numbers; a published
pose network with two rows of hundreds of scores for each keypoint. What lies between that and a
video is done inside of the graph here, where it is computed on the device that runs the network,
and little has to be carried to it and back:

* the input becomes `input`, uint8 RGB `(N, height, width, 3)`, whatever order of channels and
  range the network was trained with;
* a detector's output becomes `people`, `(N, most, 5)`: left, top, right, bottom in input pixels
  and score of the boxes that are most surely people, best first;
* a pose network's output becomes `keypoints`, `(N, keypoints, 3)`: x and y in input pixels, score.

Published files often have a batch axis of fixed length. `loosen` frees it; whether that was right
is found out by `models.verify_fold`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from posewatch.base.errors import ModelError
from posewatch.models.borders import widen_first
from posewatch.models.cards import DetectorNetwork, SimccDecode, YoloxDecode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

    from posewatch.models.cards import DetectionsDecode, Picture, PoseNetwork

MOST = 1000
"""Boxes of one picture that leave the graph. One person lights up a few dozen cells."""

_INTEGER = frozenset(
    {"QuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}
    | {"DynamicQuantizeLinear"}
)
"""Operators of networks that compute in small integers."""
_HALF = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})
_OLDEST_OPSET = 11
_FREE_WEIGHTS = 4
"""The version of ONNX's file format since which weights need not be listed as inputs."""
_BATCH = "N"
_PICTURE = "posewatch/picture"


def fold(data: bytes, network: DetectorNetwork | PoseNetwork, *, loosen: bool) -> bytes:
    """Rewrite a published network.

    Args:
        data: the ONNX file.
        network: its card.
        loosen: make a batch axis of fixed length free.

    Returns:
        The rewritten file. The same for the same input, to the byte.

    Raises:
        ModelError: it is no ONNX file, or not the kind of network that the card says.
    """
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # whatever protobuf stumbles over
        raise ModelError(f"{network.member} is no ONNX file: {error}", hint=_HINT) from error
    opset = max(
        (it.version for it in model.opset_import if it.domain in {"", "ai.onnx"}), default=0
    )
    if opset < _OLDEST_OPSET:
        raise ModelError(
            f"{network.member} is of opset {opset}; {_OLDEST_OPSET} is the oldest that is read"
        )
    graph = model.graph
    if len(_inputs(graph)) != 1:
        raise ModelError(f"{network.member} has not one input but {len(_inputs(graph))}")
    if loosen:
        _free_the_batch(graph)
    widen_first(graph)
    outputs = [output.name for output in graph.output]
    after = _Nodes("after")
    if isinstance(network, DetectorNetwork):
        if isinstance(network.decode, YoloxDecode):
            _wants(network, outputs, 1)
            result = after.yolox_people(outputs[0], network.input, network.decode)
            most = min(MOST, len(_cells(network.input, network.decode)))
        else:
            _wants(network, outputs, 2)
            result = after.detected_people(outputs[0], outputs[1], network.decode)
            most = network.decode.most
        name, shape = "people", [most, 5]
    else:
        _wants(network, outputs, 2)
        result = after.keypoints(outputs[0], outputs[1], network.decode)
        name, shape = "keypoints", [network.keypoints, 3]
    after.add("Identity", [result], output=name)
    _replace_ends(graph, network.input, after, name, shape)
    model.ir_version = max(model.ir_version, _FREE_WEIGHTS)
    made: bytes = model.SerializeToString(deterministic=True)
    return made


def reduced(data: bytes) -> str:
    """In what a network computes, if not in float32: `int8`, `fp16`; else empty.

    Args:
        data: an ONNX file.
    """
    graph = onnx.load_from_string(data).graph
    if any(node.op_type in _INTEGER for node in graph.node):
        return "int8"
    return "fp16" if any(weight.data_type in _HALF for weight in graph.initializer) else ""


_HINT = "Download it again; if that does not help, its server has another file."


def _wants(network: DetectorNetwork | PoseNetwork, outputs: list[str], count: int) -> None:
    if len(outputs) < count:
        raise ModelError(
            f"{network.member} has the outputs {outputs}; {network.decode.kind} needs {count}"
        )


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The true inputs: old files list their weights as well."""
    weights = {weight.name for weight in graph.initializer}
    return [given for given in graph.input if given.name not in weights]


def _free_the_batch(graph: onnx.GraphProto) -> None:
    """Make the first axis free, and let reshapes to a fixed batch keep whatever batch there is."""
    first = _inputs(graph)[0].type.tensor_type.shape.dim[0]
    fixed = first.dim_value
    if not fixed:
        return
    for end in (*_inputs(graph), *graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = _BATCH
    del graph.value_info[:]
    weights = {weight.name: weight for weight in graph.initializer}
    made = {
        node.output[0]: node.attribute[0].t
        for node in graph.node
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }
    for node in graph.node:
        if node.op_type != "Reshape":
            continue
        shape = weights.get(node.input[1]) or made.get(node.input[1])
        if shape is None:
            continue
        wanted = numpy_helper.to_array(shape)
        if len(wanted) > 1 and wanted[0] == fixed:
            freed = wanted.copy()
            freed[0] = 0  # "copied from the input"
            shape.CopyFrom(numpy_helper.from_array(freed, shape.name))


def _replace_ends(
    graph: onnx.GraphProto, picture: Picture, after: _Nodes, output: str, shape: list[int]
) -> None:
    given = _inputs(graph)[0]
    first = given.type.tensor_type.shape.dim[0]
    batch: int | str = first.dim_value or first.dim_param or _BATCH
    # Published networks may call theirs `input` as well.
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == given.name:
                node.input[place] = _PICTURE
    before = _Nodes("before")
    before.picture(_PICTURE, picture)
    for node in reversed(before.nodes):
        graph.node.insert(0, node)
    graph.node.extend(after.nodes)
    graph.initializer.extend([*before.constants, *after.constants])
    graph.input.remove(given)
    pixels = [batch, picture.height, picture.width, 3]
    graph.input.insert(0, helper.make_tensor_value_info("input", TensorProto.UINT8, pixels))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, [batch, *shape]))


def _cells(picture: Picture, decode: YoloxDecode) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Column, row and stride of each cell, in the order of YOLOX's rows: (cells, 3)."""
    grids = []
    for stride in decode.strides:
        rows, columns = np.mgrid[: picture.height // stride, : picture.width // stride]
        sides = np.full_like(rows, stride)
        grids.append(np.stack([columns, rows, sides], axis=-1).reshape(-1, 3))
    return np.concatenate(grids).astype(np.float32)


@dataclass
class _Nodes:
    """Nodes and constants that are added to a graph, in forms that hold for all opsets since 11.

    Attributes:
        place: part of their names.
        nodes: in the order in which they are computed.
        constants: what they need.
    """

    place: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def add(
        self,
        kind: str,
        inputs: Iterable[str],
        *,
        output: str = "",
        **attributes: Any,  # noqa: ANN401 -- as onnx has them
    ) -> str:
        """Add a node; gives the name of its first output."""
        name = output or self._name(kind)
        outputs = [name, f"{name}/at"] if kind == "TopK" else [name]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, name=name, **attributes))
        return name

    def constant(self, value: ArrayLike, kind: type[np.generic]) -> str:
        """Add a constant; gives its name."""
        name = self._name("Constant")
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def _name(self, kind: str) -> str:
        number = len(self.nodes) + len(self.constants)
        return f"posewatch/{self.place}/{kind}/{number}"

    def slice(self, value: str, start: int, end: int) -> str:
        """`value[:, :, start:end]`."""
        bounds = [self.constant([bound], np.int64) for bound in (start, end, 2)]
        return self.add("Slice", [value, *bounds])

    def picture(self, target: str, picture: Picture) -> None:
        """From bytes in RGB, rows first, to what the network was trained to see."""
        value = "input"
        value = self.add("Transpose", [value], perm=[0, 3, 1, 2])
        if picture.channels == "BGR":  # whole planes now, not pixel by pixel
            value = self.add("Gather", [value, self.constant([2, 1, 0], np.int64)], axis=1)
        value = self.add("Cast", [value], to=TensorProto.FLOAT)
        for kind, numbers, neutral in (("Sub", picture.mean, 0.0), ("Div", picture.std, 1.0)):
            if any(number != neutral for number in numbers):
                constant = self.constant(np.reshape(numbers, (1, 3, 1, 1)), np.float32)
                value = self.add(kind, [value, constant])
        self.add("Identity", [value], output=target)

    def best(self, score: str, boxes: str, most: int) -> tuple[str, str, str]:
        """The best rows. Scores (N, most, 1), boxes (N, most, 4), places (N, most)."""
        best = self.add("TopK", [score, self.constant([most], np.int64)], axis=1)
        places = f"{best}/at"
        columns = self.add("Concat", [places] * 4, axis=2)
        chosen = self.add("GatherElements", [boxes, columns], axis=1)
        flat = self.add("Gather", [places, self.constant(0, np.int64)], axis=2)
        return best, chosen, flat

    def yolox_people(self, output: str, picture: Picture, decode: YoloxDecode) -> str:
        """YOLOX (Ge et al. 2021, arXiv 2107.08430), the formulas of its demo; people only."""
        cells = _cells(picture, decode)
        most = min(MOST, len(cells))
        column = 5 + decode.person
        score = self.add("Mul", [self.slice(output, 4, 5), self.slice(output, column, column + 1)])
        score, rows, places = self.best(score, self.slice(output, 0, 4), most)
        cell = self.add("Gather", [self.constant(cells[:, :2], np.float32), places], axis=0)
        side = self.add("Gather", [self.constant(cells[:, 2:], np.float32), places], axis=0)
        centre = self.add("Mul", [self.add("Add", [self.slice(rows, 0, 2), cell]), side])
        size = self.add("Mul", [self.add("Exp", [self.slice(rows, 2, 4)]), side])
        half = self.add("Div", [size, self.constant(2.0, np.float32)])
        corners = [self.add(kind, [centre, half]) for kind in ("Sub", "Add")]
        return self.add("Concat", [*corners, score], axis=2)

    def detected_people(self, boxes: str, classes: str, decode: DetectionsDecode) -> str:
        """What does its own suppression gives any number of boxes, of any class."""
        person = self.constant(decode.person, np.int64)
        is_person = self.add("Equal", [self.add("Cast", [classes], to=TensorProto.INT64), person])
        # (N, boxes) to (N, boxes, 1): a Reshape in which 0 keeps an axis
        shape = self.constant([0, -1, 1], np.int64)
        sure = self.add("Reshape", [self.add("Cast", [is_person], to=TensorProto.FLOAT), shape])
        score = self.add("Mul", [self.slice(boxes, 4, 5), sure])
        # empty rows, so that there are always enough
        more = self.constant([0, 0, 0, 0, decode.most, 0], np.int64)
        score = self.add("Pad", [score, more])
        corners = self.add("Pad", [self.slice(boxes, 0, 4), more])
        score, corners, _ = self.best(score, corners, decode.most)
        return self.add("Concat", [corners, score], axis=2)

    def keypoints(self, along_x: str, along_y: str, decode: SimccDecode) -> str:
        """SimCC (Li et al. 2022, arXiv 2107.03332): where each row is highest, the first of equals.

        The score is the smaller of both maxima.
        """
        one = self.constant([1], np.int64)
        x, y = (self.add("TopK", [rows, one], axis=2) for rows in (along_x, along_y))
        places = self.add("Concat", [f"{x}/at", f"{y}/at"], axis=2)
        split = self.constant(decode.split, np.float32)
        pixels = self.add("Div", [self.add("Cast", [places], to=TensorProto.FLOAT), split])
        return self.add("Concat", [pixels, self.add("Min", [x, y])], axis=2)
