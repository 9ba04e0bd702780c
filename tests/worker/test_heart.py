from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import UnavailableError
from posewatch.base.metrics import Metrics
from posewatch.claims.claim import Claim
from posewatch.claims.claims import Claims, Owner
from posewatch.claims.observer import Observer
from posewatch.claims.record import decode
from posewatch.stages.recipe import Progress
from posewatch.storage.faulty import FaultyStorage, Operation
from posewatch.storage.memory import MemoryStorage
from posewatch.worker.cancel import Cancellation, Stop, StoppedError
from posewatch.worker.heart import Heart
from worker.doubles import PATIENCE, StoppedClock, until

if TYPE_CHECKING:
    from collections.abc import Iterator

TTL = 60.0
INTERVAL = 10.0


class Body:
    """A heart whose time is told, and the claims that it renews."""

    def __init__(self) -> None:
        self.clock = StoppedClock()
        self.metrics = Metrics()
        self.memory = MemoryStorage()
        self.failing = False
        self.storage = FaultyStorage(self.memory, self._hook)
        owner = Owner("here", 1, "boot")
        self.claims = Claims(self.storage, self.clock, owner, TTL, Observer())
        self.heart = Heart(self.clock, self.metrics)

    def _hook(self, _operation: Operation) -> None:
        if self.failing:
            raise UnavailableError("no answer")

    def claim(self, key: str) -> Claim:
        claim = self.claims.acquire(key, "job")
        assert isinstance(claim, Claim)
        return claim

    def beats(self, key: str) -> int:
        record = decode(self.memory.read(f"{key}.lock"))
        assert record is not None
        return record.beat

    def pass_time(self, seconds: float) -> None:
        """Move the time on when the heart is at rest, and wait until it is so again."""
        until(lambda: bool(self.clock.deadlines), "the heart rests")
        self.clock.advance(seconds)
        # It rests again when it waits for a moment that has not come yet.
        until(
            lambda: any(moment > self.clock.monotonic() for moment in self.clock.deadlines),
            "the heart rests again",
        )

    def count(self, what: str) -> float:
        (line,) = [
            line for line in self.metrics.expose().decode().splitlines() if line.startswith(what)
        ]
        return float(line.rpartition(" ")[2])


@pytest.fixture
def body() -> Iterator[Body]:
    body = Body()
    yield body
    body.heart.close()


def test_a_claim_is_renewed_at_its_times_and_not_between(body: Body) -> None:
    claim = body.claim("a.mp4")
    with body.heart.beating(claim, Cancellation()):
        until(lambda: body.clock.until_somebody_waits() == INTERVAL, "the heart has seen it")
        body.pass_time(9.9)
        assert body.beats("a.mp4") == 0
        for beats in range(1, 4):
            body.pass_time(INTERVAL)
            assert body.beats("a.mp4") == beats
    assert body.count('posewatch_beats_total{outcome="ok"}') == 3
    body.pass_time(INTERVAL)
    assert body.beats("a.mp4") == 3


def test_each_claim_has_times_of_its_own(body: Body) -> None:
    one, other = body.claim("a.mp4"), body.claim("b.mp4")
    with body.heart.beating(one, Cancellation()):
        until(lambda: body.clock.until_somebody_waits() == INTERVAL, "the heart has seen one")
        body.pass_time(6)
        with body.heart.beating(other, Cancellation()):
            until(lambda: 4 in {d - body.clock.monotonic() for d in body.clock.deadlines}, "both")
            body.pass_time(4)
            assert (body.beats("a.mp4"), body.beats("b.mp4")) == (1, 0)
            body.pass_time(6)
            assert (body.beats("a.mp4"), body.beats("b.mp4")) == (1, 1)


def test_a_claim_that_comes_is_seen_while_the_heart_rests(body: Body) -> None:
    until(lambda: body.clock.until_somebody_waits() > 1000, "nothing to do")
    with body.heart.beating(body.claim("a.mp4"), Cancellation()):
        until(lambda: body.clock.until_somebody_waits() <= INTERVAL, "the heart has seen it")


def test_beats_tell_how_far_the_job_is(body: Body) -> None:
    claim = body.claim("a.mp4")
    with body.heart.beating(claim, Cancellation()) as pulse:
        assert body.heart.progress() == {"a.mp4": None}
        pulse.progress = Progress(25, 100)
        assert body.heart.progress() == {"a.mp4": Progress(25, 100)}
        until(lambda: body.clock.until_somebody_waits() == INTERVAL, "the heart has seen it")
        body.pass_time(INTERVAL)
    record = decode(body.memory.read("a.mp4.lock"))
    assert record is not None
    assert (record.done, record.total) == (25, 100)
    assert body.heart.progress() == {}


@pytest.mark.parametrize(
    ("how", "reason"), [("removed", "removed"), ("replaced", "changed"), ("higher", "superseded")]
)
def test_a_lost_claim_stops_its_job_and_no_other(body: Body, how: str, reason: str) -> None:
    lost, kept = Cancellation(), Cancellation()
    with (
        body.heart.beating(body.claim("a.mp4"), lost),
        body.heart.beating(body.claim("b.mp4"), kept),
    ):
        until(lambda: body.clock.until_somebody_waits() == INTERVAL, "the heart has seen them")
        if how == "higher":
            body.memory.put("a.mp4.lock.2", b"newer")
        else:
            body.memory.delete("a.mp4.lock")
        if how == "replaced":
            body.memory.put("a.mp4.lock", b"x" * 512)
        body.pass_time(INTERVAL)
        with pytest.raises(StoppedError) as caught:
            lost.check()
        assert caught.value.why is Stop.LOST
        kept.check()
        body.pass_time(INTERVAL)  # it is counted once
    assert body.count(f'posewatch_claims_lost_total{{reason="{reason}"}}') == 1


def test_a_claim_that_cannot_be_renewed_is_worried_about_once_and_then_lost(
    body: Body, caplog: pytest.LogCaptureFixture
) -> None:
    cancellation = Cancellation()
    with body.heart.beating(body.claim("a.mp4"), cancellation):
        until(lambda: body.clock.until_somebody_waits() == INTERVAL, "the heart has seen it")
        body.failing = True
        body.pass_time(INTERVAL)
        assert caplog.records == []
        body.pass_time(INTERVAL)
        body.pass_time(INTERVAL)
        (record,) = caplog.records
        assert (record.levelno, record.exc_info and record.exc_info[0]) == (
            logging.WARNING,
            UnavailableError,
        )
        cancellation.check()
        body.pass_time(INTERVAL)
        with pytest.raises(StoppedError, match="no beat for 40"):
            cancellation.check()
    assert body.count('posewatch_claims_lost_total{reason="expired"}') == 1
    assert body.count('posewatch_beats_total{outcome="failed"}') == 4


def test_trouble_that_passes_harms_nothing(body: Body) -> None:
    cancellation = Cancellation()
    with body.heart.beating(body.claim("a.mp4"), cancellation):
        until(lambda: body.clock.until_somebody_waits() == INTERVAL, "the heart has seen it")
        body.failing = True
        body.pass_time(INTERVAL)
        body.pass_time(INTERVAL)
        body.failing = False
        for _ in range(5):
            body.pass_time(INTERVAL)
        cancellation.check()
        assert body.beats("a.mp4") >= 5


def test_the_thread_ends_with_close(body: Body) -> None:
    thread = body.heart._thread
    with body.heart.beating(body.claim("a.mp4"), Cancellation()):
        body.heart.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
