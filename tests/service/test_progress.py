from __future__ import annotations

import pytest

from posewatch.base.clock import ManualClock
from posewatch.service.progress import Health, Progress


def test_a_loop_that_marks_in_time_is_alive() -> None:
    clock = ManualClock()
    progress = Progress(clock, patience=30)
    for _ in range(5):
        clock.advance(30)
        assert progress.health() == Health(alive=True, silent_seconds=30)
        progress.mark()
    clock.advance(30.1)
    assert not progress.health().alive


def test_announced_work_may_take_longer() -> None:
    clock = ManualClock()
    progress = Progress(clock, patience=30)
    with progress.during("loading the networks", 300):
        clock.advance(300)
        assert progress.health() == Health(
            alive=True, silent_seconds=300, doing="loading the networks"
        )
        clock.advance(1)
        assert not progress.health().alive
    assert progress.health() == Health(alive=True, silent_seconds=0)
    clock.advance(31)
    assert not progress.health().alive


def test_an_announcement_ends_when_the_work_fails() -> None:
    clock = ManualClock()
    progress = Progress(clock, patience=30)
    with pytest.raises(RuntimeError), progress.during("loading the networks", 300):
        raise RuntimeError
    clock.advance(31)
    assert progress.health() == Health(alive=False, silent_seconds=31)


def test_an_announcement_never_shortens_the_patience() -> None:
    clock = ManualClock()
    progress = Progress(clock, patience=30)
    with progress.during("a quick look", 1):
        clock.advance(30)
        assert progress.health().alive
