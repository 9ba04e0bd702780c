"""TFLite files, written here with the schema's own builder, come out as plain records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
import pytest
import tflite

from posewatch.base.errors import ModelError
from posewatch.models.tflite_reader import Graph, read_graph

if TYPE_CHECKING:
    from collections.abc import Callable

Builder = flatbuffers.Builder


def vector(
    builder: Builder,
    start: Callable[[Builder, int], object],
    values: list[int],
    *,
    offsets: bool = False,
) -> int:
    start(builder, len(values))
    for value in reversed(values):
        if offsets:
            builder.PrependUOffsetTRelative(value)
        else:
            builder.PrependInt32(value)
    return builder.EndVector()


def tensor(
    builder: Builder, name: str, shape: list[int], kind: int, *, buffer: int, sparsity: int = 0
) -> int:
    text = builder.CreateString(name)
    sides = vector(builder, tflite.TensorStartShapeVector, shape)
    tflite.TensorStart(builder)
    tflite.TensorAddName(builder, text)
    tflite.TensorAddShape(builder, sides)
    tflite.TensorAddType(builder, kind)
    tflite.TensorAddBuffer(builder, buffer)
    if sparsity:
        tflite.TensorAddSparsity(builder, sparsity)
    return tflite.TensorEnd(builder)


def operator(
    builder: Builder,
    code: int,
    inputs: list[int],
    output: int,
    options: tuple[int, int] | None = None,
) -> int:
    read = vector(builder, tflite.OperatorStartInputsVector, inputs)
    made = vector(builder, tflite.OperatorStartOutputsVector, [output])
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code)
    tflite.OperatorAddInputs(builder, read)
    tflite.OperatorAddOutputs(builder, made)
    if options:
        tflite.OperatorAddBuiltinOptionsType(builder, options[0])
        tflite.OperatorAddBuiltinOptions(builder, options[1])
    return tflite.OperatorEnd(builder)


def diagonal(builder: Builder, size: int) -> int:
    """The sparsity of a square matrix with values on its diagonal only."""
    segments, indices = (
        _int32(builder, values) for values in (list(range(size + 1)), list(range(size)))
    )
    tflite.DimensionMetadataStart(builder)
    tflite.DimensionMetadataAddFormat(builder, tflite.DimensionType.DENSE)
    tflite.DimensionMetadataAddDenseSize(builder, size)
    rows = tflite.DimensionMetadataEnd(builder)
    tflite.DimensionMetadataStart(builder)
    tflite.DimensionMetadataAddFormat(builder, tflite.DimensionType.SPARSE_CSR)
    tflite.DimensionMetadataAddArraySegmentsType(builder, tflite.SparseIndexVector.Int32Vector)
    tflite.DimensionMetadataAddArraySegments(builder, segments)
    tflite.DimensionMetadataAddArrayIndicesType(builder, tflite.SparseIndexVector.Int32Vector)
    tflite.DimensionMetadataAddArrayIndices(builder, indices)
    columns = tflite.DimensionMetadataEnd(builder)
    order = vector(builder, tflite.SparsityParametersStartTraversalOrderVector, [0, 1])
    levels = vector(
        builder, tflite.SparsityParametersStartDimMetadataVector, [rows, columns], offsets=True
    )
    tflite.SparsityParametersStart(builder)
    tflite.SparsityParametersAddTraversalOrder(builder, order)
    tflite.SparsityParametersAddDimMetadata(builder, levels)
    return tflite.SparsityParametersEnd(builder)


def _int32(builder: Builder, values: list[int]) -> int:
    numbers = vector(builder, tflite.Int32VectorStartValuesVector, values)
    tflite.Int32VectorStart(builder)
    tflite.Int32VectorAddValues(builder, numbers)
    return tflite.Int32VectorEnd(builder)


def file(*, kind: int = tflite.TensorType.FLOAT16, graphs: int = 1, sparse: bool = False) -> bytes:
    """x, and a constant of halves that is widened (and perhaps filled) and added to it."""
    builder = Builder(1024)
    halves = np.array([0.5, 1.5, 2.5], np.float16)
    data = builder.CreateByteVector(halves.tobytes())
    tflite.BufferStart(builder)
    empty = tflite.BufferEnd(builder)
    tflite.BufferStart(builder)
    tflite.BufferAddData(builder, data)
    buffers = vector(
        builder, tflite.ModelStartBuffersVector, [empty, tflite.BufferEnd(builder)], offsets=True
    )
    shape = [3, 3] if sparse else [1, 3]
    single = tflite.TensorType.FLOAT32
    sparsity = diagonal(builder, 3) if sparse else 0
    tensors = [
        tensor(builder, "x", shape, single, buffer=0),
        tensor(builder, "halves", shape, kind, buffer=1, sparsity=sparsity),
        tensor(builder, "filled", shape, kind, buffer=0),
        tensor(builder, "widened", shape, single, buffer=0),
        tensor(builder, "sum", shape, single, buffer=0),
    ]
    tflite.AddOptionsStart(builder)
    tflite.AddOptionsAddFusedActivationFunction(builder, tflite.ActivationFunctionType.RELU6)
    options = (tflite.BuiltinOptions.AddOptions, tflite.AddOptionsEnd(builder))
    operators = [
        operator(builder, 0, [1], 2),
        operator(builder, 1, [2], 3),
        operator(builder, 2, [0, 3], 4, options),
    ]
    listed = vector(builder, tflite.SubGraphStartTensorsVector, tensors, offsets=True)
    steps = vector(builder, tflite.SubGraphStartOperatorsVector, operators, offsets=True)
    read = vector(builder, tflite.SubGraphStartInputsVector, [0])
    made = vector(builder, tflite.SubGraphStartOutputsVector, [4])
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, listed)
    tflite.SubGraphAddOperators(builder, steps)
    tflite.SubGraphAddInputs(builder, read)
    tflite.SubGraphAddOutputs(builder, made)
    graph = tflite.SubGraphEnd(builder)
    codes = []
    for old, new in (
        (tflite.BuiltinOperator.DENSIFY, tflite.BuiltinOperator.DENSIFY),
        (tflite.BuiltinOperator.DEQUANTIZE, 0),  # as before schema 3a
        (tflite.BuiltinOperator.ADD, tflite.BuiltinOperator.ADD),
    ):
        tflite.OperatorCodeStart(builder)
        tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, old)
        tflite.OperatorCodeAddBuiltinCode(builder, new)
        codes.append(tflite.OperatorCodeEnd(builder))
    known = vector(builder, tflite.ModelStartOperatorCodesVector, codes, offsets=True)
    graphs_at = vector(builder, tflite.ModelStartSubgraphsVector, [graph] * graphs, offsets=True)
    tflite.ModelStart(builder)
    tflite.ModelAddOperatorCodes(builder, known)
    tflite.ModelAddSubgraphs(builder, graphs_at)
    tflite.ModelAddBuffers(builder, buffers)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def widened(graph: Graph) -> np.ndarray[Any, Any]:
    (value,) = [tensor.data for tensor in graph.tensors if tensor.name == "widened"]
    assert value is not None
    return value


def test_what_can_be_known_beforehand_is_a_constant() -> None:
    graph = read_graph(file())
    (addition,) = graph.operators
    assert (addition.kind, addition.inputs, addition.output) == ("ADD", (0, 3), 4)
    assert addition.options == {"FusedActivationFunction": "RELU6"}
    assert (graph.inputs, graph.outputs) == ((0,), (4,))
    assert graph.tensors[0].data is None
    assert graph.tensors[0].shape == (1, 3)
    assert widened(graph).dtype == np.float32
    assert widened(graph).tolist() == [[0.5, 1.5, 2.5]]


def test_sparse_constants_are_filled() -> None:
    graph = read_graph(file(sparse=True))
    np.testing.assert_array_equal(widened(graph), np.diag([0.5, 1.5, 2.5]))


def test_several_graphs_are_refused() -> None:
    with pytest.raises(ModelError, match="2 graphs; expected 1"):
        read_graph(file(graphs=2))


def test_constants_of_another_kind_are_refused() -> None:
    with pytest.raises(ModelError, match="'halves' of a TFLite file is of type INT16"):
        read_graph(file(kind=tflite.TensorType.INT16))
