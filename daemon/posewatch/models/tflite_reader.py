"""Reads a TFLite file into plain records; nothing else here knows the format.

Constants come out dense and in float32: half-precision weights are widened (which is exact), sparse
ones are filled with their zeros, and the operators that would do so at run time are gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import tflite

from posewatch.base.errors import ModelError
from posewatch.models.densify import Level, densify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Option = int | bool | str


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value in the graph.

    Attributes:
        name: as in the file; not unique.
        shape: pictures are `(1, height, width, channels)`.
        data: the value of a constant (float32 or int32), else None.
    """

    name: str
    shape: tuple[int, ...]
    data: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class Operator:
    """A step of the graph.

    Attributes:
        kind: as the schema calls it, such as `CONV_2D`.
        inputs: indices of tensors; -1 for one that is left out.
        output: index of the tensor that it makes.
        options: as the schema calls them; paddings and activations by name.
    """

    kind: str
    inputs: tuple[int, ...]
    output: int
    options: Mapping[str, Option] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Graph:
    """A network: operators in an order in which they can run."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


_CONV = ("StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "Padding")
_ACTIVATION = "FusedActivationFunction"
_OPTIONS = {
    "ADD": ("AddOptions", (_ACTIVATION,)),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", _ACTIVATION)),
    "CONV_2D": ("Conv2DOptions", (*_CONV, _ACTIVATION)),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", (*_CONV, _ACTIVATION)),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", ("BlockSize",)),
    "FULLY_CONNECTED": ("FullyConnectedOptions", (_ACTIVATION,)),
    "MAX_POOL_2D": (
        "Pool2DOptions",
        ("FilterHeight", "FilterWidth", "StrideH", "StrideW", "Padding", _ACTIVATION),
    ),
    "MEAN": ("ReducerOptions", ("KeepDims",)),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", ("AlignCorners", "HalfPixelCenters")),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask"),
    ),
}
"""The options that the converter looks at. An operator that is not here has none to look at."""

_AT_REST = {"DENSIFY", "DEQUANTIZE"}
"""What these do to a constant is done here."""


def _names(enumeration: type) -> dict[int, str]:
    return {value: key for key, value in vars(enumeration).items() if isinstance(value, int)}


def read_graph(data: bytes) -> Graph:
    """The only graph of a TFLite file.

    Raises:
        ModelError: the file has several graphs, or a constant of a kind that we do not know.
    """
    model = tflite.Model.GetRootAsModel(data, 0)
    if model.SubgraphsLength() != 1:
        raise ModelError(f"A TFLite file has {model.SubgraphsLength()} graphs; expected 1")
    graph = model.Subgraphs(0)
    tensors = [_tensor(model, graph.Tensors(index)) for index in range(graph.TensorsLength())]
    operators = []
    for operator in (_operator(model, graph.Operators(i)) for i in range(graph.OperatorsLength())):
        constant = tensors[operator.inputs[0]].data
        if operator.kind in _AT_REST and constant is not None:
            target = tensors[operator.output]
            tensors[operator.output] = Tensor(target.name, target.shape, constant)
        else:
            operators.append(operator)
    return Graph(
        tensors=tuple(tensors),
        operators=tuple(operators),
        inputs=tuple(graph.Inputs(index) for index in range(graph.InputsLength())),
        outputs=tuple(graph.Outputs(index) for index in range(graph.OutputsLength())),
    )


def _integers(vector: Any) -> tuple[int, ...]:  # noqa: ANN401 - the schema package is untyped
    """A vector of the schema package; it gives the number 0 for one that is absent."""
    return () if isinstance(vector, int) else tuple(int(value) for value in vector)


def _operator(model: Any, operator: Any) -> Operator:  # noqa: ANN401 - the schema is untyped
    code = model.OperatorCodes(operator.OpcodeIndex())
    # Files from before schema 3a keep the code in the older, narrower field.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kind = _names(tflite.BuiltinOperator)[number]
    options: dict[str, Option] = {}
    if kind in _OPTIONS:
        class_name, fields = _OPTIONS[kind]
        table = getattr(tflite, class_name)()
        table.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        words = {
            "Padding": _names(tflite.Padding),
            _ACTIVATION: _names(tflite.ActivationFunctionType),
        }
        for name in fields:
            value = getattr(table, name)()
            options[name] = words[name][value] if name in words else value
    return Operator(
        kind=kind,
        inputs=tuple(operator.Inputs(index) for index in range(operator.InputsLength())),
        output=operator.Outputs(0),
        options=options,
    )


def _tensor(model: Any, tensor: Any) -> Tensor:  # noqa: ANN401 - the schema package is untyped
    name = tensor.Name().decode()
    shape = _integers(tensor.ShapeAsNumpy())
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
    if isinstance(raw, int) or len(raw) == 0:
        return Tensor(name, shape)
    kinds: dict[int, type[np.generic]] = {
        tflite.TensorType.FLOAT16: np.float16,
        tflite.TensorType.FLOAT32: np.float32,
        tflite.TensorType.INT32: np.int32,
    }
    if tensor.Type() not in kinds:
        kind = _names(tflite.TensorType)[tensor.Type()]
        raise ModelError(f"The constant {name!r} of a TFLite file is of type {kind}")
    values = np.frombuffer(raw.tobytes(), kinds[tensor.Type()])
    if values.dtype == np.float16:
        values = values.astype(np.float32)
    sparsity = tensor.Sparsity()
    if sparsity is None:
        return Tensor(name, shape, values.reshape(shape))
    dense = densify(
        values,
        shape,
        order=_integers(sparsity.TraversalOrderAsNumpy()),
        block_map=_integers(sparsity.BlockMapAsNumpy()),
        levels=[_level(sparsity.DimMetadata(i)) for i in range(sparsity.DimMetadataLength())],
    )
    return Tensor(name, shape, dense)


def _level(metadata: Any) -> Level:  # noqa: ANN401 - the schema package is untyped
    if metadata.Format() == tflite.DimensionType.DENSE:
        return Level(size=metadata.DenseSize())
    return Level(
        segments=_index(metadata.ArraySegmentsType(), metadata.ArraySegments()),
        indices=_index(metadata.ArrayIndicesType(), metadata.ArrayIndices()),
    )


def _index(kind: int, table: Any) -> tuple[int, ...]:  # noqa: ANN401 - the schema is untyped
    vector = getattr(tflite, _names(tflite.SparseIndexVector)[kind])()
    vector.Init(table.Bytes, table.Pos)
    return _integers(vector.ValuesAsNumpy())
