"""When there has been nothing to do for so long that the machine may stop: the decision alone.

Pure: what the loop sees in each of its turns goes in, what is to be done comes out. Time is
monotonic, so setting the clock moves nothing, and time in which the machine slept does not count.

The rules, which the tests hold:

1. Idle is a time in which every turn of the loop saw nothing to do. A gap between two turns (the
   process was stopped) begins it anew: nobody knows what was missed.
2. Before the end there is a warning, and a grace in which anything to do, or a file that an
   operator puts in the way, calls it off.
3. A look at the whole folder that began after the warning has the last word.
4. It acts once, until there was something to do again; what failed, or left the machine running,
   is tried again after as long a time as the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

GAP: Final = 60.0
"""Seconds between two turns after which what came before does not count. Turns last a second, and
the watchdog ends a loop that stands still for half as long."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings.

    Attributes:
        idle: seconds without anything to do.
        grace: seconds between the warning and the act.
        again: seconds after an act that seemed to work before it is tried again, should the process
            still be there with nothing to do; None where that is as it should be.
    """

    idle: float
    grace: float
    again: float | None


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of the loop saw.

    Attributes:
        now: the time.
        busy: what there is to do, or why that is not known; empty where there is nothing.
        held: what an operator, or another daemon, has put in the way; empty where nothing is.
        looked: when the last whole look at the folder began; before anything else, 0.
    """

    now: float
    busy: str
    held: str
    looked: float


class Act(Enum):
    """What is to be done."""

    NOTHING = auto()
    WARN = auto()
    LOOK = auto()  # at the folder: the grace is over, and the last look was before it
    CALL_OFF = auto()  # the warning
    FIRE = auto()


class Idling:
    """Remembers since when there is nothing to do."""

    def __init__(self) -> None:
        self._turned: float | None = None
        self._since: float | None = None
        self._warned: float | None = None
        self._fired: float | None = None

    def turn(self, turn: Turn, limits: Limits) -> Act:
        """The loop made a turn; what is to be done."""
        now, last = turn.now, self._turned
        self._turned = now
        if turn.busy:
            self._since = self._fired = None
            return self._call_off()
        if self._since is None or last is None or now - last > GAP:
            self._since = now
            return self._call_off()
        if turn.held:
            return self._call_off()
        if self._fired is not None:
            if limits.again is not None and now - self._fired >= limits.again:
                self.failed(now)
            return Act.NOTHING
        return self._approach(turn, limits, self._since)

    def _approach(self, turn: Turn, limits: Limits, since: float) -> Act:
        if self._warned is None:
            if turn.now - since < limits.idle:
                return Act.NOTHING
            self._warned = turn.now
            return Act.WARN
        if turn.now - self._warned < limits.grace:
            return Act.NOTHING
        if turn.looked <= self._warned:
            return Act.LOOK
        self._fired, self._warned = turn.now, None
        return Act.FIRE

    def failed(self, now: float) -> None:
        """The act did not work: the time begins anew."""
        self._since, self._fired = now, None

    def seconds(self, now: float) -> float:
        """For how long there has been nothing to do."""
        return now - self._since if self._since is not None else 0.0

    def left(self, now: float, limits: Limits) -> float | None:
        """Seconds until it acts, as far as time alone decides; None after it did, or while busy."""
        if self._since is None or self._fired is not None:
            return None
        if self._warned is not None:
            return max(limits.grace - (now - self._warned), 0.0)
        return max(limits.idle - (now - self._since), 0.0) + limits.grace

    def _call_off(self) -> Act:
        warned, self._warned = self._warned, None
        return Act.NOTHING if warned is None else Act.CALL_OFF
