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
from posewatch.vision.engine import Device, OnnxEngine

if TYPE_CHECKING:
    from pathlib import Path

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


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


@pytest.mark.parametrize(("provider", "runs"), [(CPU, [1, 1, 1]), (CUDA, [3])])
def test_each_run_is_told(network: Path, provider: str, runs: list[int]) -> None:
    told: list[tuple[str, int, float]] = []
    engine = OnnxEngine({"sums": network}, ran=lambda *run: told.append(run))
    engine.provider = provider  # a GPU takes a batch at once
    engine.infer("sums", images(3))
    assert [(name, crops) for name, crops, _ in told] == [("sums", crops) for crops in runs]
    assert all(0 < seconds < 60 for _, _, seconds in told)


@pytest.mark.parametrize(
    ("device", "providers", "wanted"),
    [
        (Device.CPU, [CUDA, CPU], False),
        (Device.AUTO, [CPU], False),
        (Device.AUTO, [CUDA, CPU], True),
    ],
)
def test_a_gpu_is_wanted_where_the_runtime_is_one_for_gpus(
    network: Path,
    monkeypatch: pytest.MonkeyPatch,
    device: Device,
    providers: list[str],
    *,
    wanted: bool,
) -> None:
    monkeypatch.setattr(engine_module.ort, "get_available_providers", lambda: providers)
    engine = OnnxEngine({"sums": network}, device=device)  # there is no GPU: AUTO takes the CPU
    assert (engine.gpu_wanted, engine.provider) == (wanted, CPU)


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


class UsesCpu:
    """A session that was asked for CUDA, as onnxruntime makes it where CUDA's libraries fail."""

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        pass

    def get_providers(self) -> list[str]:
        return [CPU]


def test_cuda_that_is_not_there_is_an_error(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module.ort, "get_available_providers", lambda: [CPU])
    with pytest.raises(ModelError, match=r"has no CUDAExecutionProvider\. Install .*\[gpu\]"):
        OnnxEngine({"sums": network}, device=Device.CUDA)


def test_cuda_that_is_silently_not_used_is_an_error(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module.ort, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(engine_module.ort, "InferenceSession", UsesCpu)
    with pytest.raises(ModelError, match="asked for, but onnxruntime uses CPUExecutionProvider"):
        OnnxEngine({"sums": network}, device=Device.CUDA)


def test_auto_takes_the_cpu_and_says_why(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module.ort, "get_available_providers", lambda: [CPU])
    engine = OnnxEngine({"sums": network}, device=Device.AUTO)
    assert engine.provider == CPU
    assert engine.fallback == "this onnxruntime has no CUDAExecutionProvider"
    assert engine.infer("sums", images(1))[0].shape == (1, 1)


def test_the_cpu_needs_no_excuse(network: Path) -> None:
    engine = OnnxEngine({"sums": network})
    assert (engine.provider, engine.fallback) == (CPU, "")
