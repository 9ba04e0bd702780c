"""What onnxruntime is asked for on each device, and why it cannot have it.

onnxruntime lists CUDA as available where its libraries are missing, and then silently takes the
CPU. So whatever was asked for is looked at afterwards; where it was not taken, the reason is sought
here: in the driver's version, and in what the dynamic loader says about the provider's library.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import re
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import onnxruntime as ort

from posewatch.base.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from posewatch.vision.gpus import Gpu

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

Provider = tuple[str, dict[str, str]]
"""A provider's name and its options, as onnxruntime takes them."""


class Device(StrEnum):
    """Where networks run."""

    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"
    AUTO = "auto"  # CUDA where it works, else the CPU


_LIBRARIES: Mapping[str, str] = MappingProxyType(
    {CUDA: "libonnxruntime_providers_cuda.so", TENSORRT: "libonnxruntime_providers_tensorrt.so"}
)

_TURING = (13, (7, 5))
"""The first CUDA that has dropped what came before Turing, and Turing's compute capability."""

_EXTRA = "Install the extra posewatch[gpu] instead of posewatch[cpu], or set device = cpu"

_HINTS = (
    (r"libnvinfer|libnvonnxparser", "TensorRT 10 is missing: pip install 'tensorrt-cu13<11'"),
    (
        r"cudnn is|lib(cudnn|cublas|cudart|cufft|curand|nvrtc)",
        "CUDA's libraries are missing or of another version; the extra posewatch[gpu] brings them",
    ),
    (
        r"no kernel image|architecture|compute capability",
        "This onnxruntime was not built for this GPU; CUDA 13 dropped those before Turing (7.5)",
    ),
    (
        r"driver version is insufficient|unsupported toolchain",
        "The driver is older than this CUDA: update it",
    ),
    (r"out of memory|alloc", "The GPU's memory is full: lower work.batch, or see who else uses it"),
)
"""What to do, by what the error says."""

_ANY_HINT = "The GPU's driver, or CUDA's libraries, are missing or of another version"


def providers(
    device: Device, gpu: Gpu | None, engines: Path | None, *, tf32: bool = True
) -> list[Provider]:
    """What to ask onnxruntime for, best first.

    Options of CUDA that are left as they are, and why:

    * `prefer_nhwc` (0): tensor cores want channels last, and all our networks could be run so (10
      more transposes in YOLOX-L, none in RTMPose). But it is not the default in onnxruntime either,
      and in TF32 it was a loss elsewhere (tensorflow#56744): to be measured first.
    * `cudnn_conv_use_max_workspace` (1): less lets cuDNN choose slower algorithms.
    * `arena_extend_strategy` (powers of two), `gpu_mem_limit` (none): what is taken is kept, and
      nearly all of it is taken before the first video, by the largest batch.
    * `do_copy_in_default_stream` (1): copies beside the work raced with it (onnxruntime#4829).
    * `enable_cuda_graph` (0): wants one size of batch, always.
    * `tunable_op_enable` (0): is about matrix products, not convolutions.

    Args:
        device: CPU, CUDA or TENSORRT.
        gpu: which one; None stands for the first.
        engines: folder in which TensorRT keeps what it has compiled; None: nothing is kept.
        tf32: whether a GPU that can may round factors to 10 bits, which TensorRT does anyway.

    Raises:
        ModelError: TensorRT is to compute in full float32.
    """
    if device is Device.CPU:
        return [(CPU, {})]
    number = {"device_id": str(gpu.number if gpu else 0)}
    cuda = (
        CUDA,
        {
            **number,
            # cuDNN's heuristic A; the default is its B, which takes longer to think for each batch
            # size that it meets (onnxruntime#22705). Before 1.20 that one tried them all.
            "cudnn_conv_algo_search": "HEURISTIC",
            "use_tf32": str(int(tf32)),
        },
    )
    if device is not Device.TENSORRT:
        return [cuda]
    if not tf32:
        raise ModelError(
            "TensorRT computes in TF32, and onnxruntime has no switch for that",
            hint="Set device = cuda, or leave work.tf32 as it is",
        )
    kept = {}
    if engines is not None:
        kept = {
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(engines),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(engines),
        }
    # CUDA takes what TensorRT does not know.
    return [(TENSORRT, {**number, **kept}), cuda]


def engine_folder(root: Path, gpu: Gpu, versions: Mapping[str, str]) -> Path:
    """Where engines for a GPU are kept: they fit no other kind of GPU, and no other version.

    Args:
        root: of all engines.
        gpu: that they are for.
        versions: of all that takes part in compiling them.
    """
    major, minor = gpu.capability
    parts = [gpu.name, f"sm{major}{minor}", *(f"{name}-{text}" for name, text in versions.items())]
    return root / re.sub(r"[^A-Za-z0-9.+-]+", "_", "_".join(parts))


def look_for_libraries(provider: str) -> str:
    """Load a GPU provider's libraries where pip has put them; what onnxruntime says to it."""
    said = io.StringIO()
    look = getattr(ort, "preload_dlls", lambda: None)  # there since 1.21
    with contextlib.redirect_stdout(said), contextlib.suppress(RuntimeError, OSError):
        look()
    if provider == TENSORRT:
        with contextlib.suppress(ImportError, OSError):
            importlib.import_module("tensorrt_libs")  # which loads what lies in it
    return " ".join(said.getvalue().split())


def check_gpu(gpu: Gpu) -> None:
    """Compare a GPU and its driver with what onnxruntime was built for.

    Raises:
        ModelError: the driver or the GPU is too old.
    """
    built = str(getattr(ort, "cuda_version", None) or "").partition(".")[0]
    if not built.isdigit():
        return
    older = "install an onnxruntime-gpu for the older CUDA (1.26 is the last for CUDA 12)"
    if gpu.cuda[0] < int(built):
        speaks = ".".join(map(str, gpu.cuda))
        raise ModelError(
            f"the driver speaks CUDA {speaks}, this onnxruntime needs CUDA {built}",
            hint=f"Update the driver, or {older}",
        )
    if int(built) >= _TURING[0] and gpu.capability < _TURING[1]:
        raise ModelError(f"{gpu} is too old for CUDA {built}", hint=f"Use another GPU, or {older}")


def wants_gpu(device: Device) -> bool:
    """Whether a GPU is asked for, or would be taken by this onnxruntime if there were one."""
    if device is Device.AUTO:
        return CUDA in ort.get_available_providers()
    return device is not Device.CPU


def check_build(provider: str) -> None:
    """Look whether this onnxruntime knows a provider.

    Raises:
        ModelError: it does not.
    """
    if provider in ort.get_available_providers():
        return
    if provider == TENSORRT and CUDA in ort.get_available_providers():
        raise ModelError(
            f"this onnxruntime has no {provider}",
            hint="Its wheels for ARM machines come without TensorRT: set device = cuda",
        )
    raise ModelError(f"this onnxruntime has no {provider}", hint=_EXTRA)


def check_used(provider: str, used: str, loaded: str = "") -> None:
    """Compare what onnxruntime runs a network on with what it was asked for.

    Args:
        provider: asked for.
        used: taken.
        loaded: what `look_for_libraries` was told.

    Raises:
        ModelError: they differ; the message has the reason, where one is found.
    """
    if used == provider:
        return
    reason = why_not_loaded(provider) or loaded
    told = f"{provider} was asked for, but onnxruntime uses {used}"
    raise ModelError(f"{told}: {reason}" if reason else told, hint=hint(reason))


def hint(reason: str) -> str:
    """What to do about an error of a GPU."""
    for pattern, advice in _HINTS:
        if re.search(pattern, reason, re.IGNORECASE):
            return advice
    return _ANY_HINT


def why_not_loaded(provider: str) -> str:
    """What the dynamic loader says about a GPU provider's library; empty if it can be loaded."""
    folder = Path(ort.__file__).parent / "capi"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / _LIBRARIES[provider]))
    except OSError as error:
        return str(error)
    return ""
