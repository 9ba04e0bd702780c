"""Break one rule at a time, and see that it is noticed: a test that cannot fail shows nothing."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from claims import play, test_claim, test_plays, test_steps, test_survey
from claims.play import S3, Worker
from claims.test_claim import Scene
from claims.test_steps import Case, finishes, fresh, replaced, takes_over_and_stands
from posewatch.base.errors import ChangedError, MissingError, StorageError
from posewatch.claims import claim as claim_module
from posewatch.claims import claims as claims_module
from posewatch.claims import record, survey
from posewatch.claims.claim import Claim, Lost, Reason
from posewatch.claims.claims import Claims
from posewatch.claims.observer import Observer, _Sight
from posewatch.storage import posix_staging
from posewatch.storage.memory import MemoryStorage
from posewatch.storage.posix import PosixStorage
from posewatch.storage.posix_staging import PosixStaging
from posewatch.storage.s3 import S3Storage
from posewatch.storage.s3_memory import MemoryObjects
from posewatch.storage.s3_staging import S3Staging
from posewatch.storage.s3_sure import SureObjects
from posewatch.worker.publish import Publisher
from storage import test_behaviour, test_posix, test_s3
from storage.folders import make_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from posewatch.claims.survey import SeenLock
    from posewatch.storage.contract import Version
    from posewatch.storage.s3_objects import Body

    Patch = Callable[[pytest.MonkeyPatch], None]
    Check = Callable[[Path], None]


# --- the broken rules


def no_fence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PosixStorage, "fence", lambda _self, _tokens, _beside: None)


def fence_that_does_not_keep_closed(patch: pytest.MonkeyPatch) -> None:
    real = PosixStorage.fence
    patch.setattr(PosixStorage, "fence", lambda self, _tokens, beside: real(self, [], beside))


def fence_of_known_attempts_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(posix_staging, "_areas", lambda _files, _shelf: [])


def no_second_look_at_the_receipt(patch: pytest.MonkeyPatch) -> None:
    claimed = Worker._claimed

    def hasty(self: Worker, key: str, version: Version, claim: Claim) -> bool:
        self.settled = lambda _found, _version: False
        try:
            return claimed(self, key, version, claim)
        finally:
            del self.settled

    patch.setattr(Worker, "_claimed", hasty)
    patch.setattr(Publisher, "settles", lambda *_: False)


def no_look_for_newer_attempts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Claim, "find_higher", lambda _self: None)


def no_look_at_the_locks_below(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Claim, "_look_lower", lambda _self: None)


def no_check_before_publishing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Claim, "check", lambda _self, **_how: None)


def stale_by_the_calendar(patch: pytest.MonkeyPatch) -> None:
    held = Claims._held

    def by_calendar(self: Claims, key: str) -> list[SeenLock]:
        def judged(seen: SeenLock) -> SeenLock:
            assert seen.record is not None
            beat = dt.datetime.fromisoformat(seen.record.beat_at).timestamp()
            return replace(seen, stale=self._clock.wall() - beat >= self._ttl)

        return [judged(seen) for seen in held(self, key)]

    patch.setattr(Claims, "_held", by_calendar)


def stale_whatever_changes(patch: pytest.MonkeyPatch) -> None:
    def see(self: Observer, name: str, mark: object, began: float, ended: float) -> float:
        return max(began - self._sights.setdefault(name, _Sight(mark, ended)).since, 0.0)

    patch.setattr(Observer, "see", see)


def stale_at_once(patch: pytest.MonkeyPatch) -> None:
    real = survey.see
    for module in (survey, claims_module):
        patch.setattr(module, "see", lambda *a, **k: replace(real(*a, **k), stale=True))


def a_look_as_new_as_its_end(patch: pytest.MonkeyPatch) -> None:
    real = Observer.see

    def see(self: Observer, name: str, mark: object, began: float, ended: float) -> float:
        return real(self, name, mark, max(began, ended), ended)

    patch.setattr(Observer, "see", see)


def the_ttl_of_the_holder_does_not_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(survey, "MAX_TTL", 0.0)


def a_beat_that_creates(patch: pytest.MonkeyPatch) -> None:
    real = PosixStorage.overwrite

    def overwrite(self: PosixStorage, key: str, old: bytes, new: bytes) -> None:
        try:
            real(self, key, old, new)
        except MissingError:
            self.create(key, new)

    patch.setattr(PosixStorage, "overwrite", overwrite)


def a_beat_over_anything(patch: pytest.MonkeyPatch) -> None:
    real = MemoryStorage.overwrite

    def overwrite(self: MemoryStorage, key: str, _old: bytes, new: bytes) -> None:
        real(self, key, self.read(key), new)

    patch.setattr(MemoryStorage, "overwrite", overwrite)


def a_failed_beat_is_somebody_elses(patch: pytest.MonkeyPatch) -> None:
    def write(self: Claim, new: record.LockRecord) -> Lost | None:
        content = record.encode(replace(new, beat=new.beat + 1))
        try:
            self._storage.overwrite(self._own, self._content, content)
        except ChangedError:
            return Lost(Reason.REPLACED, "it is not what we wrote")
        self._record, self._content = new, content
        return None

    patch.setattr(Claim, "_write", write)


def silence_is_no_loss(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(claim_module, "LOST_SHARE", 1e9)


def creation_that_replaces(patch: pytest.MonkeyPatch) -> None:
    def link(self: PosixStorage, new: str, path: str) -> bool:
        self._files.rename(new, path)
        return True

    patch.setattr(PosixStorage, "_link", link)


def publication_that_replaces(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        PosixStaging,
        "_publish_new",
        lambda self, _key, staged, target: self._files.rename(staged.path, target),
    )


def replacing_whatever_is_there(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        PosixStaging,
        "_replace",
        lambda self, _key, staged, target, _expected: self._files.rename(staged.path, target),
    )


def a_lost_answer_is_a_no(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("posewatch.storage.posix.same_file", lambda _one, _other: False)


def a_removal_after_a_pause(patch: pytest.MonkeyPatch) -> None:
    def remove(self: Claim, lock: str, content: bytes) -> bool:
        with suppress(MissingError):
            found = self._storage.read(lock)
            if record.same_claim(found, content):
                self._storage.remove(lock, found)
        return True

    patch.setattr(Claim, "_remove", remove)


def a_removal_of_whatever_is_there(patch: pytest.MonkeyPatch) -> None:
    def remove(self: Claim, lock: str, _content: bytes) -> bool:
        with suppress(MissingError):
            self._storage.remove(lock, self._storage.read(lock))
        return True

    patch.setattr(Claim, "_remove", remove)


def the_own_lock_first(patch: pytest.MonkeyPatch) -> None:
    real = Claim.release

    def release(self: Claim) -> bool:
        self._remove(self._own, self._content)
        return real(self)

    patch.setattr(Claim, "release", release)


def a_release_that_keeps_the_locks_below(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Claim, "release", Claim.give_back)


def no_sweep(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(survey, "locks_to_sweep", lambda _held, _finished, _exists: [])


def no_sweep_of_leftovers(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(survey, "hidden_to_sweep", lambda _hidden, _held, _observer, **_times: [])


def a_sweep_of_the_living(patch: pytest.MonkeyPatch) -> None:
    real = survey.locks_to_sweep

    def sweep(held: dict[str, list[SeenLock]], *rules: Callable[..., bool]) -> Iterable[SeenLock]:
        eager = {key: [replace(x, stale=True) for x in locks] for key, locks in held.items()}
        return real(eager, *rules)

    patch.setattr(survey, "locks_to_sweep", sweep)
    patch.setattr(test_survey, "locks_to_sweep", sweep)


def nobody_counts_the_dead(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(play, "MAX_ATTEMPTS", 99)


def a_bucket_without_conditions(patch: pytest.MonkeyPatch) -> None:
    def put(self: MemoryObjects, key: str, body: Body, _expected: str | None) -> str:
        source = body.source
        data = source if isinstance(source, bytes) else source.read_bytes()
        return self.write(key, data, body.mark)

    patch.setattr(MemoryObjects, "put", put)


def a_commit_over_whatever_stands(patch: pytest.MonkeyPatch) -> None:
    def publish(self: S3Staging, body: Body, _expected: Version | None) -> str:
        found = self._objects.head(self._path(self._commit))
        return self._objects.put(
            self._path(self._commit), body, found.etag if found is not None else None
        )

    patch.setattr(S3Staging, "_publish_commit", publish)


def no_fence_in_a_bucket(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(S3Storage, "fence", lambda _self, _tokens, _beside: None)


def a_stamp_over_any_receipt(patch: pytest.MonkeyPatch) -> None:
    real = S3Storage.stage
    patch.setattr(S3Storage, "stage", lambda self, token, beside, _seen: real(self, token, beside))


def a_copy_that_is_not_asked_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(S3Storage, "_expect_version", lambda _self, _key, _version: None)


def a_lost_answer_of_a_bucket_is_a_no(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SureObjects, "head", lambda _self, _key: None)


# --- what notices


def steps(
    begin: Callable[[play.World], None], rival: Callable[[play.World], None], **how: object
) -> Check:
    return Case(begin, rival, **how).run


def scene(test: Callable[..., None], **more: object) -> Check:
    return lambda _root: test(Scene(), **more)


def folder(test: Callable[..., None], *, kind: str = "posix", **more: object) -> Check:
    def check(root: Path) -> None:
        made = make_folder(kind, root)
        made.put(test_behaviour.VIDEO, b"a video")
        test(made, **more)

    return check


def here(test: Callable[[], None]) -> Check:
    return lambda _root: test()


@dataclass(frozen=True, slots=True)
class Fault:
    broken: Patch
    noticed_by: Check


FAULTS = [
    Fault(no_fence, steps(fresh, takes_over_and_stands)),
    Fault(no_fence, steps(replaced, takes_over_and_stands)),
    Fault(
        fence_that_does_not_keep_closed,
        folder(test_behaviour.test_a_fenced_attempt_cannot_begin_to_stage),
    ),
    Fault(
        fence_of_known_attempts_only,
        folder(test_behaviour.test_fencing_closes_areas_of_which_nobody_knows_the_token),
    ),
    Fault(no_second_look_at_the_receipt, steps(fresh, finishes)),
    Fault(no_second_look_at_the_receipt, steps(replaced, finishes)),
    Fault(no_look_for_newer_attempts, steps(fresh, takes_over_and_stands, asleep=True)),
    Fault(no_look_for_newer_attempts, test_plays.a_beat_did_not_see_a_newer_attempt),
    Fault(no_look_at_the_locks_below, scene(test_claim.test_a_claim_stands_on_the_locks_below_it)),
    Fault(no_check_before_publishing, steps(fresh, finishes)),
    Fault(no_check_before_publishing, test_plays.an_input_was_replaced_before_its_receipt),
    Fault(stale_by_the_calendar, steps(fresh, test_steps.watches_the_living)),
    Fault(stale_whatever_changes, steps(fresh, test_steps.watches_the_living)),
    Fault(stale_at_once, steps(fresh, test_steps.tries_at_once)),
    Fault(
        a_look_as_new_as_its_end,
        here(
            test_survey.test_time_is_counted_from_the_end_of_the_first_look_to_the_beginning_of_the_last
        ),
    ),
    Fault(the_ttl_of_the_holder_does_not_count, scene(test_claim.test_the_longer_ttl_counts)),
    Fault(a_beat_that_creates, steps(fresh, finishes)),
    Fault(
        a_beat_over_anything,
        scene(test_claim.test_a_replaced_lock_is_a_lost_claim_and_stays_the_others),
    ),
    Fault(
        a_failed_beat_is_somebody_elses,
        scene(test_claim.test_a_beat_that_was_written_though_it_failed_is_ours, after=True),
    ),
    Fault(silence_is_no_loss, scene(test_claim.test_a_silent_claim_beats_no_more)),
    Fault(creation_that_replaces, steps(fresh, test_steps.begins_and_stands)),
    Fault(publication_that_replaces, test_steps.test_a_foreign_result_is_never_overwritten),
    Fault(
        replacing_whatever_is_there,
        folder(
            test_behaviour.test_publishing_over_another_version_changes_nothing,
            there=b"somebody else's",
        ),
    ),
    Fault(
        a_lost_answer_is_a_no,
        test_posix.test_a_creation_whose_answer_was_lost_is_still_ours,
    ),
    Fault(
        a_removal_after_a_pause,
        scene(test_claim.test_after_a_pause_nobody_removes_a_lock, end=Claim.release),
    ),
    Fault(
        a_removal_of_whatever_is_there,
        scene(test_claim.test_the_lock_of_another_is_not_removed),
    ),
    Fault(the_own_lock_first, scene(test_claim.test_the_own_lock_is_removed_last)),
    Fault(
        a_release_that_keeps_the_locks_below,
        scene(test_claim.test_releasing_a_later_attempt_removes_the_earlier_ones_and_their_areas),
    ),
    Fault(no_sweep, steps(fresh, finishes, killed=True)),
    Fault(no_sweep_of_leftovers, steps(fresh, finishes, killed=True)),
    Fault(a_sweep_of_the_living, test_plays.the_lock_of_the_living_was_swept),
    Fault(a_bucket_without_conditions, steps(fresh, finishes, kind=S3)),
    Fault(a_commit_over_whatever_stands, steps(fresh, finishes, kind=S3)),
    Fault(
        no_fence_in_a_bucket,
        folder(test_behaviour.test_a_fenced_attempt_cannot_begin_to_stage, kind="s3"),
    ),
    Fault(
        a_lost_answer_of_a_bucket_is_a_no,
        lambda _root: test_s3.test_a_write_that_seems_to_have_failed_is_done_once(
            test_s3.Scene(), 1, after=True
        ),
    ),
    Fault(
        a_stamp_over_any_receipt,
        lambda _root: test_s3.test_who_decided_by_another_receipt_does_not_stage(
            test_s3.Scene(), None
        ),
    ),
    Fault(a_copy_that_is_not_asked_for, test_plays.a_copy_was_there_already),
    Fault(nobody_counts_the_dead, test_steps.test_a_job_that_kills_its_workers_ends_as_a_failure),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.broken.__name__)
def test_a_broken_rule_is_noticed(
    playground: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    fault.broken(monkeypatch)
    with pytest.raises((AssertionError, StorageError, pytest.fail.Exception)):
        fault.noticed_by(playground)
