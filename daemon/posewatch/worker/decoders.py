"""The turns to work: one decoder process for each video in flight.

Taking a decoder and having a turn are the same. Those who wait are served in the order in which
they came.

Threads: job threads call `turn`; one condition guards the queue. The decoder processes themselves
are started by the first video that needs them, and end with `close`.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posewatch.vision.decoder import Decoder
    from posewatch.worker.cancel import Cancellation


class Decoders:
    """A pool.

    Args:
        make: makes one decoder.
        count: how many there may be.
    """

    def __init__(self, make: Callable[[], Decoder], count: int) -> None:
        self._make = make
        self._count = count
        self._made = 0
        self._free: list[Decoder] = []
        self._waiting: deque[object] = deque()
        self._condition = threading.Condition()

    @contextmanager
    def turn(self, cancellation: Cancellation) -> Iterator[Decoder]:
        """Wait for a turn, and have it. Cancelling also stops the decoder.

        Raises:
            StoppedError: the job was cancelled while it waited.
        """
        try:
            decoder = self._take(cancellation)
        except BaseException:
            cancellation.wake_with(None)
            raise
        cancellation.wake_with(decoder.cancel)
        try:
            cancellation.has_turn = True
            cancellation.check()  # it may have been cancelled just before it could be woken
            yield decoder
        finally:
            cancellation.wake_with(None)
            self._give_back(decoder)

    def resize(self, count: int) -> None:
        """Allow more or fewer; those that are too many end with their video."""
        with self._condition:
            self._count = count
            surplus = self._shed()
            self._condition.notify_all()
        for decoder in surplus:
            decoder.close()

    def close(self) -> None:
        """End all decoders that are not in use; those in use end with their turn."""
        self.resize(0)

    def _take(self, cancellation: Cancellation) -> Decoder:
        ticket = object()
        cancellation.wake_with(self._wake)
        with self._condition:
            self._waiting.append(ticket)
            try:
                while self._waiting[0] is not ticket or not self._available():
                    cancellation.check()
                    self._condition.wait()
            finally:
                self._waiting.remove(ticket)
                self._condition.notify_all()
            if self._free:
                return self._free.pop()
            self._made += 1
        try:
            return self._make()
        except BaseException:
            with self._condition:
                self._made -= 1
                self._condition.notify_all()
            raise

    def _available(self) -> bool:
        return bool(self._free) or self._made < self._count

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def _give_back(self, decoder: Decoder) -> None:
        with self._condition:
            self._free.append(decoder)
            surplus = self._shed()
            self._condition.notify_all()
        for unwanted in surplus:
            unwanted.close()

    def _shed(self) -> list[Decoder]:
        surplus = []
        while self._free and self._made > self._count:
            surplus.append(self._free.pop())
            self._made -= 1
        return surplus
