"""Beats: every claim that this process holds is renewed, or its job is told to stop.

Threads: one thread beats all claims in turn; a `Claim` locks itself, so its job's thread may use it
at the same time. A beat that hangs in a dead mount delays the others; that is right, since all live
in the same folder, and each claim judges by itself how old its last beat is. The thread ends with
`close`.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from posewatch.base.logs import fields
from posewatch.base.metrics import LossReason, Success
from posewatch.base.once import Once
from posewatch.claims.claim import Claim, Lost, Reason
from posewatch.worker.cancel import Cancellation, Stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posewatch.base.clock import Clock
    from posewatch.base.metrics import Metrics
    from posewatch.claims.record import LockRecord
    from posewatch.stages.recipe import Glimpse, Progress

log = logging.getLogger(__name__)

_LOSSES = {
    Reason.SUPERSEDED: LossReason.SUPERSEDED,
    Reason.REMOVED: LossReason.REMOVED,
    Reason.REPLACED: LossReason.CHANGED,
    Reason.SILENT: LossReason.EXPIRED,
}


@dataclass(slots=True)
class Pulse:
    """One claim under the heart's care.

    Attributes:
        claim: what is renewed.
        cancellation: of the job.
        progress: how far the job is; set by the job, told to others by the beats.
        due: when the next beat is, by the monotonic clock.
    """

    claim: Claim
    cancellation: Cancellation
    progress: Progress | None
    due: float

    def record(self) -> LockRecord:
        """What the lock says, with how far the job is now rather than at the last beat."""
        record, progress = self.claim.record, self.progress
        if progress is None:
            return record
        return replace(record, done=progress.frames, total=progress.total)


class Heart:
    """Renews claims.

    Args:
        clock: the time.
        metrics: the numbers.
    """

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._once = Once(clock)
        self._lock = threading.Lock()
        self._pulses: dict[str, Pulse] = {}  # by the token of the claim
        self._last: tuple[str, Glimpse] | None = None
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
        self._thread.start()

    @contextmanager
    def beating(self, claim: Claim, cancellation: Cancellation) -> Iterator[Pulse]:
        """Keep a claim alive meanwhile; cancel the job when that fails."""
        pulse = Pulse(claim, cancellation, None, self._clock.monotonic() + claim.interval)
        with self._lock:
            self._pulses[claim.token] = pulse
        self._wake.set()
        try:
            yield pulse
        finally:
            with self._lock:
                del self._pulses[claim.token]
                if pulse.progress is not None and pulse.progress.glimpse is not None:
                    self._last = (claim.key, pulse.progress.glimpse)

    def progress(self) -> dict[str, Progress | None]:
        """How far each video in flight is."""
        with self._lock:
            return {pulse.claim.key: pulse.progress for pulse in self._pulses.values()}

    def held(self) -> dict[str, LockRecord]:
        """The lock of each video in flight, with how far it is now."""
        with self._lock:
            pulses = list(self._pulses.values())
        return {pulse.claim.key: pulse.record() for pulse in pulses}

    def glimpse(self) -> tuple[str, Glimpse] | None:
        """What was found lately, and in which video: the last begun, else the last ended."""
        with self._lock:
            for pulse in reversed(self._pulses.values()):
                if pulse.progress is not None and pulse.progress.glimpse is not None:
                    return pulse.claim.key, pulse.progress.glimpse
            return self._last

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._wake.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._closed:
            now = self._clock.monotonic()
            with self._lock:
                pulses = list(self._pulses.values())
            for pulse in pulses:
                if pulse.due <= now:
                    pulse.due = now + pulse.claim.interval
                    self._beat(pulse)
            soonest = min((pulse.due for pulse in pulses), default=now + 3600.0)
            self._clock.wait(self._wake, soonest - self._clock.monotonic())
            self._wake.clear()

    def _beat(self, pulse: Pulse) -> None:
        claim, progress = pulse.claim, pulse.progress
        done, total = (progress.frames, progress.total) if progress else (None, None)
        lost = claim.beat(done, total)
        failed = lost is not None or claim.trouble is not None
        self._metrics.beats[Success.FAILED if failed else Success.OK].inc()
        if lost is not None:
            self._lose(pulse, lost)
        elif claim.worrying and self._once.due(claim.token):
            log.warning(
                "the claim cannot be renewed, and will be lost soon",
                exc_info=claim.trouble,
                extra=fields(video=claim.key),
            )

    def _lose(self, pulse: Pulse, lost: Lost) -> None:
        if not pulse.cancellation.event.is_set():
            self._metrics.claims_lost[_LOSSES[lost.reason]].inc()
        pulse.cancellation.cancel(Stop.LOST, str(lost))
