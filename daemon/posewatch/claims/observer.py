"""Whether something has been left unchanged for long, judged by the observer's own clock alone."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container


@dataclass(frozen=True, slots=True)
class _Sight:
    mark: object
    since: float


class Observer:
    """What one process has seen. Safe to use from several threads."""

    def __init__(self) -> None:
        self._sights: dict[str, _Sight] = {}
        self._complete = False
        self._lock = threading.Lock()

    def see(self, name: str, mark: object, began: float, ended: float) -> float:
        """For how long something has surely been unchanged.

        Args:
            name: of what was looked at.
            mark: what it was like: content or version.
            began: monotonic time before the look. A look may take long, and what it shows may be
                as old as its beginning.
            ended: monotonic time after the look.

        Returns:
            Seconds between the end of the first of all looks in a row that saw `mark`, and the
            beginning of this one; 0.0 for a first look.
        """
        with self._lock:
            sight = self._sights.get(name)
            if sight is None or sight.mark != mark:
                sight = self._sights[name] = _Sight(mark, ended)
        return max(began - sight.since, 0.0)

    def missed(self, name: str) -> bool:
        """Whether something was not there when everything was last looked at, nor since then."""
        with self._lock:
            return self._complete and name not in self._sights

    def forget_all_but(self, names: Container[str]) -> None:
        """Forget what is not there any more: should it come back, it starts anew."""
        with self._lock:
            self._complete = True
            for name in [name for name in self._sights if name not in names]:
                del self._sights[name]
