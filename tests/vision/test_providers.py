"""Devices that were asked for, and what is said where they cannot be used."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from posewatch.base.errors import ModelError
from posewatch.vision import engine as engine_module
from posewatch.vision import providers as providers_module
from posewatch.vision.engine import OnnxEngine
from posewatch.vision.gpus import Gpu
from posewatch.vision.providers import (
    CPU,
    CUDA,
    TENSORRT,
    Device,
    check_gpu,
    check_used,
    engine_folder,
    hint,
    look_for_libraries,
    providers,
    wants_gpu,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

H100 = Gpu(1, "NVIDIA H100 80GB HBM3", (9, 0), (13, 0))


class Session:
    """An onnxruntime session on a GPU of the imagination."""

    made: list[tuple[list[str], list[dict[str, str]]]]
    uses: str | None
    fails: str
    profile: str

    def __init__(
        self,
        _path: Path,
        options: SimpleNamespace,
        *,
        providers: Sequence[str],
        provider_options: list[dict[str, str]],
        enable_fallback: int,
    ) -> None:
        self.made.append((list(providers), provider_options))
        assert enable_fallback == 0
        self._prefix = options.profile_file_prefix
        self._providers = [self.uses or providers[0]]
        self.shapes: list[tuple[int, ...]] = []

    def get_providers(self) -> list[str]:
        return self._providers

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="input", shape=["N", 4, 6, 3])]

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="people")]

    def io_binding(self) -> Session:
        return self

    def bind_input(self, name: str, device: str, number: int, *rest: Any) -> None:  # noqa: ANN401
        kind, shape, address = rest
        assert (name, device, number, kind) == ("input", "cpu", 0, np.uint8)
        assert address
        self.shapes.append(shape)

    def bind_output(self, name: str) -> None:
        assert name == "people"

    def run_with_iobinding(self, binding: Session) -> None:
        assert binding is self
        if self.fails:
            raise RuntimeError(self.fails)

    def copy_outputs_to_cpu(self) -> list[np.ndarray]:
        return [np.zeros((self.shapes[-1][0], 5), np.float32)]

    def end_profiling(self) -> str:
        path = Path(f"{self._prefix}_now.json")
        path.write_text(self.profile, encoding="utf-8")
        return str(path)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[Session]:
    """An onnxruntime that was built for GPUs, for CUDA 13."""

    class Fresh(Session):
        made: list[tuple[list[str], list[dict[str, str]]]] = []  # noqa: RUF012 -- fresh each time
        uses = None
        fails = ""
        profile = "[]"

    known = [TENSORRT, CUDA, CPU]
    monkeypatch.setattr(providers_module.ort, "get_available_providers", lambda: known)
    monkeypatch.setattr(providers_module.ort, "cuda_version", "13.0", raising=False)
    monkeypatch.setattr(engine_module.ort, "InferenceSession", Fresh)
    return Fresh


def opened(device: Device = Device.CUDA, gpu: Gpu | None = None, batch: int = 8) -> OnnxEngine:
    return OnnxEngine({"detector": Path("any.onnx")}, device=device, gpu=gpu, batch=batch)


def test_what_each_device_asks_for() -> None:
    assert providers(Device.CPU, H100, None) == [(CPU, {})]
    ((name, options),) = providers(Device.CUDA, H100, None)
    assert (name, options["device_id"]) == (CUDA, "1")
    (tensorrt, more), (cuda, _) = providers(Device.TENSORRT, H100, Path("/kept"))
    assert (tensorrt, cuda) == (TENSORRT, CUDA), "CUDA takes what TensorRT does not know"
    assert more["device_id"] == "1"
    assert (more["trt_engine_cache_enable"], more["trt_engine_cache_path"]) == ("1", "/kept")
    assert "trt_engine_cache_path" not in providers(Device.TENSORRT, H100, None)[0][1]


def test_full_float32_is_to_be_had_of_cuda() -> None:
    asked = [providers(Device.CUDA, H100, None, tf32=tf32)[0][1] for tf32 in (True, False)]
    assert [options["use_tf32"] for options in asked] == ["1", "0"]
    with pytest.raises(ModelError, match=r"TensorRT computes in TF32.*device = cuda"):
        providers(Device.TENSORRT, H100, None, tf32=False)
    assert (H100.has_tf32, Gpu(0, "Tesla T4", (7, 5), (13, 0)).has_tf32) == (True, False)


def test_what_a_gpu_leaves_to_the_cpu_is_told_once(
    fake: type[Session], caplog: pytest.LogCaptureFixture
) -> None:
    assert (opened().left, caplog.records) == ("", [])
    pool = {"provider": CPU, "op_name": "MaxPool", "activation_size": "98304", "output_size": "9"}
    event = {"cat": "Node", "name": "pool_kernel_time", "args": pool}
    fake.profile = json.dumps([event, event])
    assert opened().left == "detector: MaxPool 1"
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    fake.profile = '[{"cat": '  # the disk is full
    assert opened().left == ""


def test_engines_are_kept_apart_for_each_kind_of_gpu_and_version() -> None:
    versions = {"ort": "1.31.1", "trt": "10.9.0/x"}
    folder = engine_folder(Path("/kept"), H100, versions)
    assert folder.name == "NVIDIA_H100_80GB_HBM3_sm90_ort-1.31.1_trt-10.9.0_x"
    others = [
        engine_folder(Path("/kept"), Gpu(1, "NVIDIA L4", (8, 9), (13, 0)), versions),
        engine_folder(Path("/kept"), H100, {**versions, "trt": "10.10"}),
    ]
    assert len({folder, *others}) == 3
    assert engine_folder(Path("/kept"), Gpu(0, *_rest(H100)), versions) == folder


def _rest(gpu: Gpu) -> tuple[str, tuple[int, int], tuple[int, int]]:
    return gpu.name, gpu.capability, gpu.cuda


@pytest.mark.parametrize("device", [Device.CUDA, Device.TENSORRT])
def test_each_network_is_tried_alone_and_in_a_batch_before_any_work(
    fake: type[Session], device: Device
) -> None:
    engine = opened(device)
    assert engine.provider == fake.made[0][0][0]
    session = engine._runs["detector"]._session  # type: ignore[attr-defined]
    assert session.shapes == [(1, 4, 6, 3), (8, 4, 6, 3)]
    assert engine.infer("detector", np.zeros((9, 4, 6, 3), np.uint8))[0].shape == (9, 5)
    assert session.shapes[2:] == [(8, 4, 6, 3), (1, 4, 6, 3)]


@pytest.mark.parametrize(
    ("device", "known", "wanted"),
    [
        (Device.CPU, [CUDA, CPU], False),
        (Device.CUDA, [CPU], True),
        (Device.TENSORRT, [CPU], True),
        (Device.AUTO, [CPU], False),
        (Device.AUTO, [CUDA, CPU], True),
    ],
)
def test_a_gpu_is_wanted_where_the_runtime_is_one_for_gpus(
    monkeypatch: pytest.MonkeyPatch, device: Device, known: list[str], *, wanted: bool
) -> None:
    monkeypatch.setattr(providers_module.ort, "get_available_providers", lambda: known)
    assert wants_gpu(device) == wanted


def test_what_is_not_in_this_onnxruntime_is_an_error(
    fake: type[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers_module.ort, "get_available_providers", lambda: [CUDA, CPU])
    with pytest.raises(ModelError, match=r"has no Tensorrt.*ARM machines .* device = cuda"):
        opened(Device.TENSORRT)
    monkeypatch.setattr(providers_module.ort, "get_available_providers", lambda: [CPU])
    for device in (Device.TENSORRT, Device.CUDA):
        with pytest.raises(ModelError, match=r"Install the extra posewatch\[gpu\]"):
            opened(device)
    assert fake.made == []


@pytest.mark.parametrize("device", [Device.CUDA, Device.TENSORRT])
def test_a_device_that_is_silently_not_used_is_an_error_with_the_loader_s_reason(
    fake: type[Session], device: Device
) -> None:
    fake.uses = CPU
    # This machine has no such library, as one without onnxruntime-gpu.
    with pytest.raises(ModelError, match=r"uses CPUExecutionProvider: .*libonnxruntime_providers"):
        opened(device)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("libcudnn.so.9: cannot open shared object file", r"posewatch\[gpu\] brings"),
        ("libcublasLt.so.13: cannot open shared object file", r"posewatch\[gpu\] brings"),
        ("libnvinfer.so.10: cannot open shared object file", "TensorRT 10 is missing"),
    ],
)
def test_a_library_that_is_missing_is_named_with_what_brings_it(
    monkeypatch: pytest.MonkeyPatch, said: str, advice: str
) -> None:
    def load(_path: str, *_: object) -> None:
        raise OSError(said)

    monkeypatch.setattr(providers_module.ctypes, "CDLL", load)
    with pytest.raises(ModelError, match=rf"{said.partition(':')[0]}.*{advice}"):
        check_used(CUDA, CPU)


def test_cudnn_is_missed_by_the_first_convolution_only(fake: type[Session]) -> None:
    fake.fails = "Conv node: cuDNN is not available. Install cuDNN, update the library search path"
    with pytest.raises(ModelError, match=r"cuDNN is not available.*posewatch\[gpu\] brings"):
        opened()


def test_a_driver_that_is_too_old_for_this_cuda_is_told_before_anything_is_tried(
    fake: type[Session],
) -> None:
    old = Gpu(0, "NVIDIA A100", (8, 0), (12, 4))
    with pytest.raises(ModelError, match=r"speaks CUDA 12\.4, .* needs CUDA 13\. Update"):
        opened(gpu=old)
    assert fake.made == []
    check_gpu(H100)


def test_a_gpu_that_this_cuda_has_dropped_is_told_before_anything_is_tried(
    fake: type[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Gpu(0, "Tesla V100", (7, 0), (13, 0))
    with pytest.raises(ModelError, match=r"Tesla V100 \(compute capability 7\.0\) is too old"):
        opened(gpu=old)
    assert fake.made == []
    check_gpu(Gpu(0, "NVIDIA T4", (7, 5), (13, 0)))
    monkeypatch.setattr(providers_module.ort, "cuda_version", "12.8")
    check_gpu(old)
    monkeypatch.setattr(providers_module.ort, "cuda_version", "")
    check_gpu(old)


def test_a_gpu_of_another_architecture_is_told_at_the_start(fake: type[Session]) -> None:
    fake.fails = "CUDA error 209: no kernel image is available for execution on the device"
    with pytest.raises(ModelError, match=r"cannot be used: .* no kernel image .* Turing"):
        opened()


def test_a_network_that_cannot_be_loaded_on_a_gpu_says_so(
    fake: type[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA driver version is insufficient for CUDA runtime version")

    monkeypatch.setattr(engine_module.ort, "InferenceSession", refuse)
    with pytest.raises(ModelError, match=r"any\.onnx cannot be loaded on CUDA.* update it"):
        opened()
    assert fake.made == []


def test_what_onnxruntime_prints_about_its_libraries_is_kept_from_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def chatter() -> None:
        sys.stdout.write("Failed to load\n  libcudart.so.13\n")

    monkeypatch.setattr(providers_module.ort, "preload_dlls", chatter, raising=False)
    assert look_for_libraries(CUDA) == "Failed to load libcudart.so.13"
    assert capsys.readouterr().out == ""


def test_tensorrt_s_libraries_are_taken_from_where_pip_has_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt_libs.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    look_for_libraries(CUDA)
    assert "tensorrt_libs" not in sys.modules
    look_for_libraries(TENSORRT)
    assert sys.modules.pop("tensorrt_libs").__file__ == str(tmp_path / "tensorrt_libs.py")


def test_an_error_nobody_knows_has_a_hint_as_well() -> None:
    assert "driver" in hint("something else")
    assert "memory is full" in hint("CUDA failure 2: out of memory")
