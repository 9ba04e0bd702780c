"""What one job in a bucket costs: the table of `docs/storage.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.base.metrics import Outcome
from posewatch.catalog import Why
from posewatch.claims.claims import Claims, Owner
from posewatch.claims.observer import Observer
from posewatch.claims.survey import survey
from posewatch.formats import names
from posewatch.storage.faulty import HookedObjects, Operation
from posewatch.storage.s3 import S3Storage
from posewatch.storage.s3_memory import MemoryObjects
from worker.doubles import SUFFIX, Scene

if TYPE_CHECKING:
    from pathlib import Path

    from posewatch.formats.receipt import Receipt

VIDEO = "talks/a.mp4"
LOCK, HIGHER = f"{VIDEO}.lock", f"{VIDEO}.lock.2"
RECEIPT = names.receipt_key(VIDEO)
RESULT = names.stem(VIDEO) + SUFFIX

CLAIM = [f"put {LOCK}", f"get {RECEIPT}"]
COPY = [f"pieces {VIDEO}"]
PUBLISH = [f"put {RECEIPT}", f"head {RECEIPT}", f"put {RESULT}", f"put {RECEIPT}"]
RELEASE = [f"delete {LOCK}"]


class BucketScene(Scene):
    """The same over a bucket, of which a scan has just shown that nobody has a lock."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.bucket = MemoryObjects()
        self.sent: list[str] = []
        self.memory = self._storage_of(self.bucket)
        self.storage = self._storage_of(HookedObjects(self.bucket, self._told))
        self.observer = Observer()
        self.claims = Claims(self.storage, self.clock, Owner("here", 1, ""), 60.0, self.observer)
        survey(self.observer, {}, began=0.0, ended=0.0, ttl=60.0)
        self.bucket.write(VIDEO, b"a video")

    def _storage_of(self, objects: MemoryObjects | HookedObjects) -> S3Storage:
        return S3Storage(objects, "", self.clock, names.receipt_key)

    def _told(self, operation: Operation) -> None:
        if not operation.after:
            self.sent.append(f"{operation.name} {operation.target}")
        self.hook(operation)


@pytest.fixture
def scene(tmp_path: Path) -> BucketScene:
    return BucketScene(tmp_path)


def test_one_job_takes_six_requests_besides_its_data(scene: BucketScene) -> None:
    assert scene.run().outcome is Outcome.DONE
    assert scene.sent == CLAIM + COPY + PUBLISH + RELEASE
    assert len(scene.sent) - len({f"pieces {VIDEO}", f"put {RESULT}"}) == 6
    assert scene.listed() == {VIDEO, RESULT, RECEIPT}


def test_who_has_not_scanned_looks_for_locks(scene: BucketScene) -> None:
    scene.claims._observer = Observer()
    scene.run()
    assert scene.sent[:4] == [f"get {LOCK}", f"put {LOCK}", f"head {HIGHER}", f"get {RECEIPT}"]


@pytest.mark.parametrize("lock", [LOCK, HIGHER])
def test_who_has_seen_a_lock_looks_for_locks(scene: BucketScene, lock: str) -> None:
    survey(scene.observer, {lock: b"{}"}, began=0.0, ended=0.0, ttl=60.0)
    scene.run()
    assert scene.sent[:3] == [f"get {LOCK}", f"put {LOCK}", f"head {HIGHER}"]


def test_a_lock_that_came_since_the_scan_is_respected(scene: BucketScene) -> None:
    scene.bucket.write(LOCK, b"{}")
    assert scene.run().outcome is None
    assert scene.sent == [f"put {LOCK}", f"head {LOCK}"]


def test_who_worked_for_long_without_a_beat_renews_its_claim_first(scene: BucketScene) -> None:
    scene.recipe.acts = [lambda _report: scene.clock.advance(25.0)]
    assert scene.run().outcome is Outcome.DONE
    check = [f"put {LOCK}", f"head {HIGHER}"]
    assert scene.sent == CLAIM + COPY + PUBLISH[:1] + check + PUBLISH[1:] + RELEASE


def test_after_a_beat_that_failed_the_lock_is_looked_at_before_it_is_removed(
    scene: BucketScene,
) -> None:
    claim = scene.claims.acquire(VIDEO, "job")
    claim._trouble = OSError()
    scene.sent.clear()
    assert claim.release()
    assert scene.sent == [f"get {LOCK}", f"delete {LOCK}"]


def test_a_job_that_is_given_back_removes_only_what_it_has_looked_at(scene: BucketScene) -> None:
    claim = scene.claims.acquire(VIDEO, "job")
    scene.sent.clear()
    assert claim.give_back()
    assert scene.sent == [f"get {LOCK}", f"delete {LOCK}"]


def test_a_result_of_ours_without_a_receipt_is_replaced_at_once(scene: BucketScene) -> None:
    """Somebody has removed the receipt, so that the video is worked on again."""
    scene.run()
    scene.bucket.delete(RECEIPT)
    begun = scene.clock.monotonic()
    assert scene.run().outcome is Outcome.DONE
    assert scene.clock.monotonic() == begun
    assert scene.listed() == {VIDEO, RESULT, RECEIPT}


def test_who_finds_a_file_of_another_program_says_so_beside_it(scene: BucketScene) -> None:
    scene.bucket.write(RECEIPT, b'{"posewatch": "my notes"}')
    assert scene.run().outcome is Outcome.RETRIED
    refusal = names.refusal_key(VIDEO)
    taken = {"why": Why.NAME_TAKEN, "taken_by": "a.posewatch.json", "receipt_key": refusal}
    assert scene.run(scene.job(**taken)).outcome is Outcome.FAILED
    assert scene.receipt(refusal).failure is not None
    assert scene.listed() == {VIDEO, RECEIPT, refusal}
    assert scene.bucket.get(RECEIPT, 99).data == b'{"posewatch": "my notes"}'


def test_who_was_slower_leaves_what_stands(scene: BucketScene) -> None:
    """Its lock was removed by hand, and another worker did the job meanwhile."""
    rival = Claims(scene.storage, scene.clock, Owner("there", 1, ""), 60.0, Observer())
    mine = scene.claims

    def overtaken(_report: object) -> None:
        scene.bucket.delete(LOCK)
        scene.claims = rival
        assert scene.run().outcome is Outcome.DONE
        scene.claims = mine
        told.append(scene.receipt())
        scene.sent.clear()

    told: list[Receipt] = []
    scene.decoders.resize(2)
    scene.recipe.acts = [overtaken]
    scene.run()
    assert [scene.receipt()] == told
    assert f"put {RESULT}" not in scene.sent
