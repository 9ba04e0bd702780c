"""YOLOX, RTMDet and RTMPose of the true architecture with random weights, as ONNX files.

    python tests/standins.py FOLDER yolox_l rtmpose_l …

The layers, their order and their shapes are those of the papers (YOLOX: arXiv 2107.08430; RTMPose:
arXiv 2303.07399 with CSPNeXt of RTMDet: arXiv 2212.07784), batch normalisation taken into the
convolutions as exporters do; inputs, outputs and their names are those of the published files. What
they see means nothing: their peaks depend on the picture, which is what comparing pipelines needs.
The detector is made to see people: its bias favours them in some cells.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from onnx import TensorProto, helper

from topdown_nets import Graph

_GAIN = 1.6
"""Keeps the spread of values about the same from layer to layer, through SiLU."""

_SMALL = 0.5
"""For what is added to its own input, which would grow otherwise."""

_NEAREST = MappingProxyType(
    {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
)


class _Net(Graph):
    """Layers as PyTorch has them; each gives the name of its output."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = np.random.default_rng(seed)

    def conv(
        self,
        value: str,
        given: int,
        made: int,
        side: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        silu: bool = True,
        gain: float = _GAIN,
        bias: float = 0.0,
    ) -> str:
        fan_in = given // groups * side * side
        shape = (made, given // groups, side, side)
        weights = self._random.standard_normal(shape) * gain / np.sqrt(fan_in)
        half = side // 2
        out = self.add(
            *("Conv", value, self.weight(weights), self.weight(np.full(made, bias))),
            strides=[stride, stride],
            pads=[half, half, half, half],
            group=groups,
        )
        return self.add("Mul", out, self.add("Sigmoid", out)) if silu else out

    def split_conv(
        self,
        value: str,
        given: int,
        made: int,
        side: int,
        *,
        stride: int = 1,
        gain: float = _GAIN,
    ) -> str:
        """A convolution of each channel, and one of 1 by 1."""
        apart = self.conv(value, given, given, side, stride=stride, groups=given)
        return self.conv(apart, given, made, gain=gain)

    def linear(self, value: str, given: int, made: int, gain: float = 1.0) -> str:
        weights = self._random.standard_normal((given, made)) * gain / np.sqrt(given)
        return self.add("MatMul", value, self.weight(weights))

    def join(self, *values: str, axis: int = 1) -> str:
        return self.add("Concat", *values, axis=axis)

    def slice(self, value: str, start: list[int], steps: list[int], axes: list[int]) -> str:
        ends = [np.iinfo(np.int64).max] * len(start)
        bounds = (self.weight(numbers, np.int64) for numbers in (start, ends, axes, steps))
        return self.add("Slice", value, *bounds)

    def pyramid_pool(self, value: str, channels: int) -> str:
        half = self.conv(value, channels, channels // 2)
        pools = (
            self.add("MaxPool", half, kernel_shape=[k, k], pads=[k // 2] * 4) for k in (5, 9, 13)
        )
        return self.conv(self.join(half, *pools), 2 * channels, channels)

    def csp(
        self, value: str, given: int, made: int, count: int, block: _Block, *, attend: bool = False
    ) -> str:
        half = made // 2
        main, short = self.conv(value, given, half), self.conv(value, given, half)
        for _ in range(count):
            main = block(self, main, half)
        both = self.join(main, short)
        if attend:
            weights = self.conv(self.add("GlobalAveragePool", both), made, made, silu=False)
            gate = self.add("HardSigmoid", weights, alpha=1 / 6, beta=0.5)
            both = self.add("Mul", both, gate)
        return self.conv(both, made, made)


@dataclass(frozen=True)
class _Block:
    """YOLOX's bottleneck (1 by 1, then 3 by 3), or CSPNeXt's block (3 by 3, then 5 by 5 apart)."""

    add: bool
    next: bool = False
    apart: bool = False

    def __call__(self, net: _Net, value: str, width: int) -> str:
        if self.next:
            inner = net.split_conv(net.conv(value, width, width, 3), width, width, 5, gain=_SMALL)
        else:
            first = net.conv(value, width, width)
            inner = (
                net.split_conv(first, width, width, 3, gain=_SMALL)
                if self.apart
                else net.conv(first, width, width, 3, gain=_SMALL)
            )
        return net.add("Add", inner, value) if self.add else inner


def yolox(path: Path, depth: float, width: float, size: int, *, apart: bool = False) -> Path:
    """YOLOX (nano has its convolutions `apart`); batch fixed to 1, as published."""
    net = _Net(0)
    c = [int(width * channels) for channels in (64, 128, 256, 512, 1024)]
    n = max(round(depth * 3), 1)

    def conv(value: str, given: int, made: int, stride: int = 1) -> str:
        if apart:
            return net.split_conv(value, given, made, 3, stride=stride)
        return net.conv(value, given, made, 3, stride=stride)

    def csp(value: str, given: int, made: int, count: int, *, add: bool = False) -> str:
        return net.csp(value, given, made, count, _Block(add, apart=apart))

    def up(value: str) -> str:
        region, scales = net.weight([]), net.weight([1, 1, 2, 2])
        return net.add("Resize", value, region, scales, **_NEAREST)

    small = net.add("Mul", "images", net.weight(1 / 255))  # for random weights only
    pixels = [net.slice(small, [i, j], [2, 2], [2, 3]) for j in (0, 1) for i in (0, 1)]
    x = net.conv(net.join(*pixels), 12, c[0], 3)
    x = csp(conv(x, c[0], c[1], 2), c[1], c[1], n, add=True)
    x3 = csp(conv(x, c[1], c[2], 2), c[2], c[2], 3 * n, add=True)
    x4 = csp(conv(x3, c[2], c[3], 2), c[3], c[3], 3 * n, add=True)
    x5 = csp(net.pyramid_pool(conv(x4, c[3], c[4], 2), c[4]), c[4], c[4], n)
    f0 = net.conv(x5, c[4], c[3])
    f1 = csp(net.join(up(f0), x4), 2 * c[3], c[3], n)
    g = net.conv(f1, c[3], c[2])
    o3 = csp(net.join(up(g), x3), 2 * c[2], c[2], n)
    o4 = csp(net.join(conv(o3, c[2], c[2], 2), g), 2 * c[2], c[3], n)
    o5 = csp(net.join(conv(o4, c[3], c[3], 2), f0), 2 * c[3], c[4], n)
    rows = []
    for given, value in zip(c[2:], (o3, o4, o5), strict=True):
        stem = net.conv(value, given, c[2])
        classes = conv(conv(stem, c[2], c[2]), c[2], c[2])
        boxes = conv(conv(stem, c[2], c[2]), c[2], c[2])
        corners = net.conv(boxes, c[2], 4, silu=False, gain=0.3, bias=0.7)
        sure = net.add("Sigmoid", net.conv(boxes, c[2], 1, silu=False, gain=2.0, bias=-3.0))
        kinds = net.add("Sigmoid", net.conv(classes, c[2], 80, silu=False, gain=2.0))
        joined = net.join(corners, sure, kinds)
        rows.append(net.add("Reshape", joined, net.weight([1, 85, -1], np.int64)))
    net.add("Transpose", net.join(*rows, axis=2), output="output", perm=[0, 2, 1])
    total = sum((size // stride) ** 2 for stride in (8, 16, 32))
    return net.save(path, ("images", [1, 3, size, size]), {"output": [1, total, 85]})


def _cspnext(net: _Net, value: str, depth: float, width: float) -> list[tuple[str, int]]:
    """The backbone of RTMDet and RTMPose: each stage's output and its channels."""
    c = [int(width * channels) for channels in (64, 64, 128, 256, 512, 1024)]
    h = c[0] // 2
    x = net.conv(value, 3, h, 3, stride=2)
    x = net.conv(net.conv(x, h, h, 3), h, c[0], 3)
    stages = []
    for stage, count in enumerate((3, 6, 6, 3)):
        given, made, last = c[stage and stage + 1], c[stage + 2], stage == 3
        x = net.conv(x, given, made, 3, stride=2)
        x = net.pyramid_pool(x, made) if last else x
        block = _Block(add=not last, next=True)
        x = net.csp(x, made, made, max(round(count * depth), 1), block, attend=True)
        stages.append((x, made))
    return stages


def rtmdet(path: Path, depth: float, width: float, size: int) -> Path:
    """RTMDet as mmdeploy exports it: with its own suppression, and any number of boxes."""
    net = _Net(2)
    _, (c3, w3), (c4, w4), (c5, w5) = _cspnext(net, "input", depth, width)
    n, out = max(round(3 * depth), 1), w3

    def csp(value: str, given: int, made: int) -> str:
        return net.csp(value, given, made, n, _Block(add=False, next=True))

    def up(value: str) -> str:
        return net.add("Resize", value, net.weight([]), net.weight([1, 1, 2, 2]), **_NEAREST)

    f5 = net.conv(c5, w5, w4)
    f4 = net.conv(csp(net.join(up(f5), c4), 2 * w4, w4), w4, w3)
    p3 = csp(net.join(up(f4), c3), 2 * w3, w3)
    p4 = csp(net.join(net.conv(p3, w3, w3, 3, stride=2), f4), 2 * w3, w4)
    p5 = csp(net.join(net.conv(p4, w4, w4, 3, stride=2), f5), 2 * w4, w5)
    boxes, scores = [], []
    for stride, given, value in ((8, w3, p3), (16, w4, p4), (32, w5, p5)):
        stem = net.conv(value, given, out, 3)
        kinds, sides = (net.conv(net.conv(stem, out, out, 3), out, out, 3) for _ in range(2))
        kinds = net.add("Sigmoid", net.conv(kinds, out, 80, silu=False, gain=3.0, bias=-1.0))
        far = net.conv(sides, out, 4, silu=False, gain=0.3, bias=2.0)
        far = net.add("Mul", net.add("Relu", far), net.weight(float(stride)))
        rows, columns = np.mgrid[: size // stride, : size // stride]
        places = net.weight(np.stack([columns, rows])[None] * stride)
        near, away = (
            net.add("Slice", far, *(net.weight([k], np.int64) for k in (start, start + 2, 1)))
            for start in (0, 2)
        )
        corners = net.join(net.add("Sub", places, near), net.add("Add", places, away))
        boxes.append(net.add("Reshape", corners, net.weight([1, 4, -1], np.int64)))
        scores.append(net.add("Reshape", kinds, net.weight([1, 80, -1], np.int64)))
    all_boxes = net.add("Transpose", net.join(*boxes, axis=2), perm=[0, 2, 1])
    all_scores = net.join(*scores, axis=2)
    limits = net.weight(10, np.int64), net.weight(0.65), net.weight(0.05)
    chosen = net.add("NonMaxSuppression", all_boxes, all_scores, *limits)  # batch, class, box
    at, of = (net.add("Gather", chosen, net.weight(k, np.int64), axis=1) for k in (2, 1))
    corners = net.add("Gather", all_boxes, at, axis=1)
    sure = net.add("Unsqueeze", net.add("GatherND", all_scores, chosen), axes=[0, 2])
    net.add("Concat", corners, sure, output="dets", axis=2)
    net.add("Unsqueeze", of, output="labels", axes=[0])
    made = net.save(path, ("input", [1, 3, size, size]), {"dets": [1, "boxes", 5]})
    model = onnx.load(made)
    labels = helper.make_tensor_value_info("labels", TensorProto.INT64, [1, "boxes"])
    model.graph.output.append(labels)
    onnx.save(model, made)
    return made


def rtmpose(
    path: Path, depth: float, width: float, size: tuple[int, int], keypoints: int = 133
) -> Path:
    """RTMPose with a free batch, as published; `size` is width and height."""
    net = _Net(1)
    hidden, shared = 256, 128
    *_, (x, last) = _cspnext(net, "input", depth, width)
    x = net.conv(x, last, keypoints, 7, silu=False)
    places = size[0] * size[1] // 1024
    x = net.add("Reshape", x, net.weight([0, keypoints, places], np.int64))

    def normal(value: str, length: int) -> str:
        norm = net.add("ReduceL2", value, axes=[2], keepdims=1)
        scaled = net.add("Mul", norm, net.weight(length**-0.5))
        return net.add("Div", value, net.add("Max", scaled, net.weight(1e-5)))

    x = net.linear(normal(x, places), places, hidden)
    e = 2 * hidden
    uv = net.linear(normal(x, hidden), hidden, 2 * e + shared)
    uv = net.add("Mul", uv, net.add("Sigmoid", uv))
    u, v, base = (
        net.add("Slice", uv, *(net.weight([n], np.int64) for n in (start, end, 2)))
        for start, end in ((0, e), (e, 2 * e), (2 * e, 2 * e + shared))
    )
    scale = net.weight(np.linspace(0.5, 1.5, shared))
    query, key = net.add("Mul", base, scale), net.add("Mul", base, net.weight(0.9))
    product = net.add("MatMul", query, net.add("Transpose", key, perm=[0, 2, 1]))
    raw = net.add("Relu", net.add("Div", product, net.weight(shared**0.5)))
    mixed = net.add("MatMul", net.add("Mul", raw, raw), v)
    x = net.add("Add", x, net.linear(net.add("Mul", u, mixed), e, hidden))
    x = normal(x, hidden)  # for random weights only
    for name, length in (("x", size[0]), ("y", size[1])):
        out = net.linear(x, hidden, 2 * length, gain=0.15)
        net.add("Identity", out, output=f"simcc_{name}")
    return net.save(
        path,
        ("input", ["batch", 3, size[1], size[0]]),
        {
            "simcc_x": ["batch", keypoints, 2 * size[0]],
            "simcc_y": ["batch", keypoints, 2 * size[1]],
        },
    )


def build(name: str, folder: Path) -> Path:
    """Write one of the published networks' stand-ins.

    Raises:
        ValueError: there is none of that name.
    """
    path = folder / f"{name}.onnx"
    family, _, variant = name.partition("_")
    scales = {"nano": (0.33, 0.25), "tiny": (0.33, 0.375), "s": (0.33, 0.5), "m": (0.67, 0.75)}
    scales |= {"l": (1.0, 1.0), "x": (1.33, 1.25)}
    if family == "yolox" and variant in scales:
        size = 416 if variant in {"nano", "tiny"} else 640
        return yolox(path, *scales[variant], size, apart=variant == "nano")
    sizes = {"t": (0.167, 0.375), "s": (0.33, 0.5), "m": (0.67, 0.75), "l": (1.0, 1.0)}
    sizes |= {"x": (1.33, 1.25)}
    if family == "rtmdet" and variant in {"nano", *sizes}:
        return rtmdet(path, *{**sizes, "nano": (0.33, 0.25)}[variant], 640)
    if family == "rtmpose" and variant in sizes:
        return rtmpose(path, *sizes[variant], (288, 384) if variant in {"l", "x"} else (192, 256))
    raise ValueError(f"there is no stand-in for {name}")


if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        print(build(wanted, Path(sys.argv[1])))  # noqa: T201 -- a script
