"""Time is asked for here and nowhere else, so that tests can own it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading


class Clock(Protocol):
    """Where the program gets its time from."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back. For every duration and deadline."""

    def wall(self) -> float:
        """Seconds since 1970 (UTC). Only for people to read: no decision rests on it."""

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait until `event` is set or `seconds` have passed; whether the event is set."""


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        """See `Clock`."""
        return time.monotonic()

    def wall(self) -> float:
        """See `Clock`."""
        return time.time()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """See `Clock`."""
        return event.wait(max(seconds, 0.0))


class ManualClock:
    """A clock that moves only when it is told to: for tests and simulations.

    `wait` advances the time instead of sleeping.
    """

    def __init__(self, start: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = start
        self._wall_offset = wall - start

    def monotonic(self) -> float:
        """See `Clock`."""
        return self._now

    def wall(self) -> float:
        """See `Clock`."""
        return self._now + self._wall_offset

    def advance(self, seconds: float) -> None:
        """Move the time on.

        Raises:
            ValueError: for negative `seconds`.
        """
        if seconds < 0:
            raise ValueError(f"time does not run backwards: {seconds}")
        self._now += seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """See `Clock`; returns at once."""
        if not event.is_set():
            self.advance(max(seconds, 0.0))
        return event.is_set()
