"""From settings to networks that are loaded: on the CPU, or on one or several GPUs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from posewatch.base.errors import ModelError
from posewatch.base.logs import fields
from posewatch.vision.batching import BatchingEngine, SpreadEngine
from posewatch.vision.engine import Engine, OnnxEngine
from posewatch.vision.gpus import choose, find_gpus
from posewatch.vision.providers import CPU, Device, engine_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from posewatch.config import WorkSettings
    from posewatch.vision.gpus import Gpu

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Networks:
    """Networks that are loaded.

    Attributes:
        engine: runs them.
        provider: onnxruntime's name for what they run on.
        gpus: names of the GPUs, and whether they compute in TF32; none on a CPU.
        fallback: why no GPU is used although it would have been taken; may be empty.
        left: what the GPUs leave to the CPU of their work, in words; may be empty.
    """

    engine: Engine
    provider: str
    gpus: tuple[str, ...] = ()
    fallback: str = ""
    left: str = ""

    @property
    def on_cpu(self) -> bool:
        """Whether they run on the CPU."""
        return self.provider == CPU


def open_networks(
    files: Mapping[str, Path],
    work: WorkSettings,
    engines: Path,
    stack: ExitStack,
    timed: Callable[[Engine], Engine] = lambda engine: engine,
) -> Networks:
    """Load networks where the settings say.

    Args:
        files: the ONNX file of each network.
        work: where and how.
        engines: folder for what TensorRT compiles; made when it is needed.
        stack: takes the networks down again.
        timed: puts something in front of each copy of the networks that sees every batch.

    Raises:
        ModelError: a network cannot be loaded, or not on the device that was asked for.
    """
    device = Device(work.device)
    if device is Device.CPU:
        if work.require_gpu or work.gpus:
            name = "require_gpu" if work.require_gpu else "gpus"
            raise ModelError(
                f"work.{name} is set, and work.device is cpu", hint="Change one of them"
            )
        return Networks(timed(OnnxEngine(files)), CPU)
    wanted = Device.CUDA if device is Device.AUTO else device
    try:
        gpus = choose(find_gpus(), work.gpus)
        opened = [_on_gpu(files, wanted, gpu, work, engines) for gpu in gpus]
    except ModelError as error:
        if device is not Device.AUTO or work.require_gpu or work.gpus:
            raise
        return Networks(timed(OnnxEngine(files)), CPU, fallback=error.message)
    # One copy of the networks on each GPU, fed by all videos in flight.
    batching = [
        stack.enter_context(BatchingEngine(timed(engine), max_batch=work.batch))
        for engine in opened
    ]
    engine = batching[0] if len(batching) == 1 else SpreadEngine(batching)
    names = tuple(f"{gpu} in TF32" if work.tf32 and gpu.has_tf32 else str(gpu) for gpu in gpus)
    return Networks(engine, opened[0].provider, names, left=opened[0].left)


def _on_gpu(
    files: Mapping[str, Path], device: Device, gpu: Gpu, work: WorkSettings, engines: Path
) -> OnnxEngine:
    log.info("loading the networks", extra=fields(device=f"GPU {gpu.number}: {gpu}"))
    folder = None
    if device is Device.TENSORRT:
        versions = {
            "ort": version_of("onnxruntime-gpu", "onnxruntime"),
            "trt": version_of("tensorrt-cu13", "tensorrt-cu12", "tensorrt"),
        }
        folder = engine_folder(engines, gpu, versions)
        folder.mkdir(parents=True, exist_ok=True)
    return OnnxEngine(
        files, device=device, gpu=gpu, engines=folder, batch=work.batch, tf32=work.tf32
    )


def version_of(*packages: str) -> str:
    """The version of the first of these packages that is installed."""
    for package in packages:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"
