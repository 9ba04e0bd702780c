from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from posewatch.worker.cancel import Cancellation, Stop, StoppedError
from posewatch.worker.decoders import Decoders
from worker.doubles import PATIENCE, ToyDecoder, until

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pool:
    """Decoders, and jobs that take turns when they are told to."""

    def __init__(self, count: int) -> None:
        self.made: list[ToyDecoder] = []
        self.fail = False
        self.decoders = Decoders(self._make, count)  # type: ignore[arg-type]
        self.order: list[str] = []
        self.jobs: dict[str, tuple[threading.Thread, threading.Event, Cancellation]] = {}
        self.stopped: list[str] = []

    def _make(self) -> ToyDecoder:
        if self.fail:
            raise OSError("no process")
        self.made.append(ToyDecoder())
        return self.made[-1]

    def begin(self, name: str) -> None:
        """A job asks for a turn; returns when it has one, or waits in the queue."""
        cancellation, go_on = Cancellation(), threading.Event()
        waiting = len(self.decoders._waiting)

        def work() -> None:
            try:
                with self.decoders.turn(cancellation):
                    self.order.append(name)
                    go_on.wait(PATIENCE)
            except StoppedError:
                self.stopped.append(name)

        thread = threading.Thread(target=work)
        self.jobs[name] = thread, go_on, cancellation
        thread.start()
        until(
            lambda: name in self.order or len(self.decoders._waiting) > waiting,
            f"{name} is there",
        )

    def finish(self, name: str) -> None:
        thread, go_on, _ = self.jobs[name]
        go_on.set()
        thread.join(PATIENCE)

    def cancel(self, name: str) -> None:
        self.jobs[name][2].cancel(Stop.SHUTDOWN)

    def settled(self, *order: str) -> None:
        until(lambda: self.order == list(order), f"{order}, not {self.order}")


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(1)
    yield pool
    for _, go_on, cancellation in pool.jobs.values():
        cancellation.cancel(Stop.SHUTDOWN)
        go_on.set()
    for thread, _, _ in pool.jobs.values():
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_turns_are_had_in_the_order_of_coming(pool: Pool) -> None:
    for name in "abcd":
        pool.begin(name)
    pool.settled("a")
    for number, name in enumerate("abc", start=2):
        pool.finish(name)
        pool.settled(*"abcd"[:number])
    assert len(pool.made) == 1


def test_there_are_as_many_turns_as_allowed_and_no_more_decoders_than_needed() -> None:
    pool = Pool(3)
    assert pool.made == []
    pool.begin("a")
    pool.finish("a")
    pool.begin("b")
    pool.begin("c")
    assert len(pool.made) == 2
    pool.begin("d")
    pool.begin("e")
    pool.settled(*"abcd")
    assert len(pool.made) == 3
    for name in "bcd":
        pool.finish(name)
    pool.settled(*"abcde")
    pool.finish("e")
    pool.decoders.close()
    assert all(decoder.closed for decoder in pool.made)


def test_a_job_has_its_turn_from_then_on(pool: Pool) -> None:
    pool.begin("a")
    pool.begin("b")
    pool.settled("a")
    assert pool.jobs["a"][2].has_turn
    assert not pool.jobs["b"][2].has_turn


def test_who_is_cancelled_while_waiting_steps_out_of_the_queue(pool: Pool) -> None:
    for name in "abc":
        pool.begin(name)
    pool.cancel("b")
    until(lambda: pool.stopped == ["b"], "b has stopped")
    pool.finish("a")
    pool.settled("a", "c")


def test_who_was_cancelled_before_gets_no_turn(pool: Pool) -> None:
    cancellation = Cancellation()
    cancellation.cancel(Stop.LOST, "the claim is lost")
    with pytest.raises(StoppedError, match="the claim is lost"), pool.decoders.turn(cancellation):
        pytest.fail("it had a turn")
    pool.begin("a")
    pool.settled("a")


def test_cancelling_stops_the_decoder_of_that_turn_and_of_no_later_one(pool: Pool) -> None:
    cancellation = Cancellation()
    with pool.decoders.turn(cancellation):
        cancellation.cancel(Stop.SHUTDOWN)
        assert pool.made[0].cancelled == 1
    cancellation.cancel(Stop.SHUTDOWN)
    other = Cancellation()
    with pool.decoders.turn(other):
        cancellation.cancel(Stop.SHUTDOWN)
    assert pool.made[0].cancelled == 1


def test_a_late_cancel_does_not_hit_the_next_turn(pool: Pool) -> None:
    """The turn ends only when a cancel that has begun is through."""
    begun, go_on = threading.Event(), threading.Event()
    cancellation = Cancellation()
    turns = []

    def slow_cancel() -> None:
        begun.set()
        go_on.wait(PATIENCE)
        turns.append("cancelled")

    with pool.decoders.turn(cancellation) as decoder:
        decoder.cancel = slow_cancel  # type: ignore[method-assign]
        cancellation.wake_with(decoder.cancel)
        canceller = threading.Thread(target=cancellation.cancel, args=(Stop.SHUTDOWN,))
        canceller.start()
        assert begun.wait(PATIENCE)
        released = threading.Timer(0.02, go_on.set)
        released.start()
    turns.append("next turn")
    canceller.join(PATIENCE)
    released.join(PATIENCE)
    assert turns == ["cancelled", "next turn"]


def test_a_turn_that_fails_gives_its_decoder_back(pool: Pool) -> None:
    with pytest.raises(ZeroDivisionError), pool.decoders.turn(Cancellation()):
        raise ZeroDivisionError
    with pool.decoders.turn(Cancellation()):
        pass
    assert len(pool.made) == 1


def test_a_decoder_that_cannot_be_made_does_not_cost_a_turn_for_ever(pool: Pool) -> None:
    pool.fail = True
    cancellation = Cancellation()
    with pytest.raises(OSError, match="no process"), pool.decoders.turn(cancellation):
        pytest.fail("it had a turn")
    cancellation.cancel(Stop.SHUTDOWN)  # nobody is woken
    pool.fail = False
    pool.begin("a")
    pool.settled("a")


def test_fewer_turns_count_from_the_next_one_on() -> None:
    pool = Pool(3)
    for name in "abc":
        pool.begin(name)
    pool.decoders.resize(1)
    assert not any(decoder.closed for decoder in pool.made)
    pool.begin("d")
    pool.finish("a")
    pool.finish("b")
    assert sum(decoder.closed for decoder in pool.made) == 2
    assert pool.order == ["a", "b", "c"]
    pool.finish("c")
    pool.settled(*"abcd")
    pool.finish("d")
    pool.decoders.close()
    assert all(decoder.closed for decoder in pool.made)


def test_fewer_turns_end_idle_decoders_at_once() -> None:
    pool = Pool(2)
    pool.begin("a")
    pool.begin("b")
    pool.finish("a")
    pool.finish("b")
    pool.decoders.resize(1)
    assert sum(decoder.closed for decoder in pool.made) == 1


def test_more_turns_count_at_once(pool: Pool) -> None:
    for name in "abc":
        pool.begin(name)
    pool.decoders.resize(2)
    pool.settled("a", "b")
    pool.decoders.resize(3)
    pool.settled("a", "b", "c")
