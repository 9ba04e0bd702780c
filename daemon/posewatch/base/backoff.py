"""How long to wait before trying again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter.

    Before try number n+1 it waits a random time, evenly distributed between 0 and
    `min(limit, first * factor**(n - 1))`: many clients that failed together do not come back
    together (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    Attributes:
        first: seconds that the first wait takes at most.
        limit: seconds that any wait takes at most.
        factor: how much longer each wait may be than the one before it.
    """

    first: float = 0.1
    limit: float = 60.0
    factor: float = 2.0

    def __post_init__(self) -> None:
        if not (0 < self.first <= self.limit and self.factor >= 1):
            raise ValueError(f"0 < first <= limit and factor >= 1 do not hold for {self}")

    def ceiling(self, failures: int) -> float:
        """The longest wait after so many failures in a row, in seconds.

        Raises:
            ValueError: for less than one failure.
        """
        if failures < 1:
            raise ValueError(f"there is nothing to wait for after {failures} failures")
        try:
            return min(self.limit, self.first * self.factor ** (failures - 1))
        except OverflowError:  # past 1e308, hence past any limit
            return self.limit

    def delay(self, failures: int, random: Random) -> float:
        """How long to wait after so many failures in a row, in seconds.

        Raises:
            ValueError: for less than one failure.
        """
        return random.uniform(0.0, self.ceiling(failures))


class Retries:
    """Counts the failures of one thing, and says when it may be tried again.

    Args:
        backoff: how the waits grow.
        random: where the jitter comes from.
    """

    def __init__(self, backoff: Backoff, random: Random) -> None:
        self._backoff = backoff
        self._random = random
        self.failures = 0

    def failed(self) -> float:
        """Count a failure; returns how long to wait, in seconds."""
        self.failures += 1
        return self._backoff.delay(self.failures, self._random)

    def succeeded(self) -> None:
        """Begin again with the short waits."""
        self.failures = 0
