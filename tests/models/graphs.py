"""Small TFLite graphs made by hand, and what they compute, written down plainly in numpy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from posewatch.models.cards import Input, Output, TfliteNetwork
from posewatch.models.tflite_reader import Graph, Operator, Option, Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from posewatch.models.graph import Net

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class Builder:
    """Builds a graph that starts with one square picture, tensor 0. Weights are random."""

    size: int = 8
    low: float = 0.0
    seed: int = 0
    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.tensors.append(Tensor("picture", (1, self.size, self.size, 3)))

    def constant(self, value: NDArray[Any]) -> int:
        if value.dtype == np.float64:
            value = value.astype(np.float32)
        self.tensors.append(Tensor(f"c{len(self.tensors)}", value.shape, value))
        return len(self.tensors) - 1

    def noise(self, *shape: int) -> NDArray[np.float32]:
        return self.random.normal(size=shape).astype(np.float32)

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.tensors[tensor].shape

    def apply(self, kind: str, inputs: Sequence[int], **options: Option) -> int:
        """Add an operator; the shape of what it makes is that of what it computes."""
        self.tensors.append(Tensor(f"t{len(self.tensors)}", ()))
        made = len(self.tensors) - 1
        operator = Operator(kind, tuple(inputs), made, options)
        values = {
            tensor: np.zeros(self.shape(tensor), np.float32)
            for tensor in inputs
            if self.tensors[tensor].data is None
        }
        shape = compute(operator, self.tensors, values).shape
        self.tensors[made] = Tensor(f"t{made}", shape)
        self.operators.append(operator)
        return made

    def conv(
        self,
        source: int,
        channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        padding: str = "SAME",
        activation: str = "NONE",
        weights: Array | None = None,
        bias: Array | None = None,
    ) -> int:
        read = self.shape(source)[3]
        if weights is None:
            weights = self.noise(channels, kernel, kernel, read) / np.sqrt(kernel * kernel * read)
        bias = self.noise(channels) if bias is None else bias
        inputs = [source, self.constant(weights), self.constant(bias)]
        return self.apply("CONV_2D", inputs, **_conv_options(stride, padding, activation))

    def depthwise(
        self,
        source: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        padding: str = "SAME",
        activation: str = "NONE",
        weights: Array | None = None,
        bias: Array | None = None,
    ) -> int:
        channels = self.shape(source)[3]
        weights = self.noise(1, kernel, kernel, channels) / kernel if weights is None else weights
        bias = self.noise(channels) if bias is None else bias
        inputs = [source, self.constant(weights), self.constant(bias)]
        return self.apply("DEPTHWISE_CONV_2D", inputs, **_conv_options(stride, padding, activation))

    def prelu(self, source: int, slopes: Array) -> int:
        return self.apply("PRELU", [source, self.constant(slopes.reshape(1, 1, -1))])

    def add(self, first: int, second: int, activation: str = "NONE") -> int:
        return self.apply("ADD", [first, second], FusedActivationFunction=activation)

    def pad(
        self,
        source: int,
        rows: tuple[int, int],
        columns: tuple[int, int],
        channels: tuple[int, int] = (0, 0),
    ) -> int:
        amounts = np.array([(0, 0), rows, columns, channels], np.int32)
        return self.apply("PAD", [source, self.constant(amounts)])

    def max_pool(self, source: int, kernel: int = 2, stride: int = 2, padding: str = "SAME") -> int:
        return self.apply(
            "MAX_POOL_2D",
            [source],
            FilterHeight=kernel,
            FilterWidth=kernel,
            StrideH=stride,
            StrideW=stride,
            Padding=padding,
            FusedActivationFunction="NONE",
        )

    def resize(self, source: int) -> int:
        size = self.constant(np.array([2 * side for side in self.shape(source)[1:3]], np.int32))
        return self.apply(
            "RESIZE_BILINEAR", [source, size], AlignCorners=False, HalfPixelCenters=True
        )

    def slice(self, source: int, begins: Sequence[int], ends: Sequence[int]) -> int:
        steps = np.ones(len(begins), np.int32)
        inputs = [
            source,
            *(self.constant(np.array(values, np.int32)) for values in (begins, ends, steps)),
        ]
        return self.apply("STRIDED_SLICE", inputs, BeginMask=0, EndMask=0)

    def graph(self, *outputs: int) -> Graph:
        return Graph(tuple(self.tensors), tuple(self.operators), (0,), outputs)

    def network(self, *outputs: int) -> TfliteNetwork:
        """The card's entry for this graph."""
        return TfliteNetwork(
            name="hand-made",
            member="hand-made.tflite",
            sha256="0" * 64,
            size=1,
            input=Input(size=self.size, low=self.low, high=1.0, border="zero"),
            outputs=tuple(
                Output(
                    name=f"out{place}",
                    tensor=self.tensors[tensor].name,
                    shape=self.shape(tensor)[1:],
                    meaning="",
                    tolerance=1e-4,
                    probe=(),
                )
                for place, tensor in enumerate(outputs)
            ),
        )

    def expected(self, pictures: NDArray[np.uint8], *outputs: int) -> list[Array]:
        """What the graph gives for `(n, size, size, 3)` bytes."""
        scale = np.float32((1.0 - self.low) / 255)
        values: dict[int, Array] = {0: pictures.astype(np.float32) * scale + np.float32(self.low)}
        for operator in self.operators:
            values[operator.output] = compute(operator, self.tensors, values)
        return [values[tensor] for tensor in outputs]


def pictures(size: int, count: int = 2) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3), np.uint8)


def run(net: Net, batch: NDArray[np.uint8]) -> list[Array]:
    """What onnxruntime makes of a net."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = net.to_onnx().SerializeToString()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": batch})


def _conv_options(stride: int, padding: str, activation: str) -> dict[str, Option]:
    return {
        "StrideH": stride,
        "StrideW": stride,
        "DilationHFactor": 1,
        "DilationWFactor": 1,
        "Padding": padding,
        "FusedActivationFunction": activation,
    }


def _windows(value: Array, kernel: Sequence[int], options: dict[str, Any], fill: float) -> Array:
    """What each output pixel looks at: `(n, rows, columns, kernel rows, kernel columns, c)`."""
    strides = (options["StrideH"], options["StrideW"])
    pads = []
    for side, reach, stride in zip(value.shape[1:3], kernel, strides, strict=True):
        missing = 0
        if options["Padding"] == "SAME":
            missing = max((-(-side // stride) - 1) * stride + reach - side, 0)
        pads.append((missing // 2, missing - missing // 2))
    padded = np.pad(value, ((0, 0), *pads, (0, 0)), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, tuple(kernel), axis=(1, 2))
    return windows[:, :: strides[0], :: strides[1]].transpose(0, 1, 2, 4, 5, 3)


def _activated(value: Array, options: dict[str, Any]) -> Array:
    kind = options.get("FusedActivationFunction", "NONE")
    limits = {"NONE": (-np.inf, np.inf), "RELU": (0, np.inf), "RELU6": (0, 6)}[kind]
    return np.clip(value, *limits)


def _enlarged(value: Array, axis: int) -> Array:
    """Twice as many pixels along an axis; the middles of pixels are at halves, edges repeat."""
    side = value.shape[axis]
    place = np.clip((np.arange(2 * side) + 0.5) / 2 - 0.5, 0, side - 1)
    first = np.floor(place).astype(int)
    second = np.minimum(first + 1, side - 1)
    part = (place - first).reshape([-1 if a == axis else 1 for a in range(value.ndim)])
    return value.take(first, axis) * (1 - part) + value.take(second, axis) * part


def compute(operator: Operator, tensors: Sequence[Tensor], values: dict[int, Array]) -> Array:  # noqa: C901, PLR0911, PLR0912 - a table of operators
    """What one operator makes, as the TFLite documentation describes it."""
    inputs: list[Array] = [
        values[tensor] if tensors[tensor].data is None else tensors[tensor].data
        for tensor in operator.inputs
    ]
    options = dict(operator.options)
    value = inputs[0]
    match operator.kind:
        case "ADD":
            return _activated(value + inputs[1], options)
        case "CONCATENATION":
            return np.concatenate(inputs, options["Axis"])
        case "CONV_2D":
            windows = _windows(value, inputs[1].shape[1:3], options, 0)
            return _activated(
                np.einsum("nhwijc,oijc->nhwo", windows, inputs[1]) + inputs[2], options
            )
        case "DEPTHWISE_CONV_2D":
            windows = _windows(value, inputs[1].shape[1:3], options, 0)
            made = np.einsum("nhwijc,ijc->nhwc", windows, inputs[1][0]) + inputs[2]
            return _activated(made, options)
        case "DEPTH_TO_SPACE":
            block = options["BlockSize"]
            count, rows, columns, channels = value.shape
            split = value.reshape(count, rows, columns, block, block, channels // block**2)
            return split.transpose(0, 1, 3, 2, 4, 5).reshape(
                count, rows * block, columns * block, -1
            )
        case "FULLY_CONNECTED":
            return _activated(value @ inputs[1].T + inputs[2], options)
        case "LOGISTIC":
            return 1 / (1 + np.exp(-value))
        case "MAX_POOL_2D":
            kernel = (options["FilterHeight"], options["FilterWidth"])
            return _windows(value, kernel, options, -np.inf).max(axis=(3, 4))
        case "MEAN":
            return value.mean(tuple(inputs[1].tolist()), keepdims=options["KeepDims"])
        case "PAD":
            return np.pad(value, inputs[1])
        case "PRELU":
            return np.where(value < 0, value * inputs[1], value)
        case "RELU":
            return np.maximum(value, 0)
        case "RESHAPE":
            return value.reshape(len(value), *inputs[1][1:])
        case "RESIZE_BILINEAR":
            return _enlarged(_enlarged(value, 1), 2)
        case "STRIDED_SLICE":
            begins, ends, steps = (part.tolist() for part in inputs[1:4])
            cuts = [slice(*cut) for cut in zip(begins[1:], ends[1:], steps[1:], strict=True)]
            return value[(slice(None), *cuts)]
    raise NotImplementedError(operator.kind)
