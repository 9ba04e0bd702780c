"""A network that computes something else than its card says is noticed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from posewatch.base.errors import ModelError
from posewatch.models.cards import Input, Output, TfliteNetwork
from posewatch.models.graph import IR_VERSION, OPSET
from posewatch.models.verify import PICTURES, probe_indices, probe_input, verify_network

if TYPE_CHECKING:
    from pathlib import Path

    from posewatch.models.cache import InstalledModel

SIZE = 16


def test_the_pictures_are_the_same_everywhere() -> None:
    pictures = probe_input(32)
    assert pictures.shape == (PICTURES, 32, 32, 3)
    assert pictures[0, 0, 0].tolist() == pictures[0, 3, 3].tolist() == [185, 171, 40]
    assert pictures[2, -1, -1].tolist() == [111, 127, 48]


def test_the_places_are_spread_from_the_first_to_the_last() -> None:
    assert probe_indices(1).tolist() == [0]
    assert probe_indices(4).tolist() == [0, 1, 2, 3]
    places = probe_indices(1000)
    assert (places[0], places[-1], len(places)) == (0, 999, 16)


def save(path: Path, *nodes: onnx.NodeProto, batch: str | int = "N") -> Path:
    """A network that gives the mean of a picture, after these nodes that lead to `out`."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["input"], ["bytes"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["bytes"], ["mean"], axes=[1, 2], keepdims=0),
            *nodes,
        ],
        "mean",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, [batch, SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    onnx.save(
        helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        ),
        path,
    )
    return path


def network(*, tolerance: float = 0.01) -> TfliteNetwork:
    """What its card would say."""
    probe = probe_input(SIZE).mean(axis=(1, 2), dtype=np.float64).tolist()
    output = Output(
        name="out",
        tensor="out",
        shape=(3,),
        meaning="mean",
        tolerance=tolerance,
        probe=tuple(tuple(row) for row in probe),
    )
    return TfliteNetwork(
        name="mean",
        member="mean.tflite",
        sha256="0" * 64,
        size=1,
        input=Input(size=SIZE, low=0.0, high=1.0, border="zero"),
        outputs=(output,),
    )


def constant(name: str, value: list[float]) -> onnx.NodeProto:
    tensor = numpy_helper.from_array(np.array(value, np.float32))
    return helper.make_node("Constant", [], [name], value=tensor)


def test_one_that_agrees_passes(tmp_path: Path) -> None:
    path = save(tmp_path / "mean.onnx", helper.make_node("Identity", ["mean"], ["out"]))
    assert verify_network(path, network()) < 0.1


def test_one_that_is_off_does_not(tmp_path: Path) -> None:
    add = [constant("off", [0.0, 0.02, 0.0]), helper.make_node("Add", ["mean", "off"], ["out"])]
    path = save(tmp_path / "mean.onnx", *add)
    with pytest.raises(ModelError, match=r"out is 0\.02 away from TensorFlow Lite; allowed 0\.01"):
        verify_network(path, network())
    assert 0.5 < verify_network(path, network(tolerance=0.03)) < 1


def test_one_that_gives_no_number_does_not(tmp_path: Path) -> None:
    add = [constant("off", [np.nan] * 3), helper.make_node("Add", ["mean", "off"], ["out"])]
    path = save(tmp_path / "mean.onnx", *add)
    with pytest.raises(ModelError, match=re.escape("mean: output out")):
        verify_network(path, network())


def test_one_whose_rows_disturb_each_other_does_not(tmp_path: Path) -> None:
    # Takes the mean over the batch away, and adds what it is for a batch of three.
    across = helper.make_node("ReduceMean", ["mean"], ["across"], axes=[0], keepdims=1)
    whole = probe_input(SIZE).mean(axis=(0, 1, 2), dtype=np.float64).tolist()
    nodes = [
        across,
        constant("whole", whole),
        helper.make_node("Sub", ["mean", "across"], ["rest"]),
        helper.make_node("Add", ["rest", "whole"], ["out"]),
    ]
    with pytest.raises(ModelError, match="in a batch from alone"):
        verify_network(save(tmp_path / "mean.onnx", *nodes), network())


def test_one_of_another_shape_or_name_does_not(tmp_path: Path) -> None:
    flat = helper.make_node("ReduceMean", ["mean"], ["out"], axes=[1], keepdims=1)
    with pytest.raises(ModelError, match=r"shape \(3, 1\); expected \(3, 3\)"):
        verify_network(save(tmp_path / "mean.onnx", flat), network())
    path = save(tmp_path / "mean.onnx", helper.make_node("Identity", ["mean"], ["out"]))
    renamed = network().outputs[0].model_copy(update={"name": "other"})
    with pytest.raises(ModelError, match=r"has the outputs \['out'\]; expected \['other'\]"):
        verify_network(path, network().model_copy(update={"outputs": (renamed,)}))


def test_a_file_that_is_no_network_does_not(tmp_path: Path) -> None:
    path = tmp_path / "mean.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(ModelError, match="onnxruntime cannot load mean"):
        verify_network(path, network())


@pytest.mark.parametrize("part", [1e-3, 1.0])
def test_a_weight_of_the_real_model_that_is_off_is_noticed(
    holistic_model: InstalledModel, tmp_path: Path, part: float
) -> None:
    """Even a thousandth of the first weights of a network is more than what is allowed."""
    card = holistic_model.card.network("hand_recrop")
    model = onnx.load(holistic_model.network("hand_recrop"))
    weights = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    value = numpy_helper.to_array(weights) * np.float32(1 + part)
    weights.CopyFrom(numpy_helper.from_array(value, weights.name))
    onnx.save(model, tmp_path / "hand_recrop.onnx")
    with pytest.raises(ModelError, match="away from TensorFlow Lite"):
        verify_network(tmp_path / "hand_recrop.onnx", card)
