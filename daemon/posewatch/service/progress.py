"""Whether the main loop still makes progress: one mark that the loop sets and others look at.

Threads: the loop calls `mark` and `during`; the watchdog's and the HTTP server's threads read. All
state is under one lock, held only for assignments.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posewatch.base.clock import Clock


@dataclass(frozen=True, slots=True)
class Health:
    """How the main loop does.

    Attributes:
        alive: whether it showed progress in time.
        silent_seconds: since it last did.
        doing: the long work that it had announced, or empty.
    """

    alive: bool
    silent_seconds: float
    doing: str = ""


class Progress:
    """When the main loop last showed that it lives, and until when its silence is in order.

    Args:
        clock: where the time comes from.
        patience: seconds that may pass between two marks. Longer than any turn of the loop takes,
            shorter than anybody would wait for a hung daemon.
    """

    def __init__(self, clock: Clock, patience: float) -> None:
        self._clock = clock
        self._patience = patience
        self._lock = threading.Lock()
        self._marked = clock.monotonic()
        self._deadline = self._marked + patience
        self._doing = ""

    def mark(self) -> None:
        """The loop made a turn; whatever was announced is over."""
        with self._lock:
            self._marked = self._clock.monotonic()
            self._deadline = self._marked + self._patience
            self._doing = ""

    @contextmanager
    def during(self, doing: str, seconds: float) -> Iterator[None]:
        """Announce work that is known to take long, such as loading the networks.

        Args:
            doing: what it is, for people.
            seconds: how long it may take at most.
        """
        with self._lock:
            self._marked = self._clock.monotonic()
            self._deadline = self._marked + max(seconds, self._patience)
            self._doing = doing
        try:
            yield
        finally:
            self.mark()

    def health(self) -> Health:
        """How the loop does now."""
        now = self._clock.monotonic()
        with self._lock:
            return Health(now <= self._deadline, now - self._marked, self._doing)
