"""Networks at work, in onnxruntime.

Threads, and who owns what:

* `OnnxEngine` owns one onnxruntime session for each network, made when it is opened, and shared by
  every thread of the process. On a CPU the thread that asks does the work itself: running a session
  changes nothing in it, so nothing is locked, and several videos in flight are several threads,
  each with one core (`threads=1`). onnxruntime's own pool never spins: on a busy machine its
  spinning turned 18 ms into 160 ms.
* On a GPU, each network has one buffer that pictures are put into and that the GPU fetches them
  from; a lock lets one thread at a time use it. `posewatch.vision.batching` joins requests before.
* An engine that needs no networks, for tests, is `posewatch.vision.holistic.fake.FakeEngine`.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import onnxruntime as ort

from posewatch.base.errors import ModelError
from posewatch.base.logs import fields
from posewatch.vision.gpus import pin
from posewatch.vision.profiles import left_to_cpu
from posewatch.vision.providers import (
    CPU,
    Device,
    check_build,
    check_gpu,
    check_used,
    hint,
    look_for_libraries,
    providers,
    why_not_loaded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from posewatch.vision.gpus import Gpu
    from posewatch.vision.providers import Provider

    Outputs: TypeAlias = tuple[NDArray[np.float32], ...]

log = logging.getLogger(__name__)

_INPUT = "input"
"""What the input of each network is called."""

_CPU_BATCH = 1
"""Crops that a CPU works on at once.

More gain nothing and fall out of its caches: Holistic took 35 ms a frame with batches of 1 and of
2, 43 ms with 8, 54 ms with 16; and the memory of a session grows with its largest batch.
"""

_ERRORS = 3
"""Severity of onnxruntime's log.

It warns of how it places nodes, which `profiles` finds out better, and for each network on a GPU
that CUDA is no plug-in, which it need not be.
"""


class Engine(Protocol):
    """Runs networks. Safe to use from several threads."""

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        """Run one network.

        Args:
            network: its name, as the engine was given it.
            batch: (n, height, width, 3) RGB, n ≥ 1, of the size that the network takes.

        Returns:
            The network's outputs in the order of its graph, each with n rows.

        Raises:
            ModelError: there is no such network, or it does not take this batch.
        """
        ...


class OnnxEngine:
    """Networks in onnxruntime, run by the thread that asks.

    Args:
        networks: the ONNX file of each network, by its name.
        device: where to run them: CPU, CUDA or TENSORRT.
        threads: cores that one request may use (CPU only).
        gpu: which GPU; None stands for the first, of which nothing is known.
        engines: existing folder in which TensorRT keeps what it has compiled.
        batch: pictures in the largest batch that is expected, which a GPU tries before it begins.
        tf32: whether a GPU that can may round factors to 10 bits.

    Attributes:
        provider: onnxruntime's name for what runs them, such as `CUDAExecutionProvider`.
        left: what a GPU leaves to the CPU of its work, in words; empty where it does it all.

    Raises:
        ModelError: a file cannot be loaded, or not on the device; the message says why.
    """

    def __init__(
        self,
        networks: Mapping[str, Path],
        *,
        device: Device = Device.CPU,
        threads: int = 1,
        gpu: Gpu | None = None,
        engines: Path | None = None,
        batch: int = 1,
        tf32: bool = True,
    ) -> None:
        asked = providers(device, gpu, engines, tf32=tf32)
        self.provider = asked[0][0]
        told: list[str] = []
        self._runs: dict[str, Callable[[NDArray[np.uint8]], Outputs]] = {}
        ort.set_default_logger_severity(_ERRORS)
        _share_memory()
        check_build(self.provider)
        said = ""
        if self.provider != CPU:
            if gpu is not None:
                check_gpu(gpu)
            said = look_for_libraries(self.provider)
        for name, path in networks.items():
            if self.provider == CPU:
                session = _open_session(path, asked, threads)
                check_used(CPU, session.get_providers()[0])
                self._runs[name] = _Plain(session)
                continue
            with _scratch() as folder:
                session = _open_session(path, asked, threads, Path(folder))
                check_used(self.provider, session.get_providers()[0], said)
                self._runs[name] = Bound(session, batch, gpu)
                if left := self._warm_up(name, session, batch):
                    told.append(f"{name}: {left}")
        self.left = "; ".join(told)

    def _warm_up(self, name: str, session: ort.InferenceSession, batch: int) -> str:
        """Try a network alone and in a batch: it is compiled now, and what is wrong shows now.

        Returns:
            What the GPU left to the CPU of it, in words.
        """
        picture = session.get_inputs()[0].shape[1:]
        for count in sorted({1, batch}):
            try:
                self.infer(name, np.zeros((count, *picture), np.uint8))
            except ModelError as error:
                raise ModelError(
                    f"{self.provider} cannot be used: {error.message}", hint=hint(error.message)
                ) from error
        try:
            left = left_to_cpu(Path(session.end_profiling()).read_bytes())
        except (AttributeError, OSError, TypeError, ValueError) as error:  # nothing rests on it
            log.debug("the profile of the warm-up cannot be read: %s", error)
            return ""
        if left:
            log.warning(
                "the GPU leaves a part of a network to the CPU, and waits for it",
                extra=fields(network=name, provider=self.provider, reason=left),
            )
        return left

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        """See `Engine`."""
        run = self._runs.get(network)
        if run is None:
            raise ModelError(
                f"no network {network!r}", hint=f"There are: {', '.join(sorted(self._runs))}"
            )
        try:
            return run(batch)
        except Exception as error:
            raise ModelError(
                f"network {network} failed on a batch of shape {batch.shape}: {error}"
            ) from error


class _Plain:
    """A session on a CPU."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self._fixed = _fixed_batch(session)

    def __call__(self, batch: NDArray[np.uint8]) -> Outputs:
        given, at_once = filled(batch, self._fixed or 1), self._fixed or _CPU_BATCH
        outputs = joined(
            [
                self._session.run(None, {_INPUT: given[start : start + at_once]})
                for start in range(0, len(given), at_once)
            ]
        )
        return tuple(output[: len(batch)] for output in outputs)


class Bound:
    """A session that fetches its pictures from one buffer, again and again.

    Bytes go to the device as they are, from memory that is pinned where there is a GPU, so that the
    device fetches them by itself; only what is wanted comes back.

    Args:
        session: of a network.
        batch: pictures in one run; more are run in parts.
        gpu: whose driver pins the buffer; None: nobody does.
    """

    def __init__(self, session: ort.InferenceSession, batch: int, gpu: Gpu | None) -> None:
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self._fixed = _fixed_batch(session)
        self._lock = threading.Lock()  # guards the buffer and what is bound
        self._binding = session.io_binding()
        shape = (self._fixed or batch, *session.get_inputs()[0].shape[1:])
        self._buffer = np.empty(shape, np.uint8)
        if gpu is not None:
            try:
                pin(self._buffer, gpu)
            except ModelError as error:  # slower, and no worse
                log.debug("pictures go to the GPU from memory that is not pinned: %s", error)

    def __call__(self, batch: NDArray[np.uint8]) -> Outputs:
        """See `Engine.infer`."""
        given, at_once = filled(batch, self._fixed or 1), len(self._buffer)
        with self._lock:
            outputs = joined(
                [
                    self._run(given[start : start + at_once])
                    for start in range(0, len(given), at_once)
                ]
            )
        return tuple(output[: len(batch)] for output in outputs)

    def _run(self, pictures: NDArray[np.uint8]) -> Sequence[NDArray[np.float32]]:
        if pictures.shape[1:] != self._buffer.shape[1:]:
            raise ValueError(f"pictures must have the shape {self._buffer.shape[1:]}")
        place = self._buffer[: len(pictures)]
        place[...] = pictures
        self._binding.bind_input(_INPUT, "cpu", 0, np.uint8, place.shape, place.ctypes.data)
        for name in self._outputs:
            self._binding.bind_output(name)
        self._session.run_with_iobinding(self._binding)
        return [np.asarray(output) for output in self._binding.copy_outputs_to_cpu()]


def _scratch() -> TemporaryDirectory[str]:
    try:
        return TemporaryDirectory(prefix="posewatch-")
    except OSError as error:
        raise ModelError(
            f"there is no place for a temporary file: {error}", hint="Set TMPDIR to a folder"
        ) from error


def _fixed_batch(session: ort.InferenceSession) -> int | None:
    """Pictures in each batch of a network that takes no other number."""
    first = session.get_inputs()[0].shape[0]
    return first if isinstance(first, int) else None


def _share_memory() -> None:
    """Give all sessions of the process one pool of memory.

    Each would keep a pool as large as its largest run. They seldom run at the same moment, so one
    pool for all saves a tenth of the process's memory, and more with several videos in flight.
    """
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    with suppress(RuntimeError):  # older versions say so when there is one already
        ort.create_and_register_allocator(memory, None)


def _open_session(
    path: Path, asked: Sequence[Provider], threads: int, profile: Path | None = None
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    if profile is not None:  # until its `end_profiling`
        options.enable_profiling = True
        options.profile_file_prefix = str(profile / "warm-up")
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = _ERRORS
    # a plan would be kept for every batch size that was ever seen
    options.enable_mem_pattern = False
    try:
        return ort.InferenceSession(
            path,
            options,
            providers=[name for name, _ in asked],
            provider_options=[dict(more) for _, more in asked],
            enable_fallback=0,
        )
    except Exception as error:
        name, reason = asked[0][0], str(error).strip()
        if name == CPU:
            raise ModelError(f"{path} cannot be loaded on {name}: {reason}") from error
        if loader := why_not_loaded(name):
            reason = f"{reason} ({loader})"
        raise ModelError(
            f"{path} cannot be loaded on {name}: {reason}", hint=hint(reason)
        ) from error


def filled(batch: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """The batch, and its last crop again until there is a multiple of so many."""
    missing = -len(batch) % multiple
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch


def joined(parts: Sequence[Sequence[NDArray[np.float32]]]) -> Outputs:
    """The outputs of the parts of one batch."""
    if len(parts) == 1:
        return tuple(parts[0])
    return tuple(np.concatenate(of_parts) for of_parts in zip(*parts, strict=True))
