"""The life of a claim, told one rule at a time. The plays of `test_model` mix them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import ManualClock
from posewatch.base.errors import (
    FencedError,
    FullError,
    MissingError,
    StorageError,
    UnavailableError,
)
from posewatch.claims.claim import Claim, Lost, Reason
from posewatch.claims.claims import Busy, Claims, Owner
from posewatch.claims.observer import Observer
from posewatch.claims.record import LockRecord, decode, encode
from posewatch.storage.contract import staging_key
from posewatch.storage.faulty import FaultyStorage, Operation
from posewatch.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable

TTL = 60.0
KEY = "talks/a.mp4"
LOCK = KEY + ".lock"
JOB = "version 1, recipe 1"


@dataclass
class Scene:
    """One folder and one clock; each daemon has claims of its own."""

    memory: MemoryStorage = field(default_factory=MemoryStorage)
    clock: ManualClock = field(default_factory=ManualClock)
    hook: Callable[[Operation], None] = lambda _operation: None

    def __post_init__(self) -> None:
        self.memory.put(KEY, b"video")
        self.daemons: dict[str, Claims] = {}

    def claims(self, name: str, ttl: float = TTL) -> Claims:
        if name not in self.daemons:
            storage = FaultyStorage(self.memory, self._operation)
            owner = Owner(name, 7, "boot")
            self.daemons[name] = Claims(storage, self.clock, owner, ttl, Observer())
        return self.daemons[name]

    def _operation(self, operation: Operation) -> None:
        self.hook(operation)

    def acquire(self, name: str = "a", job: str = JOB) -> Claim:
        claim = self.claims(name).acquire(KEY, job)
        assert isinstance(claim, Claim), claim
        return claim

    def take_over(self, name: str, job: str = JOB) -> Claim:
        assert isinstance(self.claims(name).acquire(KEY, job), Busy)
        self.clock.advance(TTL)
        return self.acquire(name, job)

    def locks(self) -> list[str]:
        return sorted(e.key for e in self.memory.scan(lambda _key: False) if ".lock" in e.key)

    def fail(self, name: str, error: StorageError, *, after: bool = False, nth: int = 1) -> None:
        """Let the n-th operation of this name fail."""
        left = nth

        def hook(operation: Operation) -> None:
            nonlocal left
            if (operation.name, operation.after) == (name, after):
                left -= 1
                if left == 0:
                    raise error

        self.hook = hook


@pytest.fixture
def scene() -> Scene:
    return Scene()


def record(scene: Scene, lock: str) -> LockRecord:
    found = decode(scene.memory.read(lock))
    assert found is not None
    return found


def quiet(_operation: Operation) -> None:
    return


def reason(lost: Lost | None) -> Reason | None:
    return None if lost is None else lost.reason


# --- acquiring


def test_the_first_claim(scene: Scene) -> None:
    claim = scene.acquire()
    found = record(scene, LOCK)
    assert (found.key, found.job, found.attempt, found.host) == (KEY, JOB, 1, "a")
    assert (claim.attempt, claim.tries, claim.token) == (1, 1, found.nonce)
    assert claim.interval == TTL / 6


def test_a_claimed_input_is_busy(scene: Scene) -> None:
    scene.acquire("a")
    busy = scene.claims("b").acquire(KEY, JOB)
    assert isinstance(busy, Busy)
    assert "held by a" in str(busy)


def test_a_holder_that_beats_is_never_taken_over_from(scene: Scene) -> None:
    claim = scene.acquire("a")
    for _ in range(100):
        assert isinstance(scene.claims("b").acquire(KEY, JOB), Busy)
        scene.clock.advance(claim.interval)
        assert claim.beat() is None
    assert scene.locks() == [LOCK]


def test_a_lock_that_was_seen_unchanged_for_a_ttl_is_taken_over(scene: Scene) -> None:
    scene.acquire("dead")
    assert isinstance(scene.claims("b").acquire(KEY, JOB), Busy)
    scene.clock.advance(TTL - 0.001)
    assert isinstance(scene.claims("b").acquire(KEY, JOB), Busy)
    scene.clock.advance(0.001)
    claim = scene.acquire("b")
    assert (claim.attempt, claim.tries) == (2, 2)
    assert scene.locks() == [LOCK, LOCK + ".2"]


def test_an_old_lock_is_not_stale_before_it_was_watched(scene: Scene) -> None:
    """No two clocks are compared: what the record says about time is for people."""
    scene.acquire("dead")
    scene.clock.advance(1_000 * TTL)
    assert isinstance(scene.claims("b").acquire(KEY, JOB), Busy)


def test_the_longer_ttl_counts(scene: Scene) -> None:
    slow = scene.claims("slow", ttl=10 * TTL).acquire(KEY, JOB)
    assert isinstance(slow, Claim)
    assert isinstance(scene.claims("b").acquire(KEY, JOB), Busy)
    scene.clock.advance(9 * TTL)
    assert isinstance(scene.claims("b").acquire(KEY, JOB), Busy)
    scene.clock.advance(TTL)
    assert isinstance(scene.claims("b").acquire(KEY, JOB), Claim)


@pytest.mark.parametrize(
    "content", [b"", b"not a record", b'{"nonce": "../../x"}', b'{"ttl": 1e300}' + b" " * 5000]
)
def test_a_foreign_or_damaged_lock_is_taken_over_like_any_other(
    scene: Scene, content: bytes
) -> None:
    scene.memory.put(LOCK, content)
    claim = scene.take_over("b")
    assert (claim.attempt, claim.tries) == (2, 2)
    assert claim.check() is None
    assert claim.release()
    assert scene.locks() == []


def test_tries_count_those_at_the_same_job(scene: Scene) -> None:
    scene.acquire("a", "another version")
    claim = scene.take_over("b")
    assert (claim.attempt, claim.tries) == (2, 1)
    claim = scene.take_over("c")
    assert (claim.attempt, claim.tries) == (3, 2)


def test_who_loses_the_race_for_the_next_attempt_is_busy(scene: Scene) -> None:
    scene.acquire("dead")
    for name in "bc":
        scene.claims(name).acquire(KEY, JOB)
    scene.clock.advance(TTL)
    winners: list[Claim] = []

    def hook(operation: Operation) -> None:
        if operation.name == "create":
            scene.hook = quiet
            winners.append(scene.acquire("c"))

    scene.hook = hook
    busy = scene.claims("b").acquire(KEY, JOB)
    assert isinstance(busy, Busy)
    assert str(busy) == repr(LOCK + ".2") + " is there"
    assert [claim.attempt for claim in winners] == [2]
    assert winners[0].check() is None


def test_who_finds_a_higher_attempt_steps_back(scene: Scene) -> None:
    """The lower lock was removed by its finisher, or by hand, and the higher one is there still."""
    claim = scene.acquire("somebody")
    scene.memory.put(LOCK + ".2", encode(replace(record(scene, LOCK), attempt=2)))
    claim.give_back()
    busy = scene.claims("b").acquire(KEY, JOB)
    assert isinstance(busy, Busy)
    assert busy.lock == LOCK + ".2"
    assert scene.locks() == [LOCK + ".2"]


def test_taking_over_closes_the_areas_of_all_earlier_attempts(scene: Scene) -> None:
    first = scene.acquire("a")
    area = scene.memory.stage(first.token, KEY)
    area.add("talks/a.npz", b"result")
    second = scene.take_over("b")
    third = scene.take_over("c")
    with pytest.raises(FencedError):
        area.publish("talks/a.npz", None)
    with pytest.raises(FencedError):
        scene.memory.stage(second.token, KEY)
    scene.memory.stage(third.token, KEY)


@pytest.mark.parametrize("name", ["create", "stat", "fence"])
@pytest.mark.parametrize("after", [False, True])
def test_a_failure_while_acquiring_leaves_no_lock(scene: Scene, name: str, *, after: bool) -> None:
    scene.fail(name, FullError("no space"), after=after)
    with pytest.raises(FullError):
        scene.claims("a").acquire(KEY, JOB)
    assert scene.locks() == []


def test_a_lock_that_cannot_be_read_is_not_judged(scene: Scene) -> None:
    scene.acquire("a")
    scene.fail("read", UnavailableError("io"))
    with pytest.raises(UnavailableError):
        scene.claims("b").acquire(KEY, JOB)
    assert scene.locks() == [LOCK]


# --- beating


def test_a_beat_tells_the_progress(scene: Scene) -> None:
    claim = scene.acquire()
    scene.clock.advance(10)
    assert claim.beat(5, 100) is None
    found = record(scene, LOCK)
    assert (found.beat, found.done, found.total) == (1, 5, 100)
    assert found.beat_at > found.since
    assert claim.check() is None
    found = record(scene, LOCK)
    assert (found.beat, found.done, found.total) == (2, 5, 100)


def test_a_claim_worries_before_it_is_lost(scene: Scene) -> None:
    claim = scene.acquire()
    assert not claim.worrying
    scene.clock.advance(TTL / 3)
    assert claim.worrying
    assert claim.lost is None
    scene.clock.advance(TTL / 3)
    assert reason(claim.lost) is Reason.SILENT
    assert reason(claim.beat()) is Reason.SILENT
    assert "40.0 s of a ttl of 60 s" in str(claim.lost)


def test_a_silent_claim_beats_no_more(scene: Scene) -> None:
    claim = scene.acquire()
    before = scene.memory.read(LOCK)
    scene.clock.advance(TTL)
    assert reason(claim.beat()) is Reason.SILENT
    assert reason(claim.check()) is Reason.SILENT
    assert scene.memory.read(LOCK) == before


def test_a_beat_that_fails_is_no_loss_yet(scene: Scene) -> None:
    claim = scene.acquire()
    scene.clock.advance(TTL / 6)
    scene.fail("overwrite", FullError("no space"))
    assert claim.beat() is None
    assert isinstance(claim.trouble, FullError)
    scene.hook = quiet
    assert claim.beat() is None
    assert claim.trouble is None
    scene.clock.advance(TTL / 2)
    assert not claim.worrying or claim.lost is None


def test_a_claim_whose_beats_keep_failing_is_lost_and_says_why(scene: Scene) -> None:
    claim = scene.acquire()

    def hook(operation: Operation) -> None:
        if operation.name == "overwrite":
            raise FullError("no space is left")

    scene.hook = hook
    for _ in range(3):
        scene.clock.advance(TTL / 6)
        assert claim.beat() is None
    scene.clock.advance(TTL / 6)
    lost = claim.beat()
    assert reason(lost) is Reason.SILENT
    assert "no space is left" in str(lost)


@pytest.mark.parametrize("after", [False, True])
def test_a_beat_that_was_written_though_it_failed_is_ours(scene: Scene, *, after: bool) -> None:
    claim = scene.acquire()
    scene.fail("overwrite", UnavailableError("timeout"), after=after)
    assert claim.beat(1, 2) is None
    scene.hook = quiet
    assert claim.beat(2, 2) is None
    assert claim.check() is None


def test_a_beat_of_which_a_part_was_written_is_ours(scene: Scene) -> None:
    claim = scene.acquire()
    content = scene.memory.read(LOCK)
    scene.memory.put(LOCK, content[:-300] + b"x" * 300)
    assert claim.beat() is None
    assert claim.check() is None
    assert decode(scene.memory.read(LOCK)) is not None


def test_a_removed_lock_is_a_lost_claim_and_stays_removed(scene: Scene) -> None:
    claim = scene.acquire()
    scene.memory.delete(LOCK)
    assert reason(claim.beat()) is Reason.REMOVED
    assert reason(claim.check()) is Reason.REMOVED
    assert scene.locks() == []


def test_a_replaced_lock_is_a_lost_claim_and_stays_the_others(scene: Scene) -> None:
    claim = scene.acquire("a")
    scene.memory.delete(LOCK)
    other = scene.acquire("b")
    theirs = scene.memory.read(LOCK)
    assert reason(claim.beat()) is Reason.REPLACED
    assert scene.memory.read(LOCK) == theirs
    assert other.check() is None


def test_a_higher_attempt_ends_the_claim(scene: Scene) -> None:
    claim = scene.acquire("a")
    scene.memory.put(LOCK + ".2", b"whatever it is")
    assert reason(claim.beat()) is Reason.SUPERSEDED
    assert reason(claim.beat()) is Reason.SUPERSEDED


def test_a_claim_stands_on_the_locks_below_it(scene: Scene) -> None:
    scene.acquire("dead")
    claim = scene.take_over("b")
    assert claim.check() is None
    scene.memory.delete(LOCK)
    assert reason(claim.check()) is Reason.REPLACED


def test_another_claim_below_ends_the_one_above(scene: Scene) -> None:
    scene.acquire("dead")
    claim = scene.take_over("b")
    scene.memory.delete(LOCK)
    scene.memory.put(LOCK, encode(replace(record(scene, LOCK + ".2"), nonce="e" * 32, attempt=1)))
    assert reason(claim.beat()) is Reason.REPLACED


def test_a_late_beat_of_the_dead_below_is_no_matter(scene: Scene) -> None:
    scene.acquire("dead")
    claim = scene.take_over("b")
    scene.memory.put(LOCK, encode(replace(record(scene, LOCK), beat=9)))
    assert claim.check() is None


def test_a_check_that_cannot_tell_raises(scene: Scene) -> None:
    claim = scene.acquire()
    scene.fail("stat", UnavailableError("io"))
    with pytest.raises(UnavailableError):
        claim.check()
    scene.hook = quiet
    assert claim.check() is None


def test_a_check_that_takes_too_long_is_a_loss(scene: Scene) -> None:
    claim = scene.acquire()

    def hook(operation: Operation) -> None:
        if operation.name == "stat":
            scene.clock.advance(TTL)

    scene.hook = hook
    assert reason(claim.check()) is Reason.SILENT


def test_who_asks_whether_it_is_lost_never_waits(scene: Scene) -> None:
    claim = scene.acquire()
    hangs, goes_on = threading.Event(), threading.Event()

    def hook(operation: Operation) -> None:
        if operation.name == "overwrite" and not operation.after:
            hangs.set()
            goes_on.wait()

    scene.hook = hook
    beat = threading.Thread(target=claim.beat)
    beat.start()
    hangs.wait()
    scene.clock.advance(TTL)
    assert claim.worrying
    assert reason(claim.lost) is Reason.SILENT
    goes_on.set()
    beat.join()


# --- ending


def test_releasing_leaves_nothing(scene: Scene) -> None:
    claim = scene.acquire()
    assert claim.release()
    assert [e.key for e in scene.memory.scan(lambda _key: False)] == [KEY]
    assert claim.beat() is None
    assert not claim.release()
    assert not claim.give_back()
    with pytest.raises(RuntimeError, match="has ended"):
        claim.check()


def test_releasing_a_later_attempt_removes_the_earlier_ones_and_their_areas(scene: Scene) -> None:
    scene.memory.stage(scene.acquire("a").token, KEY)
    scene.take_over("b")
    claim = scene.take_over("c")
    scene.memory.stage(claim.token, KEY).discard()
    assert claim.release()
    assert [e.key for e in scene.memory.scan(lambda _key: False)] == [KEY]


def test_the_own_lock_is_removed_last(scene: Scene) -> None:
    scene.acquire("a")
    claim, order = scene.take_over("b"), list[str]()
    scene.hook = lambda op: order.append(op.target) if op.name in {"remove", "sweep"} else None
    claim.release()
    assert order[::2] == [LOCK, staging_key(KEY), LOCK + ".2"]


def test_giving_back_lets_others_begin_at_once(scene: Scene) -> None:
    claim = scene.acquire("a")
    assert claim.give_back()
    assert scene.acquire("b").attempt == 1


def test_giving_back_keeps_the_count_of_the_dead(scene: Scene) -> None:
    scene.acquire("dead")
    scene.claims("c").acquire(KEY, JOB)
    claim = scene.take_over("b")
    assert claim.give_back()
    assert scene.locks() == [LOCK]
    assert scene.acquire("c").tries == 2


@pytest.mark.parametrize("end", [Claim.release, Claim.give_back])
def test_after_a_pause_nobody_removes_a_lock(scene: Scene, end: Callable[[Claim], bool]) -> None:
    scene.acquire("dead")
    claim = scene.take_over("b")
    scene.clock.advance(TTL)
    assert not end(claim)
    assert scene.locks() == [LOCK, LOCK + ".2"]


def test_a_pause_in_the_middle_of_a_release_ends_it(scene: Scene) -> None:
    scene.acquire("dead")
    claim = scene.take_over("b")

    def hook(operation: Operation) -> None:
        if operation.name == "remove" and operation.after:
            scene.clock.advance(TTL)

    scene.hook = hook
    assert not claim.release()
    assert scene.locks() == [LOCK + ".2"]


def test_the_lock_of_another_is_not_removed(scene: Scene) -> None:
    claim = scene.acquire("a")
    scene.memory.delete(LOCK)
    other = scene.acquire("b")
    assert not claim.release()
    assert other.check() is None


def test_a_lock_that_is_gone_already_needs_no_removal(scene: Scene) -> None:
    claim = scene.acquire("a")
    scene.memory.delete(LOCK)
    assert claim.release()


@pytest.mark.parametrize("end", [Claim.release, Claim.give_back])
def test_an_end_that_fails_leaves_the_lock_to_the_sweep(
    scene: Scene, end: Callable[[Claim], bool]
) -> None:
    claim = scene.acquire()
    scene.fail("remove", UnavailableError("io"))
    assert not end(claim)
    assert isinstance(claim.trouble, UnavailableError)
    assert scene.locks() == [LOCK]


def test_an_input_that_vanished_can_still_be_released(scene: Scene) -> None:
    claim = scene.acquire()
    scene.memory.delete(KEY)
    assert claim.release()
    with pytest.raises(MissingError):
        scene.memory.read(LOCK)
