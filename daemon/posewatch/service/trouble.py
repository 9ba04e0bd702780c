"""What to do when something is refused: wait, say so once, and look whether it passed.

A full disk, or a mount that does not answer, is everybody's trouble: nothing is claimed for a
while. What may not be written hinders the videos in that sub-folder only. This machine can be in
trouble, too: the disk of the cache is full, a decoder cannot be started, the GPU fails. Waits grow
while the trouble lasts.
"""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING, Generic, TypeVar

from posewatch.base.backoff import Backoff, Retries
from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    ExistsError,
    FencedError,
    MissingError,
    ReadOnlyError,
    StorageError,
    UnavailableError,
    UnmountedError,
)
from posewatch.base.logs import fields
from posewatch.base.metrics import StorageFault
from posewatch.base.once import Once
from posewatch.formats import names
from posewatch.service.pages import Check

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posewatch.base.clock import Clock
    from posewatch.base.metrics import Metrics

log = logging.getLogger(__name__)

LOCAL = (DeniedError, ReadOnlyError)
"""Of one sub-folder: others may be another mount, or belong to somebody else."""

NORMAL = (ChangedError, ExistsError, FencedError, MissingError)
"""What daemons, and people, do to each other all the time: a folder was removed before the claim of
what had been in it."""

GIVEN_UP = 3
"""Refusals in a row after which a sub-folder counts as one that cannot be written."""

SAID = 600.0
"""Seconds before the same trouble is told again, should it come and go."""

EVERYWHERE = None

_Error = TypeVar("_Error", bound=Exception)


class _Refusal(Generic[_Error]):
    """One trouble that lasts."""

    def __init__(self, error: _Error) -> None:
        self.error = error
        self.until = 0.0
        self.said = False
        self.retries = Retries(Backoff(first=1.0, limit=60.0), Random())  # noqa: S311 -- jitter


class Troubles:
    """The troubles of now. Belongs to the loop; anybody may ask for `error` and the checks.

    Args:
        clock: the time.
        metrics: the numbers.
    """

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._once = Once(clock, again=SAID)
        self._refusals: dict[str | None, _Refusal[StorageError]] = {}
        self._machine: _Refusal[Exception] | None = None
        self._folder: StorageError | None = None

    @property
    def error(self) -> Exception | None:
        """One of the troubles, those of the whole folder first."""
        machine = self._machine
        return self._folder or (machine.error if machine is not None else None)

    def check_folder(self) -> Check:
        """For `/readyz`: the kind, not the message, which may name a file, for anybody may ask."""
        error = self._folder
        if error is None:
            return Check("folder", ok=True)
        kind = StorageFault.of(error).value.replace("_", " ")
        return Check("folder", ok=False, detail=f"{kind}. {error.hint}" if error.hint else kind)

    def check_machine(self) -> Check:
        """For `/readyz`."""
        trouble = self._machine
        if trouble is None:
            return Check("machine", ok=True)
        error = trouble.error
        reason = error.strerror if isinstance(error, OSError) else None
        return Check("machine", ok=False, detail=reason or str(error))

    def note(self, error: StorageError, key: str | None = None) -> None:
        """The folder refused something.

        Args:
            error: what it said.
            key: the video that this was about; None where it was about none.
        """
        self._metrics.storage_errors[StorageFault.of(error)].inc()
        if isinstance(error, NORMAL):
            return
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

    def note_machine(self, error: Exception) -> None:
        """This machine could not do its part, for whatever video."""
        if self._machine is None:
            self._machine = _Refusal(error)
            self._machine.said = self._once.due(("machine", type(error)))
            if self._machine.said:
                expected = isinstance(error, OSError)
                log.error(
                    "this machine is in trouble; work goes on when it has passed: %s",
                    error,
                    exc_info=None if expected else error,
                )
        self._machine.error = error
        self._machine.until = self._clock.monotonic() + self._machine.retries.failed()

    def passed(self, key: str, *, made: bool = False) -> None:
        """The folder took something for this video.

        Args:
            key: the video.
            made: whether it was results, made by this machine.
        """
        self._over(names.split(key)[0])
        self._over(EVERYWHERE)
        if made and self._machine is not None:
            if self._machine.said:
                log.info("this machine works again")
            self._machine = None

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
        return self._lasts(self._machine) or self._waits(EVERYWHERE)

    def holds(self, key: str) -> bool:
        """Whether this video is not to be tried now."""
        return self.everything_waits() or self._waits(names.split(key)[0])

    def _waits(self, where: str | None) -> bool:
        return self._lasts(self._refusals.get(where))

    def _lasts(self, refusal: _Refusal[StorageError] | _Refusal[Exception] | None) -> bool:
        return refusal is not None and self._clock.monotonic() < refusal.until

    @property
    def gives_up(self) -> bool:
        """Whether there is a video of which that is to be said."""
        return any(r.retries.failures >= GIVEN_UP for r in self._refusals.values())

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
        self._folder = first.error if first is not None else None
