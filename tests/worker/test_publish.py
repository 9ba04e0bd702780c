"""Publishing while the folder is in trouble, and beside files of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    ExistsError,
    Fault,
    FullError,
    MissingError,
    ReadOnlyError,
    StorageError,
    UnavailableError,
    UnmountedError,
)
from posewatch.base.metrics import Outcome
from posewatch.worker.cancel import Stop
from worker.doubles import SUFFIX, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from posewatch.storage.faulty import Operation

VIDEO = "talks/a.mp4"
RECEIPT = "talks/a.posewatch.json"
RESULT = f"talks/a{SUFFIX}"
CLEAN = {VIDEO, RECEIPT, RESULT}


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Scene]:
    """A scene whose claims outlive any trouble: nobody beats while the time is moved."""
    scene = Scene(tmp_path, ttl=86_400)
    scene.memory.put(VIDEO, b"a video")
    yield scene
    scene.cache.close()


PASSING = [FullError, ReadOnlyError, DeniedError, UnavailableError, UnmountedError]


@pytest.mark.parametrize("error", PASSING)
@pytest.mark.parametrize(
    ("name", "key"),
    [("stage", VIDEO), ("add", RESULT), ("add", RECEIPT), ("publish", RESULT), ("stat", RESULT)],
)
def test_passing_trouble_is_outlasted(
    patient: Scene, name: str, key: str, error: type[StorageError]
) -> None:
    scene = patient
    begun = scene.clock.monotonic()
    scene.fails(name, key, error("trouble"), times=5, after=False)
    ending = scene.run()
    assert ending.outcome is Outcome.DONE
    assert scene.listed() == CLEAN
    assert scene.recipe.runs == 1
    assert [type(trouble) for trouble in scene.troubles] == [error] * 5 + [type(None)]
    assert scene.clock.monotonic() > begun


@pytest.mark.parametrize("error", PASSING)
@pytest.mark.parametrize("after", [True, False])
def test_trouble_with_the_receipt_commits_one_receipt(
    patient: Scene, error: type[StorageError], *, after: bool
) -> None:
    scene = patient
    scene.fails("publish", RECEIPT, error("trouble"), times=1, after=after)
    assert scene.run().outcome is Outcome.DONE
    assert scene.listed() == CLEAN
    published = [target for name, target in scene.operations if name == "publish"]
    # Where only the answer was lost, nothing is written again.
    assert published == ([RESULT, RECEIPT] if after else [RESULT, RECEIPT] * 2)


def test_a_stop_ends_the_waiting(patient: Scene) -> None:
    scene = patient

    def hook(operation: Operation) -> None:
        if (operation.name, operation.target) == ("add", RESULT):
            if len(scene.troubles) == 3:
                scene.cancellation.cancel(Stop.SHUTDOWN, "the time is over")
            raise FullError("no space")

    scene.hook = hook
    assert scene.run().outcome is Outcome.GIVEN_BACK
    assert scene.listed() == {VIDEO}


def test_a_claim_that_ran_out_meanwhile_publishes_nothing(scene: Scene) -> None:
    """`scene` has a lease of a minute, and nobody beats."""

    def hook(operation: Operation) -> None:
        if (operation.name, operation.target) == ("add", RECEIPT):
            scene.clock.advance(50)

    scene.hook = hook
    assert scene.run().outcome is Outcome.LOST
    assert scene.listed() == {VIDEO, f"{VIDEO}.lock"}


@pytest.mark.parametrize("error", [ExistsError, ChangedError, MissingError])
@pytest.mark.parametrize("key", [RESULT, RECEIPT])
def test_whoever_changes_the_folder_meanwhile_makes_it_look_again(
    patient: Scene, caplog: pytest.LogCaptureFixture, key: str, error: type[StorageError]
) -> None:
    scene = patient
    scene.fails("publish", key, error("somebody was here"), times=2, after=False)
    assert scene.run().outcome is Outcome.DONE
    assert scene.listed() == CLEAN
    assert caplog.messages.count("the folder changed while publishing") == 2


def test_a_failure_is_published_through_trouble_too(patient: Scene) -> None:
    scene = patient
    scene.memory.put("talks/dir.mp4", b"", regular=False)
    key = "talks/dir.posewatch.json"
    scene.fails("publish", key, FullError("no space"), times=3, after=False)
    assert scene.run(scene.job("talks/dir.mp4")).outcome is Outcome.FAILED
    assert scene.receipt(key).outcome == "failed"


def test_what_cannot_be_tidied_up_is_left_to_the_sweep(patient: Scene) -> None:
    scene = patient
    scene.fails("discard", "", UnavailableError("no answer"), times=1, after=False)
    assert scene.run().outcome is Outcome.DONE
    assert scene.troubles == [None]
    assert scene.receipt().outcome == "done"


# Files that are there already


@pytest.mark.parametrize("how", ["foreign", "unreadable", "a folder"])
def test_a_foreign_file_is_never_overwritten(scene: Scene, how: str) -> None:
    scene.memory.put(RESULT, b"my thesis", regular=how != "a folder")
    if how == "unreadable":
        scene.fails("fetch", RESULT, DeniedError("no"), times=1, after=False)
    before = scene.memory.stat(RESULT)
    assert scene.run().outcome is Outcome.FAILED
    assert scene.memory.stat(RESULT) == before
    failure = scene.receipt().failure
    assert failure is not None
    assert failure.fault is Fault.NAME_TAKEN
    assert failure.message == f"there is a a{SUFFIX} already that posewatch did not make"
    assert "retry" in failure.hint


def test_a_foreign_file_that_comes_at_the_last_moment_is_not_overwritten(patient: Scene) -> None:
    scene = patient

    def hook(operation: Operation) -> None:
        if (operation.name, operation.target) == ("publish", RESULT) and not operation.after:
            scene.memory.put(RESULT, b"my thesis")

    scene.hook = hook
    assert scene.run().outcome is Outcome.FAILED
    assert scene.memory.read(RESULT) == b"my thesis"


def test_a_leftover_of_a_dead_attempt_is_replaced(scene: Scene) -> None:
    scene.memory.put(RESULT, b"poses of something older")
    assert scene.run().outcome is Outcome.DONE
    assert scene.memory.read(RESULT) == b"poses of a video"


def test_a_result_that_the_old_receipt_names_is_replaced_unread(scene: Scene) -> None:
    scene.run()
    scene.memory.put(VIDEO, b"another video")
    scene.memory.put(RESULT, b"edited by hand")
    scene.fails("fetch", RESULT, AssertionError("it was read"), times=1, after=False)
    assert scene.run().outcome is Outcome.DONE
    assert scene.memory.read(RESULT) == b"poses of another video"


def test_a_receipt_that_vanishes_while_it_is_looked_at_is_none(scene: Scene) -> None:
    scene.run()

    def hook(operation: Operation) -> None:
        if (operation.name, operation.target) == ("look", RECEIPT) and not operation.after:
            scene.memory.delete(RECEIPT)

    scene.hook = hook
    assert scene.run().outcome is Outcome.DONE
    assert scene.recipe.runs == 2
