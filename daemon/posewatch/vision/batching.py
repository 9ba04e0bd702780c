"""Engines in front of other engines: what several callers ask for, joined and spread.

Threads, queues, and who owns what:

* `BatchingEngine` owns one thread and one queue. The thread takes the oldest request together with
  every other one that waits for the same network, up to `max_batch` crops, and runs them as one
  batch. It never waits for more to come: while a batch runs, the others' requests gather behind it,
  so the batches grow with the load and a lone caller is not delayed. Oldest first means that nobody
  starves. Meant for a GPU, where a batch of sixteen costs little more than one crop.
* A batch that fails is tried again request by request, so an exception goes to the caller who
  asked for the impossible, and to nobody who was merely in the same batch.
* `SpreadEngine` owns no thread: a request goes to the engine that has the fewest crops to work on.
* `close` ends the thread: requests that wait are refused with `EngineClosedError`, the one that
  runs is finished first. The inner engines belong to whoever made them.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np

from posewatch.base.errors import ModelError
from posewatch.vision.engine import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

    from posewatch.base.clock import Clock
    from posewatch.vision.engine import Engine, Outputs


class EngineClosedError(ModelError):
    """The engine was closed before the request could be run."""


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
        outputs = joined(
            [
                self._inner.infer(network, crops[start : start + self._max_batch])
                for start in range(0, len(crops), self._max_batch)
            ]
        )
        bounds = np.cumsum([0, *(len(request.batch) for request in requests)])
        return [tuple(output[start:end] for output in outputs) for start, end in pairwise(bounds)]


class TimedEngine:
    """An engine in front of another one, which tells of each call.

    Args:
        inner: what runs the batches.
        ran: told of the network, the crops, and the seconds that they took.
        clock: the time.
    """

    def __init__(self, inner: Engine, ran: Callable[[str, int, float], None], clock: Clock) -> None:
        self._inner = inner
        self._ran = ran
        self._clock = clock

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        """See `Engine`."""
        began = self._clock.monotonic()
        outputs = self._inner.infer(network, batch)
        self._ran(network, len(batch), self._clock.monotonic() - began)
        return outputs


class SpreadEngine:
    """Several engines with the same networks, such as one for each GPU.

    A request goes to the engine with the fewest crops on their way; of equal ones to the first, so
    that little work makes few but large batches.

    Args:
        engines: at least one.
    """

    def __init__(self, engines: Sequence[Engine]) -> None:
        if not engines:
            raise ValueError("there must be an engine to spread to")
        self._engines = tuple(engines)
        self._busy = [0] * len(self._engines)
        self._lock = threading.Lock()  # guards _busy

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        """See `Engine`."""
        with self._lock:
            chosen = self._busy.index(min(self._busy))
            self._busy[chosen] += len(batch)
        try:
            return self._engines[chosen].infer(network, batch)
        finally:
            with self._lock:
                self._busy[chosen] -= len(batch)
