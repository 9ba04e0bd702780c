from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.claims.observer import Observer
from posewatch.claims.record import LockRecord, encode
from posewatch.claims.survey import MAX_TTL, SeenLock, hidden_to_sweep, locks_to_sweep, see, survey
from posewatch.storage.contract import Version, staging_key

if TYPE_CHECKING:
    from collections.abc import Callable

TTL = 60.0
KEY = "talks/a.mp4"


def content(attempt: int = 1, job: str = "job", ttl: float = TTL) -> bytes:
    return encode(
        LockRecord(
            key=KEY,
            job=job,
            attempt=attempt,
            nonce=f"{attempt:032x}",
            host="h",
            pid=1,
            boot="b",
            since="s",
            ttl=ttl,
            version="v",
        )
    )


# --- the observer


def test_a_first_look_tells_nothing() -> None:
    assert Observer().see("x", b"1", began=1_000.0, ended=1_001.0) == 0.0


def test_time_is_counted_from_the_end_of_the_first_look_to_the_beginning_of_the_last() -> None:
    observer = Observer()
    observer.see("x", b"1", began=0.0, ended=10.0)
    observer.see("x", b"1", began=20.0, ended=25.0)
    assert observer.see("x", b"1", began=70.0, ended=500.0) == 60.0


def test_a_look_that_began_before_the_first_one_ended_counts_nothing() -> None:
    observer = Observer()
    observer.see("x", b"1", began=0.0, ended=10.0)
    assert observer.see("x", b"1", began=5.0, ended=100.0) == 0.0


def test_every_change_starts_anew() -> None:
    observer = Observer()
    for time, mark in [(0.0, b"1"), (50.0, b"2"), (100.0, b"1")]:
        assert observer.see("x", mark, began=time, ended=time) == 0.0
    assert observer.see("x", b"1", began=130.0, ended=130.0) == 30.0


def test_what_vanished_is_forgotten() -> None:
    observer = Observer()
    for name in ("x", "y"):
        observer.see(name, b"1", began=0.0, ended=0.0)
    observer.forget_all_but({"y"})
    assert observer.see("x", b"1", began=100.0, ended=100.0) == 0.0
    assert observer.see("y", b"1", began=100.0, ended=100.0) == 100.0


# --- surveys


def look(observer: Observer, locks: dict[str, bytes], time: float) -> dict[str, list[SeenLock]]:
    return survey(observer, locks, began=time, ended=time, ttl=TTL)


def test_locks_are_told_by_input_the_lowest_first() -> None:
    locks = {f"{KEY}.lock.10": content(10), f"{KEY}.lock.2": content(2), f"{KEY}.lock": b"odd"}
    found = look(Observer(), locks | {"b.mp4.lock": content()}, 0.0)
    assert [lock.attempt for lock in found[KEY]] == [1, 2, 10]
    assert [lock.attempt for lock in found["b.mp4"]] == [1]
    assert found[KEY][0].record is None
    assert not any(lock.stale for locks in found.values() for lock in locks)


def test_a_lock_is_stale_after_a_whole_ttl() -> None:
    observer, locks = Observer(), {f"{KEY}.lock": content()}
    look(observer, locks, 0.0)
    assert not look(observer, locks, TTL - 0.001)[KEY][0].stale
    assert look(observer, locks, TTL)[KEY][0].stale


def test_no_record_can_ask_for_more_than_a_day() -> None:
    observer, locks = Observer(), {f"{KEY}.lock": content(ttl=1e8)}
    look(observer, locks, 0.0)
    assert not look(observer, locks, MAX_TTL - 1)[KEY][0].stale
    assert look(observer, locks, MAX_TTL)[KEY][0].stale


def test_a_survey_forgets_what_is_not_in_it() -> None:
    observer, locks = Observer(), {f"{KEY}.lock": content()}
    look(observer, locks, 0.0)
    look(observer, {}, 30.0)
    assert not look(observer, locks, TTL)[KEY][0].stale


def test_only_locks_can_be_judged() -> None:
    with pytest.raises(ValueError, match="not the name of a lock"):
        see(Observer(), KEY, b"", began=0.0, ended=0.0, ttl=TTL)


# --- sweeps


def swept(
    locks: dict[str, bytes],
    finished: Callable[[str, LockRecord | None], bool],
    *,
    exists: bool = True,
    age: float = TTL,
) -> list[str]:
    observer = Observer()
    look(observer, locks, 0.0)
    held = look(observer, locks, age)
    return [lock.lock for lock in locks_to_sweep(held, finished, lambda _key: exists)]


def yes(_key: str, _record: LockRecord | None) -> bool:
    return True


def no(_key: str, _record: LockRecord | None) -> bool:
    return False


TWO = {f"{KEY}.lock": content(), f"{KEY}.lock.2": content(2)}


def test_the_locks_of_a_finished_job_are_swept_the_lowest_first() -> None:
    assert swept(TWO, yes) == [f"{KEY}.lock", f"{KEY}.lock.2"]


def test_the_locks_of_an_unfinished_job_stay_for_its_next_attempt() -> None:
    assert swept(TWO, no) == []


def test_nothing_is_swept_before_a_ttl() -> None:
    assert swept(TWO, yes, age=TTL - 0.001) == []
    assert swept(TWO, no, exists=False, age=TTL - 0.001) == []


def test_the_locks_of_an_input_that_is_gone_are_swept() -> None:
    assert swept(TWO, no, exists=False) == [f"{KEY}.lock", f"{KEY}.lock.2"]


def test_a_living_holder_keeps_the_locks_below() -> None:
    observer = Observer()
    look(observer, TWO, 0.0)
    beating = TWO | {f"{KEY}.lock.2": content(2, job="beat")}
    held = look(observer, beating, TTL)
    assert locks_to_sweep(held, yes, lambda _key: False) == []


def test_a_lock_without_the_one_below_is_swept() -> None:
    assert swept({f"{KEY}.lock.2": content(2)}, no) == [f"{KEY}.lock.2"]
    gap = {f"{KEY}.lock": content(), f"{KEY}.lock.3": content(3)}
    assert swept(gap, no) == [f"{KEY}.lock.3"]


def test_only_the_locks_of_the_finished_job_are_swept() -> None:
    locks = {f"{KEY}.lock": content(job="old"), f"{KEY}.lock.2": content(2, job="new")}

    def old(_key: str, record: LockRecord | None) -> bool:
        return record is not None and record.job == "old"

    assert swept(locks, old) == [f"{KEY}.lock"]


def test_hidden_leftovers_are_swept_after_a_ttl_unless_their_input_is_claimed() -> None:
    observer = Observer()
    hidden = {
        staging_key(KEY): Version(0, "1"),
        staging_key("talks/b.mp4"): Version(0, "1"),
        "talks/.posewatch-new-1": None,
    }

    def sweep(time: float) -> list[str]:
        return hidden_to_sweep(hidden, [KEY], observer, began=time, ended=time, ttl=TTL)

    assert sweep(0.0) == []
    assert sweep(TTL - 0.001) == []
    hidden["talks/.posewatch-new-1"] = Version(3, "2")
    assert sweep(TTL) == [staging_key("talks/b.mp4")]
    assert sweep(2 * TTL) == [staging_key("talks/b.mp4"), "talks/.posewatch-new-1"]
