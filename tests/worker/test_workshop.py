from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from posewatch.base.metrics import Outcome
from posewatch.catalog import Job, Why
from posewatch.storage.contract import Version
from posewatch.worker.attempt import Ending
from posewatch.worker.cancel import Stop, StoppedError
from posewatch.worker.workshop import Workshop
from worker.doubles import PATIENCE

if TYPE_CHECKING:
    from posewatch.worker.cancel import Cancellation


def job(key: str) -> Job:
    return Job(key, Version(1, "1"), Why.NEW, "", None, 0.0, None)


class Runner:
    """Works until it is told to stop."""

    def __init__(self, *, has_turn: bool) -> None:
        self.has_turn = has_turn
        self.begun = threading.Event()
        self.stopped: StoppedError | None = None

    def run(self, job: Job, cancellation: Cancellation) -> Ending:
        cancellation.has_turn = self.has_turn
        self.begun.set()
        cancellation.event.wait(PATIENCE)
        try:
            cancellation.check()
        except StoppedError as stopped:
            self.stopped = stopped
        return Ending(job, Outcome.GIVEN_BACK)


def test_a_job_runs_until_its_ending_was_taken_in() -> None:
    endings: queue.Queue[Ending] = queue.Queue()
    workshop, runner = Workshop(endings.put), Runner(has_turn=True)
    assert len(workshop) == 0
    workshop.start(job("a.mp4"), runner)  # type: ignore[arg-type]
    assert runner.begun.wait(PATIENCE)
    assert list(workshop.keys()) == ["a.mp4"]
    workshop.give_back(Stop.SHUTDOWN, "enough", begun=True)
    ending = endings.get(timeout=PATIENCE)
    assert (ending.job.key, ending.outcome) == ("a.mp4", Outcome.GIVEN_BACK)
    assert len(workshop) == 1
    workshop.ended("a.mp4")
    assert list(workshop.keys()) == []
    assert runner.stopped is not None
    assert (runner.stopped.why, runner.stopped.detail) == (Stop.SHUTDOWN, "enough")


def test_those_that_have_begun_may_go_on() -> None:
    endings: queue.Queue[Ending] = queue.Queue()
    workshop = Workshop(endings.put)
    runners = {"waits.mp4": Runner(has_turn=False), "works.mp4": Runner(has_turn=True)}
    for key, runner in runners.items():
        workshop.start(job(key), runner)  # type: ignore[arg-type]
        assert runner.begun.wait(PATIENCE)
    workshop.give_back(Stop.SHUTDOWN, "it had not begun", begun=False)
    assert endings.get(timeout=PATIENCE).job.key == "waits.mp4"
    workshop.ended("waits.mp4")
    assert list(workshop.keys()) == ["works.mp4"]
    assert endings.empty()
    workshop.give_back(Stop.SHUTDOWN, "enough", begun=True)
    assert endings.get(timeout=PATIENCE).job.key == "works.mp4"
    workshop.ended("works.mp4")
    assert not [thread for thread in threading.enumerate() if thread.name == "job"]
