"""What to do when the folder refuses something: wait, say so once, and look whether it passed.

A full disk, or a mount that does not answer, is everybody's trouble: nothing is claimed for a
while. What may not be written hinders the videos in that sub-folder only. Waits grow while the
trouble lasts.
"""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING

from posewatch.base.backoff import Backoff, Retries
from posewatch.base.errors import (
    DeniedError,
    ReadOnlyError,
    StorageError,
    UnavailableError,
    UnmountedError,
)
from posewatch.base.logs import fields
from posewatch.base.metrics import StorageFault
from posewatch.base.once import Once
from posewatch.formats import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posewatch.base.clock import Clock
    from posewatch.base.metrics import Metrics

log = logging.getLogger(__name__)

LOCAL = (DeniedError, ReadOnlyError)
"""Of one sub-folder: others may be another mount, or belong to somebody else."""

GIVEN_UP = 3
"""Refusals in a row after which a sub-folder counts as one that cannot be written."""

SAID = 600.0
"""Seconds before the same trouble is told again, should it come and go."""

EVERYWHERE = None


class _Refusal:
    """One trouble that lasts."""

    def __init__(self, error: StorageError) -> None:
        self.error = error
        self.until = 0.0
        self.said = False
        self.retries = Retries(Backoff(first=1.0, limit=60.0), Random())  # noqa: S311 -- jitter


class Troubles:
    """The troubles of now. Belongs to the loop; `error` may be read by anybody.

    Args:
        clock: the time.
        metrics: the numbers.
    """

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._once = Once(clock, again=SAID)
        self._refusals: dict[str | None, _Refusal] = {}
        self.error: StorageError | None = None
        """One of the troubles, those of the whole folder first."""

    def note(self, error: StorageError, key: str | None = None) -> None:
        """The folder refused something.

        Args:
            error: what it said.
            key: the video that this was about; None where it was about none.
        """
        self._metrics.storage_errors[StorageFault.of(error)].inc()
        if isinstance(error, UnmountedError):
            self._metrics.folder_available.set(0)
        where = names.split(key)[0] if key is not None and isinstance(error, LOCAL) else EVERYWHERE
        refusal = self._refusals.get(where)
        if refusal is None or type(refusal.error) is not type(error):
            refusal = self._refusals[where] = _Refusal(error)
            refusal.said = self._once.due((where, type(error)))
            if refusal.said:
                told = fields() if key is None else fields(video=key)
                words = "the folder is in trouble; work goes on when it has passed"
                log.error(words, exc_info=error, extra=told)
        refusal.error = error
        refusal.until = self._clock.monotonic() + refusal.retries.failed()
        self._choose()

    def passed(self, key: str) -> None:
        """The folder took something for this video."""
        self._over(names.split(key)[0])
        self._over(EVERYWHERE)

    def listed(self, unfinished: Iterable[str]) -> None:
        """The folder could be listed: what a scan finds, a scan also finds mended.

        Args:
            unfinished: the videos that there is something to do for. Where there is none, there is
                nothing that can be refused.
        """
        self._metrics.folder_available.set(1)
        if not self._refusals:
            return
        wheres: set[str | None] = {names.split(key)[0] for key in unfinished}
        if wheres and not self._found_by_scans(EVERYWHERE):
            wheres.add(EVERYWHERE)
        for where in self._refusals.keys() - wheres:
            self._over(where)

    def _found_by_scans(self, where: str | None) -> bool:
        refusal = self._refusals.get(where)
        kinds = UnmountedError | UnavailableError
        return refusal is not None and isinstance(refusal.error, kinds)

    def everything_waits(self) -> bool:
        """Whether no video at all is to be tried now."""
        return self._waits(EVERYWHERE)

    def holds(self, key: str) -> bool:
        """Whether this video is not to be tried now."""
        return self._waits(EVERYWHERE) or self._waits(names.split(key)[0])

    def _waits(self, where: str | None) -> bool:
        refusal = self._refusals.get(where)
        return refusal is not None and self._clock.monotonic() < refusal.until

    def given_up(self, key: str) -> bool:
        """Whether it was tried often enough to say that this video cannot be written beside."""
        refusal = self._refusals.get(names.split(key)[0])
        return refusal is not None and refusal.retries.failures >= GIVEN_UP

    def _over(self, where: str | None) -> None:
        refusal = self._refusals.pop(where, None)
        if refusal is not None and refusal.said:
            log.info("the folder works again", extra=fields(file=where) if where else fields())
        self._choose()

    def _choose(self) -> None:
        refusals = self._refusals
        first = refusals.get(EVERYWHERE) or next(iter(refusals.values()), None)
        self.error = first.error if first is not None else None
