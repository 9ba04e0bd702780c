from __future__ import annotations

import logging

import pytest

from posewatch.base.clock import ManualClock
from posewatch.base.errors import (
    DeniedError,
    FullError,
    ReadOnlyError,
    StorageError,
    UnavailableError,
    UnmountedError,
)
from posewatch.base.metrics import Metrics
from posewatch.service.trouble import GIVEN_UP, SAID, Troubles

IN_TROUBLE = "the folder is in trouble; work goes on when it has passed"
OVER = "the folder works again"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def troubles(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> Troubles:
    caplog.set_level(logging.INFO)
    return Troubles(clock, Metrics())


def test_without_trouble_everything_may_be_tried(troubles: Troubles) -> None:
    assert troubles.error is None
    assert not troubles.everything_waits()
    assert not troubles.holds("a.mp4")
    assert not troubles.given_up("a.mp4")
    troubles.passed("a.mp4")
    troubles.listed([])


@pytest.mark.parametrize("error", [FullError, UnmountedError, UnavailableError])
def test_some_troubles_are_everybodys(
    troubles: Troubles, clock: ManualClock, error: type[StorageError]
) -> None:
    trouble = error("trouble")
    for _ in range(5):  # the waits are random, and grow
        troubles.note(trouble, "talks/a.mp4")
    assert troubles.error is trouble
    assert troubles.everything_waits()
    assert troubles.holds("b.mp4")
    assert not troubles.given_up("talks/a.mp4")
    clock.advance(60)
    assert not troubles.everything_waits()
    assert troubles.error is trouble, "it is tried, and not known to be over"


@pytest.mark.parametrize("error", [DeniedError, ReadOnlyError])
def test_some_are_those_of_one_folder(troubles: Troubles, error: type[StorageError]) -> None:
    for _ in range(GIVEN_UP):
        assert not troubles.given_up("talks/a.mp4")
        troubles.note(error("no"), "talks/a.mp4")
    assert troubles.holds("talks/b.mp4")
    assert troubles.given_up("talks/b.mp4")
    for other in ("a.mp4", "talks/deep/a.mp4", "lectures/a.mp4"):
        assert not troubles.holds(other)
        assert not troubles.given_up(other)
    assert not troubles.everything_waits()
    troubles.passed("lectures/a.mp4")
    assert troubles.error is not None
    troubles.passed("talks/a.mp4")
    assert troubles.error is None


def test_what_is_about_no_video_is_everybodys(troubles: Troubles) -> None:
    troubles.note(DeniedError("the folder may not be listed"))
    assert troubles.holds("a.mp4")


def test_trouble_is_told_once_and_its_end_too(
    troubles: Troubles, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        troubles.note(FullError("no space"))
    troubles.passed("a.mp4")
    troubles.passed("a.mp4")
    assert caplog.messages == [IN_TROUBLE, OVER]


def test_trouble_that_comes_and_goes_is_told_now_and_then(
    troubles: Troubles, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        troubles.note(DeniedError("no"), "a.mp4")
        troubles.passed("b.mp4")
    assert caplog.messages == [IN_TROUBLE, OVER]
    clock.advance(SAID)
    troubles.note(DeniedError("no"), "a.mp4")
    assert caplog.messages == [IN_TROUBLE, OVER, IN_TROUBLE]


def test_another_kind_of_trouble_is_told_too(
    troubles: Troubles, caplog: pytest.LogCaptureFixture
) -> None:
    troubles.note(FullError("no space"))
    troubles.note(UnmountedError("gone"))
    assert caplog.messages == [IN_TROUBLE, IN_TROUBLE]
    assert isinstance(troubles.error, UnmountedError)
    troubles.passed("a.mp4")
    assert troubles.error is None


@pytest.mark.parametrize(
    ("error", "mended"), [(UnmountedError, True), (UnavailableError, True), (FullError, False)]
)
def test_a_scan_shows_what_is_mended(
    troubles: Troubles, error: type[StorageError], *, mended: bool
) -> None:
    troubles.note(error("trouble"), "a.mp4")
    troubles.listed(["a.mp4"])
    assert (troubles.error is None) == mended


def test_where_nothing_is_left_to_do_nothing_can_be_refused(troubles: Troubles) -> None:
    troubles.note(FullError("no space"), "a.mp4")
    troubles.note(DeniedError("no"), "talks/a.mp4")
    assert isinstance(troubles.error, FullError)
    troubles.listed(["a.mp4"])
    assert not troubles.holds("talks/a.mp4") or troubles.everything_waits()
    troubles.note(DeniedError("no"), "talks/a.mp4")
    troubles.listed(["talks/b.mp4"])
    assert isinstance(troubles.error, FullError)
    troubles.listed([])
    assert troubles.error is None


def test_the_folder_is_said_to_be_there_or_not(clock: ManualClock) -> None:
    metrics = Metrics()
    troubles = Troubles(clock, metrics)
    troubles.note(UnmountedError("gone"))
    shown = metrics.expose().decode()
    assert "posewatch_folder_available 0.0" in shown
    assert 'posewatch_storage_errors_total{kind="unmounted"} 1.0' in shown
    troubles.listed([])
    assert "posewatch_folder_available 1.0" in metrics.expose().decode()
