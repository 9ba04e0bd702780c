"""How a job is told to stop, and why."""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Stop(StrEnum):
    """Why a job is stopped before its end."""

    SHUTDOWN = "shutdown"  # the process is to end: the claim is given back
    LOST = "lost"  # the claim is not ours any more: nothing is published


class StoppedError(Exception):
    """Raised inside of a job that was told to stop."""

    def __init__(self, why: Stop, detail: str) -> None:
        super().__init__(detail or why.value)
        self.why = why
        self.detail = detail


class Cancellation:
    """Shared between a job's thread, which checks, and everybody else, who may cancel.

    The first reason stays.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._error: StoppedError | None = None
        self._wake: Callable[[], None] | None = None
        self.event = threading.Event()
        self.has_turn = False
        """Whether the job has begun its work proper; set by the job."""

    def cancel(self, why: Stop, detail: str = "") -> None:
        """Tell the job to stop, and wake it if it waits for its decoder."""
        with self._lock:
            if self._error is None:
                self._error = StoppedError(why, detail)
            self.event.set()
            # Inside of the lock: once `wake_with` has returned, the old one is not called any more,
            # when its decoder may be at work for somebody else.
            if self._wake is not None:
                self._wake()

    def wake_with(self, wake: Callable[[], None] | None) -> None:
        """What `cancel` is to call from now on, to end a blocking call of the job.

        To be called with no lock held that `wake` takes.
        """
        with self._lock:
            self._wake = wake

    def check(self) -> None:
        """Go on, or raise `StoppedError`."""
        if self._error is not None:
            raise self._error
