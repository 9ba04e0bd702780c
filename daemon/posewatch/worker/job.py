"""One job from end to end: claim, fetch, run the recipe, publish, release.

`Runner.run` is called by one thread for each job, and always returns an `Ending`. A claim is never
left behind by a job that ends, only by a process that dies.

The order is that of `docs/semantics.md`:

1. claim; then read the receipt again, for the job may have been finished in between;
2. copy the input into the local cache, taking its digest;
3. wait for a turn, and make the results locally;
4. publish the results, and the receipt last (`worker.publish`);
5. release.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posewatch.base.errors import (
    ChangedError,
    FullError,
    MissingError,
    ModelError,
    ReadOnlyError,
    StorageError,
    UnmountedError,
)
from posewatch.base.logs import FieldLogger, bind, fields
from posewatch.base.metrics import ClaimOutcome, Outcome
from posewatch.claims.claims import Busy, Claims
from posewatch.vision.decoder import DecoderStartError
from posewatch.worker.attempt import Attempt, Ending
from posewatch.worker.cancel import Stop, StoppedError
from posewatch.worker.publish import RivalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from posewatch.base.clock import Clock
    from posewatch.base.metrics import Metrics
    from posewatch.cache import InputCache
    from posewatch.catalog import Job
    from posewatch.stages.recipe import Recipe
    from posewatch.storage.contract import Storage
    from posewatch.worker.cancel import Cancellation
    from posewatch.worker.decoders import Decoders
    from posewatch.worker.heart import Heart

PAUSE = 10.0
"""Seconds before a video is tried again after something failed that was not its fault."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Everything that a job needs; shared by all of them.

    Attributes:
        storage: the watched folder.
        folder: its name, which tells it from others on this machine.
        claims: who works on what.
        heart: renews the claims.
        cache: local copies.
        decoders: the turns to work.
        recipe: what to make.
        max_attempts: how many workers may die on a video.
        clock: the time.
        metrics: the numbers.
        host: the name of this machine, for receipts.
        troubled: told which video has which passing trouble with the folder; None when it is over.
        suffixes: name endings of videos.
    """

    storage: Storage
    folder: str
    claims: Claims
    heart: Heart
    cache: InputCache
    decoders: Decoders
    recipe: Recipe
    max_attempts: int
    clock: Clock
    metrics: Metrics
    host: str
    troubled: Callable[[str, StorageError | None], None]
    suffixes: tuple[str, ...]

    def run(self, job: Job, cancellation: Cancellation) -> Ending:
        """Do one job."""
        log = bind(logging.getLogger(__name__), video=job.key)
        try:
            claim = self.claims.acquire(job.key, self._named(job))
        except StorageError as error:
            return Ending(job, None, wait=_wait(error), error=error)
        if isinstance(claim, Busy):
            self.metrics.claims[ClaimOutcome.BUSY].inc()
            log.debug("not claimed", extra=fields(reason=str(claim)))
            return Ending(job, None)
        with self.heart.beating(claim, cancellation) as pulse:
            attempt = Attempt(self, job, pulse, bind(log, attempt=claim.attempt))
            ending = self._claimed(attempt)
        if ending.outcome is not None:
            self.metrics.videos_finished[ending.outcome].inc()
        return ending

    def _named(self, job: Job) -> str:
        """Names the version and the recipe, so that a claim's `tries` counts those at the same."""
        return f"{job.version.size} {job.version.tag} {self.recipe.id.hash}"

    def _claimed(self, attempt: Attempt) -> Ending:
        """From the claim to its release."""
        job, claim, log = attempt.job, attempt.claim, attempt.log
        release = claim.give_back
        try:
            ending = attempt.run()
            release = claim.release
        except StoppedError as stop:
            ending = _stopped(job, stop, log)
        except RivalError as rival:
            log.info("the name of its receipt is taken", extra=fields(file=rival.standing.key))
            ending = Ending(job, Outcome.RETRIED, standing=rival.standing, wait=PAUSE)
        except MissingError:
            log.info("the video is gone")
            ending = Ending(job, Outcome.GIVEN_BACK, gone=True)
        except ChangedError:
            log.info("the video was changed while it was read; it will be looked at again")
            ending = Ending(job, Outcome.RETRIED, gone=True)
        except StorageError as error:
            ending = Ending(job, Outcome.RETRIED, wait=_wait(error), error=error)
        except (
            ModelError,
            DecoderStartError,
            OSError,
        ) as error:  # the OSError: of the cache's disk
            log.info("given back, since it is not to blame", extra=fields(reason=str(error)))
            ending = Ending(job, Outcome.RETRIED, wait=PAUSE, error=error)
        except Exception as bug:  # a bug of ours must cost one video, not the daemon
            log.exception("posewatch failed on it; this is a bug")
            ending = Ending(job, Outcome.RETRIED, wait=PAUSE, bug=bug)
        if not release():
            # It goes stale, and is taken over or swept.
            log.debug("the lock was left behind", exc_info=claim.trouble)
        return ending


def _wait(error: StorageError) -> float:
    """Seconds before the video is tried again; none where all videos wait for the folder."""
    return 0.0 if isinstance(error, FullError | ReadOnlyError | UnmountedError) else PAUSE


def _stopped(job: Job, stop: StoppedError, log: FieldLogger) -> Ending:
    if stop.why is Stop.LOST:
        log.warning("the claim was lost; nothing is published", extra=fields(reason=stop.detail))
        return Ending(job, Outcome.LOST)
    log.info("given back", extra=fields(reason=stop.detail))
    return Ending(job, Outcome.GIVEN_BACK)
