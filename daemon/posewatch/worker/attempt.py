"""One attempt at one video, from the claim to the receipt."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posewatch import __version__
from posewatch.base.errors import (
    DecoderCrashedError,
    DeniedError,
    Fault,
    HardwareFailedError,
    InputError,
    UnavailableError,
)
from posewatch.base.logs import fields
from posewatch.base.metrics import ClaimOutcome, Outcome, Stage
from posewatch.catalog import NOT_REGULAR
from posewatch.formats import names
from posewatch.formats.receipt import FailureRecord, InputRecord, Receipt, RecipeRecord, WorkRecord
from posewatch.vision.decoder import DecodingCancelledError
from posewatch.worker.cancel import StoppedError
from posewatch.worker.publish import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from posewatch.base.logs import FieldLogger
    from posewatch.catalog import Job
    from posewatch.formats.receipt import ResultRecord
    from posewatch.stages.recipe import Made, Progress
    from posewatch.worker.heart import Pulse
    from posewatch.worker.job import Runner
    from posewatch.worker.publish import Standing


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended.

    Attributes:
        job: which.
        outcome: None where the claim was not to be had.
        standing: the receipt that stands in the folder now, as far as this job knows.
        wait: seconds before the video may be tried again.
        error: why, if it was the folder (a `StorageError`) or this machine (any other).
        gone: the input is not there any more, or not as it was.
        frames: frames that were worked on.
        bug: what was raised that nobody expected.
    """

    job: Job
    outcome: Outcome | None
    standing: Standing | None = None
    wait: float = 0.0
    error: Exception | None = None
    gone: bool = False
    frames: int = 0
    bug: Exception | None = None


class Attempt:
    """One attempt at one video, by one thread.

    Args:
        runner: everything that a job needs.
        job: the video.
        pulse: the claim, and where the job tells how far it is.
        log: tells about this attempt.
    """

    def __init__(self, runner: Runner, job: Job, pulse: Pulse, log: FieldLogger) -> None:
        self.job = job
        self.claim = pulse.claim
        self.log = log
        self._runner = runner
        self._pulse = pulse
        self._cancellation = pulse.cancellation
        self._sha256: str | None = None
        self._frames = 0
        self._timings: dict[str, float] = {}
        self._started = _utc(runner.clock.wall())
        self._publisher = Publisher(
            storage=runner.storage,
            claim=self.claim,
            input_key=job.key,
            receipt_key=job.receipt_key,
            ours=runner.recipe.ours,
            clock=runner.clock,
            troubled=lambda error: runner.troubled(job.key, error),
            suffixes=runner.suffixes,
        )

    def run(self) -> Ending:
        """Look again, work, publish.

        Raises:
            StoppedError: the job was told to stop, or its claim was lost.
            RivalError: another video has its receipt.
            MissingError, ChangedError: the video is gone, or another one.
            StorageError: the folder fails.
        """
        done = self._publisher.standing(self.claim.sighting)
        if done is not None and self._settled(done):
            self._runner.metrics.claims[ClaimOutcome.ALREADY_DONE].inc()
            self.log.debug("done already")
            return Ending(self.job, None, standing=done)
        first = self.claim.attempt == 1
        self._runner.metrics.claims[ClaimOutcome.ACQUIRED if first else ClaimOutcome.TAKEN].inc()
        seen = self.job.closed_at if self.job.closed_at is not None else self.job.seen_at
        latency = self._runner.clock.monotonic() - seen
        self._runner.metrics.claim_latency.observe(latency)
        self.log.info(
            "claimed", extra=fields(reason=self.job.why.value, latency_seconds=round(latency, 3))
        )
        try:
            self._refuse()
            version = self.job.version
            with self._runner.cache.reserve(
                f"{self._runner.folder}\0{self.job.key}\0{version.size} {version.tag}",
                version.size,
                self._cancellation.check,
                keep=(StoppedError, UnavailableError),
            ) as folder:
                copy = self._fetch(folder)
                old = done.ours if done is not None else None
                if old is not None and (same := self._only_touched(old, folder)) is not None:
                    return self._renewed(old, same)
                made = self._make(copy, folder)
                results = {
                    names.stem(self.job.key) + suffix: path for suffix, path in made.results.items()
                }
                standing = self._publish(results, lambda records: self._receipt(records, made=made))
                return self._done(made, standing)
        except InputError as failure:
            return self._failed(failure)

    def _settled(self, standing: Standing) -> bool:
        recipe = self._runner.recipe.id.hash
        return self._publisher.settles(standing, self.job.version, recipe)

    def _refuse(self) -> None:
        """Raise `InputError` for what is not even to be read."""
        if self.claim.tries > self._runner.max_attempts:
            raise InputError(
                Fault.CRASHED,
                f"{self._runner.max_attempts} workers died while they worked on it",
                hint="If it was their machines that went away, run: posewatch retry",
            )
        if self.job.bugs >= self._runner.max_attempts:
            raise InputError(
                Fault.CRASHED,
                f"posewatch itself failed on it {self.job.bugs} times",
                hint="This is a bug: please report it, with the log",
            )
        if self.job.taken_by is not None and names.is_receipt(self.job.taken_by):
            raise InputError(
                Fault.NAME_TAKEN,
                f"there is a {self.job.taken_by!r} already that this posewatch did not write",
                hint="Move that away; if a newer posewatch wrote it, update this one",
            )
        if self.job.taken_by is not None:
            raise InputError(
                Fault.NAME_TAKEN,
                f"{self.job.taken_by!r} in the same folder would have results of the same name",
                hint="Rename one of the two",
            )
        if self.job.version.tag == NOT_REGULAR:
            raise InputError(
                Fault.NOT_A_FILE,
                "it has the name of a video, and is a directory, a FIFO or a device",
                hint="Give it another name, or put a video in its place",
            )

    def _fetch(self, folder: Path) -> Path:
        """The local copy."""
        begun = time.perf_counter()
        copy = folder / f"input{_suffix(self.job.key)}"
        try:
            self._sha256 = self._runner.storage.fetch(
                self.job.key, self.job.version, copy, self._moved
            )
        except DeniedError as error:
            raise InputError(
                Fault.DENIED,
                "posewatch may not read it",
                hint="Give its user the right to: chmod o+r, or a group they share",
            ) from error
        self._spent(Stage.FETCH, time.perf_counter() - begun)
        return copy

    def _only_touched(self, old: Receipt, folder: Path) -> tuple[ResultRecord, ...] | None:
        """The results of a receipt that is right but for versions, which copying may change."""
        right = (
            old.outcome == "done"
            and old.input.name == names.split(self.job.key)[1]
            and old.input.sha256 == self._sha256
            and old.recipe.hash == self._runner.recipe.id.hash
        )
        return self._publisher.intact(old, folder) if right else None

    def _renewed(self, old: Receipt, results: tuple[ResultRecord, ...]) -> Ending:
        """A receipt with the same results for the versions of now."""
        fresh = self._receipt(results)
        renewed = old.model_copy(
            update={
                "input": fresh.input,
                "attempt": fresh.attempt,
                "nonce": fresh.nonce,
                "results": fresh.results,
            }
        )
        standing = self._publish({}, lambda _records: renewed)
        self.log.info("only its time was changed; the results stand")
        return Ending(self.job, Outcome.DONE, standing=standing)

    def _make(self, copy: Path, folder: Path) -> Made:
        """Run the recipe, as often as its decoder may crash; without the GPU once that fails."""
        runner = self._runner
        crashes = 0
        fallback = ""
        while True:
            self._frames = 0
            results = folder / f"results-{crashes}"
            shutil.rmtree(results, ignore_errors=True)  # of somebody who died here
            results.mkdir()
            try:
                with runner.decoders.turn(self._cancellation) as decoder:
                    decoder.fallback = fallback
                    made = runner.recipe.run(
                        copy, self._sha256 or "", results, decoder, self._progress
                    )
            except DecodingCancelledError:
                self._cancellation.check()
                raise
            except HardwareFailedError as error:
                # Not even the frames before it are kept: who knows what the GPU gave.
                fallback = error.message
                runner.metrics.decoder_restarts.inc()
                self.log.warning("a GPU failed on it", extra=fields(reason=fallback))
            except DecoderCrashedError as error:
                crashes += 1
                runner.metrics.decoder_restarts.inc()
                self.log.warning("its decoder crashed", exc_info=error)
                if crashes >= runner.max_attempts:
                    raise InputError(
                        Fault.CRASHED,
                        f"the decoder crashed on it {crashes} times: {error.message}",
                        hint="The file is damaged, or meant to do harm; convert it anew",
                    ) from error
            else:
                for stage, seconds in made.timings.items():
                    self._spent(Stage(stage), seconds)
                if made.fallback:
                    runner.metrics.decoder_fallbacks.inc()
                    self.log.info("the CPU decoded it", extra=fields(reason=made.fallback))
                return made

    def _moved(self, count: int) -> None:
        self._cancellation.check()
        self._runner.metrics.fetched_bytes.inc(count)

    def _progress(self, progress: Progress) -> None:
        self._cancellation.check()
        recipe = self._runner.recipe.id.name
        self._runner.metrics.frames[recipe].inc(progress.frames - self._frames)
        self._frames = progress.frames
        self._pulse.progress = progress

    def _spent(self, stage: Stage, seconds: float) -> None:
        self._timings[stage.value] = round(seconds, 3)
        self._runner.metrics.stage_duration[stage].observe(seconds)

    def _publish(
        self,
        results: Mapping[str, Path],
        receipt_of: Callable[[tuple[ResultRecord, ...]], Receipt],
    ) -> Standing:
        begun = time.perf_counter()
        standing = self._publisher.publish(results, receipt_of, self._cancellation)
        self._runner.metrics.stage_duration[Stage.PUBLISH].observe(time.perf_counter() - begun)
        if standing.ours is not None:
            published = sum(result.size for result in standing.ours.results)
            self._runner.metrics.published_bytes.inc(published)
        return standing

    def _receipt(
        self,
        records: tuple[ResultRecord, ...],
        *,
        made: Made | None = None,
        failure: FailureRecord | None = None,
    ) -> Receipt:
        runner, job = self._runner, self.job
        recipe = runner.recipe
        return Receipt(
            outcome="done" if failure is None else "failed",
            input=InputRecord(
                name=names.split(job.key)[1],
                size=job.version.size,
                tag=job.version.tag,
                sha256=self._sha256,
            ),
            recipe=RecipeRecord(
                name=recipe.id.name, hash=recipe.id.hash, settings=dict(recipe.id.settings)
            ),
            attempt=self.claim.attempt,
            nonce=self.claim.token,
            results=records,
            failure=failure,
            work=WorkRecord(
                frames=made.frames if made else 0,
                footage_seconds=round(made.seconds, 3) if made else 0.0,
                timings=self._timings,
                started=self._started,
                finished=_utc(runner.clock.wall()),
                host=runner.host,
                software={"posewatch": __version__, **recipe.software},
                models=dict(recipe.models) if made else {},
                provider=recipe.provider if made else "",
                decoder=made.decoder if made else "",
                decoder_fallback=made.fallback if made else "",
            ),
        )

    def _done(self, made: Made, standing: Standing) -> Ending:
        self._runner.metrics.video_seconds.inc(made.seconds)
        seconds = sum(made.timings.values())
        self.log.info(
            "done",
            extra=fields(
                frames=made.frames,
                video_seconds=round(made.seconds, 3),
                seconds=round(seconds, 1),
                fps=round(made.frames / seconds, 1) if seconds else 0.0,
            ),
        )
        return Ending(self.job, Outcome.DONE, standing=standing, frames=made.frames)

    def _failed(self, error: InputError) -> Ending:
        failure = FailureRecord(
            fault=error.fault,
            message=error.message,
            hint=error.hint,
            readable_frames=error.readable_frames,
        )
        standing = self._publish({}, lambda records: self._receipt(records, failure=failure))
        self._runner.metrics.video_faults[error.fault].inc()
        self.log.warning("failed", exc_info=error, extra=fields(fault=error.fault.value))
        return Ending(self.job, Outcome.FAILED, standing=standing)


def _suffix(key: str) -> str:
    """The suffix of the name, which tells FFmpeg a little about the container."""
    _, name = names.split(key)
    return name[len(names.split(names.stem(key))[1]) :]


def _utc(wall: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(wall))
