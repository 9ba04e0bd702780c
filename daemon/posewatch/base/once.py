"""Saying something once, instead of at every scan."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from posewatch.base.clock import Clock


class Once:
    """Tells whether something is due to be said: the first time, or again after a while.

        if once.due(("leaves-the-root", key)):
            log.warning("ignored: it is no file of this folder", extra=fields(file=key))

    Safe to use from several threads.

    Args:
        clock: where the time comes from.
        again: seconds after which the same thing may be said again; infinite by default.
        limit: how many things are remembered; past it, the one said longest ago is forgotten and
            may be said once more.
    """

    def __init__(self, clock: Clock, *, again: float = math.inf, limit: int = 1024) -> None:
        self._clock = clock
        self._again = again
        self._limit = limit
        self._lock = threading.Lock()
        self._said: OrderedDict[Hashable, float] = OrderedDict()

    def due(self, topic: Hashable) -> bool:
        """Whether to say it now; remembers that it was said."""
        now = self._clock.monotonic()
        with self._lock:
            said = self._said.get(topic)
            if said is not None and now - said < self._again:
                return False
            self._said[topic] = now
            self._said.move_to_end(topic)
            if len(self._said) > self._limit:
                self._said.popitem(last=False)
            return True

    def over(self, topic: Hashable) -> bool:
        """Forget it, so that the next time is the first; whether it had been said.

        For conditions that pass: `if once.over("full"): log.info("there is space again")`.
        """
        with self._lock:
            return self._said.pop(topic, None) is not None
