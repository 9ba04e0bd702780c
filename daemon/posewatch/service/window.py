"""Through which others see what stands in the folder, as the loop knows it.

Threads: anybody may `look`; the loop alone calls `show`. To list a folder of a hundred thousand
videos takes a noticeable part of a second, so it is done only when somebody looks, and at most
`SHARE` of the loop's time goes into it: whoever looks more often is shown the same again.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from posewatch.base.clock import Clock
    from posewatch.service.inspect import FolderStatus

SHARE: Final = 0.05
"""Of the loop's time, at most."""

OFTEN: Final = 0.5
"""Seconds between two listings at least."""

PATIENCE: Final = 2.5
"""Seconds that somebody who looks waits for the loop, which turns at least once a second."""


@dataclass(frozen=True, slots=True)
class View:
    """What is seen.

    Attributes:
        status: of the folder.
        at: when it was listed, by the monotonic clock.
        seconds: how long that took.
    """

    status: FolderStatus
    at: float
    seconds: float

    def good_until(self) -> float:
        """Until when it is shown again, by the monotonic clock."""
        return self.at + max(OFTEN, self.seconds / SHARE)


class Window:
    """Lets others see, and tells the loop that somebody wants to.

    Args:
        clock: the time.
        wake: tells the loop that somebody looks; called from any thread.
    """

    def __init__(self, clock: Clock, wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._lock = threading.Lock()
        self._view: View | None = None
        self._waiting: threading.Event | None = None

    def look(self) -> View | None:
        """What stands in the folder: new, or as old as `good_until` and a loop that is busy allow.

        None where the folder was never read. Waits for the loop, but not for long.
        """
        with self._lock:
            if self._view is not None and self._clock.monotonic() < self._view.good_until():
                return self._view
            first = self._waiting is None
            waiting = self._waiting = self._waiting or threading.Event()
        if first:
            self._wake()
        self._clock.wait(waiting, PATIENCE)
        with self._lock:
            return self._view

    def show(self, view: View | None) -> None:
        """Show something new to whoever waits; None where there is nothing to be seen yet."""
        with self._lock:
            self._view = view
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.set()
