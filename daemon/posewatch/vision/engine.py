"""Networks at work: the only place that imports onnxruntime.

Threads, queues, and who owns what:

* `OnnxEngine` owns one onnxruntime session for each network, made when it is opened, and shared by
  every thread of the process. Running a session changes nothing in it, so nothing is locked: on a
  CPU the thread that asks does the work itself, and several videos in flight are several threads,
  each with one core (`threads=1`). onnxruntime's own pool never spins: on a busy machine its
  spinning turned 18 ms into 160 ms.
* `BatchingEngine` owns one thread and one queue, in front of another engine. The thread takes the
  oldest request together with every other one that waits for the same network, up to `max_batch`
  crops, and runs them as one batch. It never waits for more to come: while a batch runs, the
  others' requests gather behind it, so the batches grow with the load and a lone caller is not
  delayed. Oldest first means that nobody starves. Meant for a GPU, where a batch of sixteen costs
  little more than one crop.
* A batch that fails is tried again request by request, so an exception goes to the caller who
  asked for the impossible, and to nobody who was merely in the same batch.
* An engine that needs no networks, for tests, is `posewatch.vision.holistic.fake.FakeEngine`.
* `close` ends the thread: requests that wait are refused with `EngineClosedError`, the one that
  runs is finished first. The inner engine belongs to whoever made it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

import numpy as np
import onnxruntime as ort

from posewatch.base.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    Outputs: TypeAlias = tuple[NDArray[np.float32], ...]

_CPU = "CPUExecutionProvider"
_CUDA = "CUDAExecutionProvider"
_INPUT = "input"
"""What the input of each network is called."""

_CPU_BATCH = 1
"""Crops that a CPU works on at once.

More gain nothing and fall out of its caches: Holistic took 35 ms a frame with batches of 1 and of
2, 43 ms with 8, 54 ms with 16; and the memory of a session grows with its largest batch.
"""

_PROVIDER_OPTIONS = MappingProxyType(
    {
        # The default tries every algorithm anew for each batch size that it meets.
        _CUDA: {"cudnn_conv_algo_search": "HEURISTIC"},
    }
)

_ERRORS = 3
"""Severity of onnxruntime's log: its warnings tell how it places nodes, which is its own affair."""


class Device(StrEnum):
    """Where networks run."""

    CPU = "cpu"
    CUDA = "cuda"
    AUTO = "auto"  # CUDA where it works, else the CPU


class EngineClosedError(ModelError):
    """The engine was closed before the request could be run."""


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
        device: where to run them.
        threads: cores that one request may use (CPU only).
        ran: told of each run of a network: its name, the crops in it, the seconds that it took.

    Attributes:
        provider: onnxruntime's name for what runs them, such as `CUDAExecutionProvider`.
        fallback: why AUTO did not take CUDA; empty where it did, or was not asked.
        gpu_wanted: whether CUDA was asked for, or AUTO and this onnxruntime is one for GPUs.

    Raises:
        ModelError: a file cannot be loaded, or CUDA was asked for and cannot be used.
    """

    def __init__(
        self,
        networks: Mapping[str, Path],
        *,
        device: Device = Device.CPU,
        threads: int = 1,
        ran: Callable[[str, int, float], None] = lambda _network, _crops, _seconds: None,
    ) -> None:
        _share_memory()
        self._ran = ran
        self.gpu_wanted = device is Device.CUDA or (
            device is Device.AUTO and _CUDA in ort.get_available_providers()
        )
        self.fallback = ""
        self.provider = _CPU if device is Device.CPU else _CUDA
        try:
            self._sessions = self._open(networks, threads)
        except ModelError as error:
            if device is not Device.AUTO:
                raise
            self.fallback = error.message
            self.provider = _CPU
            self._sessions = self._open(networks, threads)

    def _open(self, networks: Mapping[str, Path], threads: int) -> dict[str, ort.InferenceSession]:
        return {
            name: _open_session(path, self.provider, threads) for name, path in networks.items()
        }

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        """See `Engine`."""
        session = self._sessions.get(network)
        if session is None:
            raise ModelError(
                f"no network {network!r}", hint=f"There are: {', '.join(sorted(self._sessions))}"
            )
        fixed = session.get_inputs()[0].shape[0]
        if isinstance(fixed, int):
            at_once, given = fixed, _filled(batch, fixed)
        else:
            at_once, given = (_CPU_BATCH if self.provider == _CPU else len(batch)), batch
        try:
            outputs = _joined(
                [
                    self._run(network, session, given[start : start + at_once])
                    for start in range(0, len(given), at_once)
                ]
            )
        except Exception as error:
            raise ModelError(
                f"network {network} failed on a batch of shape {batch.shape}: {error}"
            ) from error
        return outputs if len(given) == len(batch) else tuple(out[: len(batch)] for out in outputs)

    def _run(
        self, network: str, session: ort.InferenceSession, crops: NDArray[np.uint8]
    ) -> Sequence[NDArray[np.float32]]:
        begun = time.perf_counter()
        outputs: Sequence[NDArray[np.float32]] = session.run(None, {_INPUT: crops})
        self._ran(network, len(crops), time.perf_counter() - begun)
        return outputs


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


def _open_session(path: Path, provider: str, threads: int) -> ort.InferenceSession:
    if provider not in ort.get_available_providers():
        raise ModelError(
            f"this onnxruntime has no {provider}",
            hint="Install the extra posewatch[gpu] instead of posewatch[cpu], or set device = cpu",
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.log_severity_level = _ERRORS
    # a plan would be kept for every batch size that was ever seen
    options.enable_mem_pattern = False
    try:
        session = ort.InferenceSession(
            path,
            options,
            providers=[provider],
            provider_options=[_PROVIDER_OPTIONS.get(provider, {})],
            enable_fallback=0,
        )
    except Exception as error:
        raise ModelError(f"{path} cannot be loaded on {provider}: {error}") from error
    used = session.get_providers()[0]
    if used != provider:
        raise ModelError(
            f"{provider} was asked for, but onnxruntime uses {used}",
            hint="The GPU's driver, or CUDA's libraries, are missing or of another version",
        )
    return session


def _filled(batch: NDArray[np.uint8], fixed: int) -> NDArray[np.uint8]:
    """The batch, and its last crop again until there is a multiple of `fixed`."""
    missing = -len(batch) % fixed
    return np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)]) if missing else batch


def _joined(parts: Sequence[Sequence[NDArray[np.float32]]]) -> Outputs:
    """The outputs of the parts of one batch."""
    if len(parts) == 1:
        return tuple(parts[0])
    return tuple(np.concatenate(of_parts) for of_parts in zip(*parts, strict=True))


@dataclass(slots=True)
class _Request:
    network: str
    batch: NDArray[np.uint8]
    answer: Future[Outputs] = field(default_factory=Future)


class BatchingEngine:
    """One thread in front of another engine, which joins what several callers ask for.

    Args:
        inner: what runs the batches. It stays open when this one is closed.
        max_batch: crops in one batch. A larger request is run alone, in parts.
    """

    def __init__(self, inner: Engine, *, max_batch: int = 32) -> None:
        if max_batch < 1:
            raise ValueError(f"max_batch must be at least 1: {max_batch}")
        self._inner = inner
        self._max_batch = max_batch
        self._waiting: deque[_Request] = deque()
        self._closed = False
        self._changed = threading.Condition()  # guards the two above
        self._thread = threading.Thread(target=self._work, name="posewatch-batches", daemon=True)
        self._thread.start()

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        """See `Engine`; returns when the batch with this request's crops has been run.

        Raises:
            EngineClosedError: the engine was closed first.
        """
        request = _Request(network, batch)
        with self._changed:
            if self._closed:
                raise EngineClosedError("the engine is closed")
            self._waiting.append(request)
            self._changed.notify()
        return request.answer.result()

    def close(self) -> None:
        """Refuse what waits, finish what runs, end the thread. May be called again."""
        with self._changed:
            self._closed = True
            refused = list(self._waiting)
            self._waiting.clear()
            self._changed.notify()
        for request in refused:
            request.answer.set_exception(EngineClosedError("the engine was closed"))
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _work(self) -> None:
        while requests := self._next():
            self._answer(requests)

    def _answer(self, requests: list[_Request]) -> None:
        try:
            answers = self._run(requests)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to a caller
            if len(requests) == 1:
                requests[0].answer.set_exception(error)
                return
            for request in requests:
                self._answer([request])
        else:
            for request, answer in zip(requests, answers, strict=True):
                request.answer.set_result(answer)

    def _next(self) -> list[_Request]:
        """The requests to run as one batch; none when the engine is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return []
            first = self._waiting.popleft()
            taken, left, size = [first], deque[_Request](), len(first.batch)
            for request in self._waiting:
                if request.network == first.network and (
                    size + len(request.batch) <= self._max_batch
                ):
                    taken.append(request)
                    size += len(request.batch)
                else:
                    left.append(request)
            self._waiting = left
            return taken

    def _run(self, requests: list[_Request]) -> list[Outputs]:
        network = requests[0].network
        crops = (
            requests[0].batch
            if len(requests) == 1
            else np.concatenate([request.batch for request in requests])
        )
        outputs = _joined(
            [
                self._inner.infer(network, crops[start : start + self._max_batch])
                for start in range(0, len(crops), self._max_batch)
            ]
        )
        bounds = np.cumsum([0, *(len(request.batch) for request in requests)])
        return [tuple(output[start:end] for output in outputs) for start, end in pairwise(bounds)]
