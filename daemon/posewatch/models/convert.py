"""From TFLite to ONNX, operator by operator.

Pictures are NHWC in TFLite and NCHW in ONNX. Every value of four axes is NCHW here, and is turned
only where something else looks at its layout: at the input, at the outputs, and at a reshape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from posewatch.base.errors import ModelError
from posewatch.models.graph import INPUT, Net

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from posewatch.models.cards import TfliteNetwork
    from posewatch.models.tflite_reader import Graph, Operator

_TO_NCHW = (0, 3, 1, 2)
_TO_NHWC = (0, 2, 3, 1)


def convert(graph: Graph, network: TfliteNetwork) -> Net:
    """The network with the input and the outputs that its card asks for.

    Raises:
        ModelError: the file is not what the card says, or has an operator that we do not convert.
    """
    return _Conversion(graph, network).run()


def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """What TFLite's `SAME` puts before and after an axis: the odd one goes after."""
    reach = (kernel - 1) * dilation + 1
    steps = -(-size // stride)
    total = max((steps - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


class _Conversion:
    def __init__(self, graph: Graph, network: TfliteNetwork) -> None:
        self.graph = graph
        self.network = network
        self.net = Net(network.name, network.input.size)
        self.nhwc: dict[int, str] = {}
        self.operators: dict[str, Callable[[Operator], None]] = {
            "ADD": self.addition,
            "CONCATENATION": self.concatenation,
            "CONV_2D": self.convolution,
            "DEPTHWISE_CONV_2D": self.convolution,
            "DEPTH_TO_SPACE": self.depth_to_space,
            "FULLY_CONNECTED": self.fully_connected,
            "LOGISTIC": self.logistic,
            "MAX_POOL_2D": self.max_pool,
            "MEAN": self.mean,
            "PAD": self.pad,
            "PRELU": self.prelu,
            "RELU": self.relu,
            "RESHAPE": self.reshape,
            "RESIZE_BILINEAR": self.resize,
            "STRIDED_SLICE": self.strided_slice,
        }

    def run(self) -> Net:
        self.picture()
        for operator in self.graph.operators:
            if operator.kind not in self.operators:
                raise self.unsupported(operator)
            self.operators[operator.kind](operator)
        self.heads()
        self.net.prune()
        return self.net

    # What the operators are made of.

    def unsupported(self, operator: Operator, what: str = "") -> ModelError:
        return ModelError(
            f"{self.network.name} needs {operator.kind}{what and f' with {what}'},"
            f" which is not converted"
        )

    def refuse(self, operator: Operator, what: str, *, unless: bool) -> None:
        if not unless:
            raise self.unsupported(operator, what)

    def shape(self, tensor: int) -> tuple[int, ...]:
        return self.graph.tensors[tensor].shape

    def data(self, operator: Operator, index: int) -> NDArray[np.float32]:
        value = self.graph.tensors[operator.inputs[index]].data
        if value is None:
            raise self.unsupported(operator, f"an input {index} that is not constant")
        return value

    def constant(self, tensor: int, tag: str, value: NDArray[np.generic] | np.generic) -> str:
        return self.net.constant(f"{tag}{tensor}", value)

    def integers(self, tensor: int, tag: str, values: list[int]) -> str:
        return self.constant(tensor, tag, np.array(values, np.int64))

    def emit(self, operator: Operator, kind: str, inputs: list[str], **attributes: object) -> None:
        """Add a node for the operator, and another for the activation fused into it."""
        output = f"t{operator.output}"
        self.picture_shape(operator.output, output, f"{output}_raw")
        activation = operator.options.get("FusedActivationFunction", "NONE")
        if activation == "NONE":
            self.net.add(kind, inputs, output, **attributes)
            return
        raw = self.net.add(kind, inputs, f"{output}_raw", **attributes)
        if activation == "RELU":
            self.net.add("Relu", [raw], output)
        elif activation == "RELU6":
            zero = self.net.constant("zero", np.float32(0))
            six = self.net.constant("six", np.float32(6))
            self.net.add("Clip", [raw, zero, six], output)
        else:
            raise self.unsupported(operator, f"the activation {activation}")

    def picture_shape(self, tensor: int, *names: str) -> None:
        """Note the shape of what is made, if it is a picture."""
        if len(shape := self.shape(tensor)) == 4:
            _, height, width, channels = shape
            self.net.shapes.update(dict.fromkeys(names, (channels, height, width)))

    def names(self, operator: Operator) -> list[str]:
        for tensor in operator.inputs:
            if self.graph.tensors[tensor].data is not None:
                raise self.unsupported(operator, "a constant input")
        return [f"t{tensor}" for tensor in operator.inputs]

    def in_tflite_layout(self, tensor: int) -> str:
        if len(self.shape(tensor)) != 4:
            return f"t{tensor}"
        if tensor not in self.nhwc:
            self.nhwc[tensor] = self.net.add(
                "Transpose", [f"t{tensor}"], f"t{tensor}_nhwc", perm=_TO_NHWC
            )
        return self.nhwc[tensor]

    # The two ends.

    def picture(self) -> None:
        picture = self.network.input
        expected = (1, picture.size, picture.size, 3)
        if [self.shape(tensor) for tensor in self.graph.inputs] != [expected]:
            raise ModelError(f"{self.network.name} has other inputs than one of shape {expected}")
        value = self.net.add("Cast", [INPUT], "input_float", to=TensorProto.FLOAT)
        scale = np.float32((picture.high - picture.low) / 255)
        value = self.net.add(
            "Mul", [value, self.net.constant("input_scale", scale)], "input_scaled"
        )
        if picture.low:
            low = self.net.constant("input_low", np.float32(picture.low))
            value = self.net.add("Add", [value, low], "input_shifted")
        name = f"t{self.graph.inputs[0]}"
        self.net.add("Transpose", [value], name, perm=_TO_NCHW)
        self.picture_shape(self.graph.inputs[0], name)

    def heads(self) -> None:
        tensors = {self.graph.tensors[tensor].name: tensor for tensor in self.graph.outputs}
        for output in self.network.outputs:
            if output.tensor not in tensors:
                raise ModelError(f"{self.network.name} has no output {output.tensor!r}")
            tensor = tensors[output.tensor]
            shape = self.shape(tensor)[1:]
            if len(shape) == 3 and shape[:2] == (1, 1) and output.shape == shape[2:]:
                # One pixel: there is no layout to turn, only two axes to leave out.
                self.net.add("Flatten", [f"t{tensor}"], output.name, axis=1)
            elif output.shape == shape:
                self.net.add("Identity", [self.in_tflite_layout(tensor)], output.name)
            else:
                raise ModelError(
                    f"{self.network.name}: output {output.name} has shape {shape};"
                    f" expected {output.shape}"
                )
            self.net.outputs[output.name] = output.shape

    # The operators.

    def addition(self, operator: Operator) -> None:
        first, second = (self.shape(tensor) for tensor in operator.inputs)
        self.refuse(operator, "two shapes", unless=first == second)
        self.emit(operator, "Add", self.names(operator))

    def concatenation(self, operator: Operator) -> None:
        rank = len(self.shape(operator.output))
        axis = int(operator.options["Axis"]) % rank
        if rank == 4:
            axis = _TO_NHWC[axis]
        self.emit(operator, "Concat", self.names(operator), axis=axis)

    def convolution(self, operator: Operator) -> None:
        source = operator.inputs[0]
        weights = self.data(operator, 1)
        height, width = weights.shape[1:3]
        if operator.kind == "CONV_2D":  # (out, height, width, in)
            weights, group = weights.transpose(0, 3, 1, 2), 1
        else:  # (1, height, width, channels)
            weights, group = weights.transpose(3, 0, 1, 2), self.shape(source)[3]
            self.refuse(operator, "several outputs a channel", unless=len(weights) == group)
        strides = [int(operator.options["StrideH"]), int(operator.options["StrideW"])]
        dilations = [
            int(operator.options["DilationHFactor"]),
            int(operator.options["DilationWFactor"]),
        ]
        inputs = [f"t{source}", self.constant(operator.inputs[1], "weights", weights)]
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            inputs.append(self.constant(operator.inputs[2], "bias", self.data(operator, 2)))
        self.emit(
            operator,
            "Conv",
            inputs,
            group=group,
            kernel_shape=[height, width],
            strides=strides,
            dilations=dilations,
            pads=self.padding(operator, (height, width), strides, dilations),
        )

    def padding(
        self, operator: Operator, kernel: tuple[int, int], strides: list[int], dilations: list[int]
    ) -> list[int]:
        if operator.options["Padding"] == "VALID":
            return [0, 0, 0, 0]
        _, height, width, _ = self.shape(operator.inputs[0])
        top, bottom = same_padding(height, kernel[0], strides[0], dilations[0])
        left, right = same_padding(width, kernel[1], strides[1], dilations[1])
        return [top, left, bottom, right]

    def depth_to_space(self, operator: Operator) -> None:
        block = operator.options["BlockSize"]
        self.emit(operator, "DepthToSpace", self.names(operator), blocksize=block, mode="DCR")

    def fully_connected(self, operator: Operator) -> None:
        source = operator.inputs[0]
        self.refuse(operator, "a picture as input", unless=len(self.shape(source)) == 2)
        inputs = [
            f"t{source}",
            self.constant(operator.inputs[1], "weights", self.data(operator, 1)),
        ]
        if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
            inputs.append(self.constant(operator.inputs[2], "bias", self.data(operator, 2)))
        self.emit(operator, "Gemm", inputs, transB=1)

    def logistic(self, operator: Operator) -> None:
        self.emit(operator, "Sigmoid", self.names(operator))

    def max_pool(self, operator: Operator) -> None:
        kernel = (int(operator.options["FilterHeight"]), int(operator.options["FilterWidth"]))
        strides = [int(operator.options["StrideH"]), int(operator.options["StrideW"])]
        self.emit(
            operator,
            "MaxPool",
            self.names(operator),
            kernel_shape=list(kernel),
            strides=strides,
            pads=self.padding(operator, kernel, strides, [1, 1]),
        )

    def mean(self, operator: Operator) -> None:
        axes = sorted(self.data(operator, 1).tolist())
        source = operator.inputs[0]
        whole = axes == [1, 2] and len(self.shape(source)) == 4
        self.refuse(operator, f"axes {axes}", unless=whole)
        keep = int(operator.options["KeepDims"])
        self.emit(operator, "ReduceMean", [f"t{source}"], axes=[2, 3], keepdims=keep)

    def pad(self, operator: Operator) -> None:
        amounts = self.data(operator, 1).astype(np.int64)  # (4, 2): NHWC, before and after
        pads = amounts[list(_TO_NCHW)].T.reshape(-1)
        source = f"t{operator.inputs[0]}"
        self.emit(operator, "Pad", [source, self.constant(operator.output, "pads", pads)])

    def prelu(self, operator: Operator) -> None:
        slopes = self.data(operator, 1)
        by_channel = slopes.ndim == 3 and slopes.shape[:2] == (1, 1)
        self.refuse(operator, f"slopes of shape {slopes.shape}", unless=by_channel)
        name = self.constant(operator.inputs[1], "slopes", slopes.transpose(2, 0, 1))
        self.emit(operator, "PRelu", [f"t{operator.inputs[0]}", name])

    def relu(self, operator: Operator) -> None:
        self.emit(operator, "Relu", self.names(operator))

    def reshape(self, operator: Operator) -> None:
        shape = self.shape(operator.output)
        self.refuse(operator, f"shape {shape}", unless=len(shape) != 4 and shape[0] == 1)
        target = self.integers(operator.output, "shape", [0, *shape[1:]])
        self.emit(operator, "Reshape", [self.in_tflite_layout(operator.inputs[0]), target])

    def resize(self, operator: Operator) -> None:
        options = operator.options
        half_pixel = bool(options["HalfPixelCenters"]) and not options["AlignCorners"]
        self.refuse(operator, "corners aligned", unless=half_pixel)
        _, height, width, _ = self.shape(operator.inputs[0])
        _, new_height, new_width, _ = self.shape(operator.output)
        # By scales: with sizes, onnxruntime would have to be told the size of the batch.
        scales = np.array([1, 1, new_height / height, new_width / width], np.float32)
        self.emit(
            operator,
            "Resize",
            [f"t{operator.inputs[0]}", "", self.constant(operator.output, "scales", scales)],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )

    def strided_slice(self, operator: Operator) -> None:
        masks = [name for name, value in operator.options.items() if value]
        self.refuse(operator, ", ".join(masks), unless=not masks)
        begins, ends, steps = (self.data(operator, index).tolist() for index in (1, 2, 3))
        shape = self.shape(operator.inputs[0])
        self.refuse(operator, "a batch that is cut", unless=(begins[0], steps[0]) == (0, 1))
        cut = [
            axis
            for axis in range(1, len(shape))
            if (begins[axis], ends[axis], steps[axis]) != (0, shape[axis], 1)
        ]
        axes = [_TO_NHWC[axis] if len(shape) == 4 else axis for axis in cut]
        name = operator.output
        inputs = [
            f"t{operator.inputs[0]}",
            self.integers(name, "begins", [begins[axis] for axis in cut]),
            self.integers(name, "ends", [ends[axis] for axis in cut]),
            self.integers(name, "axes", axes),
            self.integers(name, "steps", [steps[axis] for axis in cut]),
        ]
        self.emit(operator, "Slice", inputs)
