from __future__ import annotations

import pytest

from posewatch.worker.cancel import Cancellation, Stop, StoppedError


def test_a_job_goes_on_until_it_is_cancelled() -> None:
    cancellation = Cancellation()
    cancellation.check()
    assert not cancellation.event.is_set()
    cancellation.cancel(Stop.LOST, "somebody else has it")
    assert cancellation.event.is_set()
    with pytest.raises(StoppedError, match="somebody else has it") as caught:
        cancellation.check()
    assert (caught.value.why, caught.value.detail) == (Stop.LOST, "somebody else has it")


def test_the_first_reason_stays() -> None:
    cancellation = Cancellation()
    cancellation.cancel(Stop.LOST, "first")
    cancellation.cancel(Stop.SHUTDOWN, "second")
    with pytest.raises(StoppedError, match="first"):
        cancellation.check()


def test_without_words_the_reason_speaks() -> None:
    cancellation = Cancellation()
    cancellation.cancel(Stop.SHUTDOWN)
    with pytest.raises(StoppedError, match="shutdown"):
        cancellation.check()


def test_each_cancel_wakes_whoever_is_to_be_woken_then() -> None:
    woken: list[str] = []
    cancellation = Cancellation()
    cancellation.cancel(Stop.LOST)
    cancellation.wake_with(lambda: woken.append("one"))
    cancellation.cancel(Stop.LOST)
    cancellation.wake_with(lambda: woken.append("two"))
    cancellation.cancel(Stop.LOST)
    cancellation.wake_with(None)
    cancellation.cancel(Stop.LOST)
    assert woken == ["one", "two"]
