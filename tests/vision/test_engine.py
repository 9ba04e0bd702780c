"""Networks in onnxruntime; the networks are tiny ones made here."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from posewatch.base.errors import ModelError
from posewatch.vision import engine as engine_module
from posewatch.vision.engine import Bound, OnnxEngine
from posewatch.vision.gpus import Gpu

if TYPE_CHECKING:
    from pathlib import Path

CPU = "CPUExecutionProvider"
GPU = Gpu(0, "NVIDIA Toy", (9, 0), (13, 0))


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Takes (N, 2, 2, 3); gives the sum of each image, (N, 1), and the image as floats."""
    nodes = [
        helper.make_node("Cast", ["input"], ["copy"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["copy"], ["flat"], axis=1),
        helper.make_node("ReduceSum", ["flat", "axes"], ["sum"], keepdims=1),
    ]
    shape = ["N", 2, 2, 3]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, shape)],
        [
            helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["N", 1]),
            helper.make_tensor_value_info("copy", TensorProto.FLOAT, shape),
        ],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "sums.onnx"
    onnx.save(model, path)
    return path


def images(count: int) -> np.ndarray:
    return np.arange(count * 12, dtype=np.uint8).reshape(count, 2, 2, 3)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_outputs_come_in_the_graph_s_order_and_in_one_piece(network: Path, count: int) -> None:
    sums, copies = OnnxEngine({"sums": network}).infer("sums", images(count))
    np.testing.assert_array_equal(copies, images(count))
    np.testing.assert_array_equal(sums[:, 0], images(count).reshape(count, -1).sum(axis=1))


@pytest.mark.parametrize("count", [1, 3, 4, 6])
def test_a_network_whose_batch_is_fixed_takes_any_number(network: Path, count: int) -> None:
    model = onnx.load(network)
    for end in (*model.graph.input, *model.graph.output):
        end.type.tensor_type.shape.dim[0].dim_value = 3
    onnx.save(model, network)
    sums, copies = OnnxEngine({"sums": network}).infer("sums", images(count))
    np.testing.assert_array_equal(copies, images(count))
    np.testing.assert_array_equal(sums[:, 0], images(count).reshape(count, -1).sum(axis=1))


def test_several_threads_share_one_engine(network: Path) -> None:
    engine = OnnxEngine({"sums": network})

    def total(value: int) -> float:
        (sums, _) = engine.infer("sums", np.full((3, 2, 2, 3), value, np.uint8))
        return float(sums.sum())

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(total, range(200))) == [36.0 * value for value in range(200)]


def test_its_threads_are_counted_and_never_spin(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[ort.InferenceSession] = []
    make = ort.InferenceSession
    monkeypatch.setattr(
        engine_module.ort,
        "InferenceSession",
        lambda *args, **kwargs: made.append(make(*args, **kwargs)) or made[-1],
    )
    OnnxEngine({"sums": network}, threads=2)
    options = made[0].get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_an_unknown_network(network: Path) -> None:
    engine = OnnxEngine({"sums": network})
    with pytest.raises(ModelError, match=r"no network 'feet'\. There are: sums"):
        engine.infer("feet", images(1))


def test_images_of_another_size(network: Path) -> None:
    engine = OnnxEngine({"sums": network})
    with pytest.raises(ModelError, match=r"sums failed on a batch of shape \(1, 3, 3, 3\)"):
        engine.infer("sums", np.zeros((1, 3, 3, 3), np.uint8))


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"\x08\x08" + b"\xff" * 90)
    for path in (tmp_path / "missing.onnx", damaged):
        with pytest.raises(ModelError, match=rf"{path} cannot be loaded"):
            OnnxEngine({"sums": path})


@pytest.mark.parametrize("fixed", [None, 3])
def test_pictures_are_fetched_from_one_buffer_again_and_again(
    network: Path, fixed: int | None
) -> None:
    model = onnx.load(network)
    if fixed is not None:
        for end in (*model.graph.input, *model.graph.output):
            end.type.tensor_type.shape.dim[0].dim_value = fixed
    bound = Bound(ort.InferenceSession(model.SerializeToString(), providers=[CPU]), 4, None)
    kept = []
    for count in (1, 4, 9, 2):
        sums, copies = bound(images(count))
        kept.append(copies)
        np.testing.assert_array_equal(sums[:, 0], images(count).reshape(count, -1).sum(axis=1))
    for count, copies in zip((1, 4, 9, 2), kept, strict=True):
        np.testing.assert_array_equal(copies, images(count))  # nobody wrote into what was given
    with pytest.raises(ValueError, match=r"\(2, 2, 3\)"):
        bound(np.zeros((1, 3, 3, 3), np.uint8))


def test_several_threads_may_use_one_buffer(network: Path) -> None:
    bound = Bound(ort.InferenceSession(network, providers=[CPU]), 3, None)

    def total(value: int) -> float:
        (sums, _) = bound(np.full((3, 2, 2, 3), value, np.uint8))
        return float(sums.sum())

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(total, range(200))) == [36.0 * value for value in range(200)]


def test_a_buffer_that_the_driver_does_not_pin_does_as_well(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ModelError("no")

    monkeypatch.setattr(engine_module, "pin", refuse)
    bound = Bound(ort.InferenceSession(network, providers=[CPU]), 3, GPU)
    np.testing.assert_array_equal(bound(images(2))[1], images(2))
