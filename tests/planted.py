"""Networks with all layers of the published ones and an answer that is known, and what they see.

A stand-in (`standins`) means nothing by what it finds. Here its output is made nearly nothing and
that of a few more nodes is added, which find a figure that `film` draws: all layers are computed,
so it takes as long as the published network, and how far each frame is from the truth is known.

The figure is a magenta rectangle that goes to and fro. The detector answers with the rectangle
whose area has the same middle and spread as what is magenta. Five coloured dots, two of them hands
that circle, are its keypoints: number k of the pose network is the dot k % 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
import onnx
from onnx import compose

import standins
from topdown_nets import NORMAL, Graph

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = (1920, 1080)
FPS = 25
DOTS = 5

_MAGENTA = np.array([200, 0, 200], np.float32)
_COLOURS = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255]], np.float32
)
_SEEN = np.array(
    [[1, -1, -1], [-1, 1, -1], [-1, -1, 1], [0.5, 0.5, -1], [-1, 0.5, 0.5]], np.float32
)
"""How much each colour of a pixel speaks for each dot: 255 for its own, half of it or less for the
others, nothing for grey and magenta."""
_RADIUS = 24.0
_HUSH = 1e-6


def film(path: Path, frames: int, size: tuple[int, int] = SIZE) -> NDArray[np.float64]:
    """Draw the figure into a video.

    Returns:
        (frames, 5, 2): the true x and y of each dot in pixels.
    """
    width, height = size
    noise = np.random.default_rng(0).integers(60, 120, (27, 48, 1)).astype(np.float32)
    ground = np.repeat(cv2.resize(noise, size)[..., None], 3, axis=2)
    truth = np.array([_dots(number / FPS, size) for number in range(frames)])
    radius = _RADIUS * height / SIZE[1]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, dots in enumerate(truth):
            picture = ground.copy()
            left, top, right, bottom = body(number / FPS, size).round().astype(int)
            picture[top:bottom, left:right] = _MAGENTA
            for (x, y), colour in zip(dots, _COLOURS, strict=True):
                # A cone, whose only highest place is its middle.
                rows, columns = (
                    slice(max(0, int(at - radius)), int(at + radius) + 2) for at in (y, x)
                )
                down, right = np.ogrid[rows, columns]
                place = picture[rows, columns]
                near = np.hypot(right - x, down - y)[: len(place), : place.shape[1], None] / radius
                place += np.maximum(0, 1 - near) * (colour - place)
            image = picture.round().astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return truth


def body(time: float, size: tuple[int, int]) -> NDArray[np.float64]:
    """Left, top, right, bottom of the rectangle."""
    width, height = size
    x = width * (0.5 + 0.16 * np.sin(2 * np.pi * time / 4))
    y = height * (0.55 + 0.01 * np.sin(2 * np.pi * time))
    half = np.array([0.13, 0.36]) * height
    return np.array([x - half[0], y - half[1], x + half[0], y + half[1]])


def _dots(time: float, size: tuple[int, int]) -> NDArray[np.float64]:
    """Head, two hands, two feet."""
    left, top, right, bottom = body(time, size)
    wide, high = right - left, bottom - top
    turn = 2 * np.pi * time / 0.8
    return np.array(
        [
            [left + wide / 2, top + 0.08 * high],
            [left + wide * (0.25 + 0.2 * np.cos(turn)), top + high * (0.4 + 0.15 * np.sin(turn))],
            [right - wide * (0.25 + 0.2 * np.sin(turn)), top + high * (0.4 + 0.2 * np.cos(turn))],
            [left + 0.1 * wide, bottom - 0.05 * high],
            [right - 0.1 * wide, bottom - 0.05 * high],
        ]
    )


def build(detector: str, pose: str, folder: Path) -> tuple[Path, Path]:
    """Write a detector and a pose network with the layers of these stand-ins, and known answers.

    Args:
        detector: as `standins.build` calls it, such as `yolox_l`.
        pose: such as `rtmpose_l`.
        folder: where to.

    Returns:
        Their files, as published ones look.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = (folder / f"planted-{detector}.onnx", folder / f"planted-{pose}.onnx")
    for name, path in zip((detector, pose), files, strict=True):
        if not path.exists():
            plain = standins.build(name, folder)
            part = path.with_suffix(".part")
            onnx.save(_planted(onnx.load(plain)), part)
            part.rename(path)
            plain.unlink()
    return files


class _Answer(Graph):
    """Nodes that are added to a network, and the names of what is added to its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: tuple[str, ...] = ()


def _planted(model: onnx.ModelProto) -> onnx.ModelProto:
    model = compose.add_prefix(model, "layers/", rename_inputs=False, rename_outputs=False)
    graph = model.graph
    (picture,), ends = graph.input, list(graph.output)
    answer = (_people if len(ends) == 1 else _keypoints)(_shape(picture), _shape(ends[0]))
    hush = answer.weight(_HUSH)
    for end, known in zip(ends, answer.outputs, strict=True):
        inner = f"layers/{end.name}"
        for node in graph.node:
            node.output[:] = [inner if out == end.name else out for out in node.output]
        answer.add("Add", answer.add("Mul", inner, hush), known, output=end.name)
    graph.node.extend(answer.nodes)
    graph.initializer.extend(answer.weights)
    onnx.checker.check_model(model)
    return model


def _shape(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _people(picture: list[int], output: list[int]) -> _Answer:
    """Row 0 of YOLOX's output, a cell of 8 px: the rectangle."""
    net = _Answer()
    one = net.weight(1.0)
    weights = np.reshape([0.5, -1.0, 0.5], (1, 3, 1, 1)) / 60  # BGR
    magenta = net.add("Conv", "images", net.weight(weights), net.weight([-2.0]))
    magenta = net.add("Clip", magenta, net.weight(0.0), one)
    area = net.add("ReduceSum", magenta, axes=[2, 3], keepdims=0)  # (N, 1)
    some = net.add("Max", area, one)
    middles, sides = [], []
    for summed, left in ((2, 3), (3, 2)):
        length = picture[left]
        sums = net.add("ReduceSum", magenta, axes=[summed], keepdims=0)
        line = net.add("Reshape", sums, net.weight([0, length], np.int64))
        places = np.arange(length)[:, None] + 0.5
        mean, square = (
            net.add("Div", net.add("MatMul", line, net.weight(places**power)), some)
            for power in (1, 2)
        )
        variance = net.add("Sub", square, net.add("Mul", mean, mean))
        # that of a rectangle is the square of its side, over 12
        side = net.add("Sqrt", net.add("Mul", net.add("Max", variance, one), net.weight(12.0)))
        middles.append(net.add("Mul", mean, net.weight(1 / 8)))
        sides.append(net.add("Log", net.add("Mul", side, net.weight(1 / 8))))
    sure = net.add("Min", net.add("Mul", area, net.weight(1 / 500)), one)
    row = net.add("Concat", *middles, *sides, sure, sure, axis=1)  # object, and person
    row = net.add("Reshape", row, net.weight([0, 1, 6], np.int64))
    _, cells, columns = output
    net.outputs = (net.add("Pad", row, net.weight([0, 0, 0, 0, cells - 1, columns - 6], np.int64)),)
    return net


def _keypoints(picture: list[int], output: list[int]) -> _Answer:
    """Where each dot's colour is strongest along both axes."""
    _, _, height, width = picture
    mean, std = (np.array(numbers) for numbers in NORMAL)
    net = _Answer()
    weights = (_SEEN * std / 255)[..., None, None]
    seen = net.add("Conv", "input", net.weight(weights), net.weight(_SEEN @ mean / 255))
    numbers = net.weight(np.arange(output[1]) % DOTS, np.int64)
    outputs = []
    for axis, length in ((2, width), (3, height)):
        line = net.add("ReduceMax", seen, axes=[axis], keepdims=0)  # (N, 5, length)
        spread = np.zeros((length, 2 * length))  # between two pixels lies their mean
        at = np.arange(length)
        spread[at, 2 * at] = 1
        spread[at, 2 * at + 1] = 0.5
        spread[at[1:], 2 * at[1:] - 1] = 0.5
        wide = net.add("MatMul", line, net.weight(spread))
        outputs.append(net.add("Gather", wide, numbers, axis=1))
    net.outputs = tuple(outputs)
    return net
