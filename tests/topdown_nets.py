"""Small published-looking networks whose right answer is known by construction, and their card.

The detector sees a person in each cell of 32 by 32 pixels that is all red, and a chair in each
that is all blue. The pose network finds each keypoint where the crop is brightest in one channel.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from posewatch.models.cards import Component, TopDownCard, card

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import ArrayLike

CLASSES = 80
CHAIR = 56
BOX = (40.0, 72.0)
"""Width and height of each box, in pixels of the detector's input."""
STRIDES = (8, 16, 32)


class Graph:
    """A graph that grows node by node."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def weight(self, value: ArrayLike, kind: type[np.generic] = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: object) -> str:
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def save(
        self,
        path: Path,
        inputs: tuple[str, list[int | str]],
        outputs: dict[str, list[int | str]],
        opset: int = 11,
    ) -> Path:
        ends = {
            name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in {inputs[0]: inputs[1], **outputs}.items()
        }
        graph = helper.make_graph(
            self.nodes, "toy", [ends[inputs[0]]], [ends[name] for name in outputs], self.weights
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 7
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


def yolox(path: Path, width: int = 128, height: int = 96, batch: int | str = 1) -> Path:
    """A detector of BGR pictures with YOLOX's raw output, (batch, cells, 85).

    Only the grid of stride 32 finds anything. A batch of fixed length is in its reshapes as well,
    as PyTorch's export writes it.
    """
    graph = Graph()
    parts = []
    for stride in STRIDES:
        weights = np.zeros((5 + CLASSES, 3, stride, stride))
        bias = np.zeros(5 + CLASSES)
        bias[:4] = 0.5, 0.5, np.log(BOX[0] / stride), np.log(BOX[1] / stride)
        if stride == STRIDES[-1]:
            part = 1 / (255 * stride**2)
            weights[4] += np.reshape([part, -2 * part, part], (3, 1, 1))  # red or blue
            weights[5] += np.reshape([-part, -part, part], (3, 1, 1))  # red, which is last
            weights[5 + CHAIR] += np.reshape([part, -part, -part], (3, 1, 1))
        cells = graph.add(
            "Conv", "images", graph.weight(weights), graph.weight(bias), strides=[stride, stride]
        )
        count = (width // stride) * (height // stride)
        first = batch if isinstance(batch, int) else 0
        shape = graph.weight([first, 5 + CLASSES, count], np.int64)
        parts.append(graph.add("Reshape", cells, shape))
    rows = graph.add("Concat", *parts, axis=2)
    graph.add("Transpose", rows, output="output", perm=[0, 2, 1])
    total = sum((width // stride) * (height // stride) for stride in STRIDES)
    return graph.save(
        path,
        ("images", [batch, 3, height, width]),
        {"output": [batch, total, 5 + CLASSES]},
    )


def stubborn(path: Path, batch: int = 2) -> Path:
    """As `yolox`, but with its batch in a place where nothing can be changed."""
    yolox(path, batch=batch)
    model = onnx.load(path)
    rows = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    model.graph.node[-1].output[0] = "free"
    zeros = np.zeros((batch, rows, 5 + CLASSES), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(zeros, "zeros"))
    model.graph.node.append(helper.make_node("Concat", ["free", "zeros"], ["both"], axis=2))
    places = numpy_helper.from_array(np.arange(5 + CLASSES), "places")
    model.graph.initializer.append(places)
    model.graph.node.append(helper.make_node("Gather", ["both", "places"], ["output"], axis=2))
    onnx.save(model, path)
    return path


def detections(path: Path, width: int = 128, height: int = 96) -> Path:
    """A detector with its own suppression: a person, a chair and a weaker person, whatever it sees.

    As mmdeploy's export, it has boxes and classes, and one picture at a time.
    """
    graph = Graph()
    rows = [[10, 20, 50, 90, 0.9], [0, 0, 60, 60, 0.8], [70, 20, 110, 90, 0.6]]
    nothing = graph.add("Mul", "images", graph.weight(0.0))
    one = graph.add("ReduceMax", nothing, axes=[1, 2], keepdims=0)
    one = graph.add("ReduceMax", one, axes=[1], keepdims=1)
    one = graph.add("Reshape", one, graph.weight([-1, 1, 1], np.int64))
    graph.add("Add", graph.weight([rows]), one, output="dets")
    graph.add("Identity", graph.weight([[0, CHAIR, 0]], np.int64), output="labels")
    path = graph.save(path, ("images", ["batch", 3, height, width]), {"dets": ["batch", 3, 5]})
    model = onnx.load(path)
    labels = helper.make_tensor_value_info("labels", TensorProto.INT64, ["batch", 3])
    model.graph.output.append(labels)
    onnx.save(model, path)
    return path


def simcc(
    path: Path,
    width: int = 48,
    height: int = 64,
    *,
    keypoints: int = 133,
    batch: int | str = "batch",
    split: int = 2,
) -> Path:
    """A pose network: keypoint k is where channel k % 3 (of RGB) is brightest, along each axis.

    Its scores are that brightness, 0 to 1.
    """
    mean, std = (np.array(numbers) for numbers in NORMAL)
    graph = Graph()
    channel = np.arange(keypoints) % 3
    weights = np.zeros((keypoints, 3, 1, 1))
    weights[np.arange(keypoints), channel, 0, 0] = std[channel] / 255
    bright = graph.add("Conv", "input", graph.weight(weights), graph.weight(mean[channel] / 255))
    first = batch if isinstance(batch, int) else 0
    for name, window, length in (("x", (height, 1), width), ("y", (1, width), height)):
        highest = graph.add("MaxPool", bright, kernel_shape=list(window))
        shape = graph.weight([first, keypoints, length], np.int64)
        rows = graph.add("Reshape", highest, shape)
        spread = np.zeros((length, length * split))
        for offset in range(split):  # the first of its places is the highest
            spread[np.arange(length), np.arange(length) * split + offset] = 1 - offset / split
        graph.add("MatMul", rows, graph.weight(spread), output=f"simcc_{name}")
    return graph.save(
        path,
        ("input", [batch, 3, height, width]),
        {
            "simcc_x": [batch, keypoints, width * split],
            "simcc_y": [batch, keypoints, height * split],
        },
    )


NORMAL = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""Mean and standard deviation of RGB."""


def card_of(detector: Path, pose: Path, **update: object) -> TopDownCard:
    """A card like that of DWPose for these two files."""
    whole = card("dwpose")
    assert isinstance(whole, TopDownCard)
    networks = []
    for network, path in zip(whole.networks, (detector, pose), strict=True):
        graph = onnx.load(path).graph
        *_, height, width = (dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim)
        picture = network.input.model_copy(update={"width": width, "height": height})
        data = path.read_bytes()
        networks.append(
            network.model_copy(
                update={
                    "member": path.name,
                    "size": len(data),
                    "sha256": hashlib.sha256(data).hexdigest(),
                    "input": picture,
                }
            )
        )
    if update.get("keypoint_order") == "network":
        update.setdefault("components", (Component(name="all", count=133, names=()),))
    return whole.model_copy(update={"networks": tuple(networks), **update})
