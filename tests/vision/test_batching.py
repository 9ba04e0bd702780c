"""Requests of several callers become batches. Threads are ordered by gates, never by waiting."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewatch.base.clock import ManualClock
from posewatch.base.errors import ModelError
from posewatch.vision.batching import BatchingEngine, EngineClosedError, SpreadEngine, TimedEngine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE = 30.0  # seconds after which a test gives up


class Sums:
    """An engine whose every network gives the sum of each image; lets no batch pass until opened.

    Fails for images that are all 255, as a network would that dislikes something.
    """

    def __init__(self, *, open_gate: bool = False) -> None:
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.batches: list[tuple[str, list[int]]] = []
        if open_gate:
            self.gate.set()

    def infer(self, network: str, batch: np.ndarray) -> tuple[np.ndarray, ...]:
        self.batches.append((network, batch[:, 0, 0, 0].tolist()))
        self.entered.release()
        assert self.gate.wait(PATIENCE)
        if (batch == 255).all(axis=(1, 2, 3)).any():
            raise ModelError("255 is too much")
        sums = batch.reshape(len(batch), -1).sum(axis=1, keepdims=True)
        return sums.astype(np.float32), batch.astype(np.float32)


def images(*values: int) -> np.ndarray:
    return np.array(values, np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)


def ask(
    pool: ThreadPoolExecutor, engine: BatchingEngine, network: str, values: Sequence[int]
) -> Future[tuple[np.ndarray, ...]]:
    """Ask from another thread, and return once the request waits."""
    waiting = len(engine._waiting)
    future = pool.submit(engine.infer, network, images(*values))
    with engine._changed:
        assert engine._changed.wait_for(lambda: len(engine._waiting) > waiting, PATIENCE)
    return future


@contextmanager
def held(max_batch: int) -> Iterator[tuple[Sums, BatchingEngine, ThreadPoolExecutor]]:
    """An engine whose thread is busy with one image of 0, so that everything else must wait."""
    inner = Sums()
    with ThreadPoolExecutor(16) as pool, BatchingEngine(inner, max_batch=max_batch) as engine:
        try:
            first = pool.submit(engine.infer, "a", images(0))
            assert inner.entered.acquire(timeout=PATIENCE)
            yield inner, engine, pool
        finally:
            inner.gate.set()
        assert first.result(PATIENCE)[0].tolist() == [[0]]


def sums(future: Future[tuple[np.ndarray, ...]]) -> list[float]:
    return [float(total) / 12 for total in future.result(PATIENCE)[0][:, 0]]


def test_what_waits_for_one_network_is_run_together() -> None:
    with held(max_batch=8) as (inner, engine, pool):
        futures = [ask(pool, engine, *r) for r in (("a", [1]), ("b", [2]), ("a", [3, 4]))]
        inner.gate.set()
        assert [sums(future) for future in futures] == [[1], [2], [3, 4]]
    assert inner.batches == [("a", [0]), ("a", [1, 3, 4]), ("b", [2])]


def test_the_oldest_goes_first_whatever_is_asked_more() -> None:
    with held(max_batch=8) as (inner, engine, pool):
        futures = [ask(pool, engine, *r) for r in (("b", [1]), ("a", [2]), ("a", [3]))]
        inner.gate.set()
        for future in futures:
            future.result(PATIENCE)
    assert inner.batches[1:] == [("b", [1]), ("a", [2, 3])]


def test_no_batch_is_larger_than_allowed() -> None:
    with held(max_batch=3) as (inner, engine, pool):
        futures = [ask(pool, engine, "a", [i, i]) for i in (1, 2)] + [ask(pool, engine, "a", [3])]
        inner.gate.set()
        assert [sums(future) for future in futures] == [[1, 1], [2, 2], [3]]
    assert inner.batches[1:] == [("a", [1, 1, 3]), ("a", [2, 2])]


def test_a_request_that_is_too_large_is_run_in_parts() -> None:
    inner = Sums(open_gate=True)
    with BatchingEngine(inner, max_batch=2) as engine:
        totals, copies = engine.infer("a", images(1, 2, 3, 4, 5))
    assert (totals[:, 0] / 12).tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(copies, images(1, 2, 3, 4, 5))
    assert inner.batches == [("a", [1, 2]), ("a", [3, 4]), ("a", [5])]


def test_a_failure_goes_to_who_asked_for_it() -> None:
    with held(max_batch=8) as (inner, engine, pool):
        good, bad, fine = (ask(pool, engine, "a", [value]) for value in (1, 255, 2))
        inner.gate.set()
        assert sums(good) == [1]
        assert sums(fine) == [2]
        with pytest.raises(ModelError, match="255 is too much"):
            bad.result(PATIENCE)
        assert engine.infer("a", images(7))[0].tolist() == [[84]]


def test_images_that_do_not_fit_together_do_not_hurt_each_other() -> None:
    with held(max_batch=8) as (inner, engine, pool):
        small = ask(pool, engine, "a", [1])
        large = pool.submit(engine.infer, "a", np.ones((1, 4, 4, 3), np.uint8))
        with engine._changed:
            assert engine._changed.wait_for(lambda: len(engine._waiting) == 2, PATIENCE)
        inner.gate.set()
        assert small.result(PATIENCE)[0].tolist() == [[12]]
        assert large.result(PATIENCE)[0].tolist() == [[48]]


def test_closing_finishes_what_runs_and_refuses_what_waits() -> None:
    inner = Sums()
    with ThreadPoolExecutor(4) as pool:
        engine = BatchingEngine(inner, max_batch=8)
        running = pool.submit(engine.infer, "a", images(1))
        assert inner.entered.acquire(timeout=PATIENCE)
        waiting = ask(pool, engine, "a", [2])
        closing = pool.submit(engine.close)
        with pytest.raises(EngineClosedError):
            waiting.result(PATIENCE)
        assert not running.done()
        inner.gate.set()
        closing.result(PATIENCE)
        assert sums(running) == [1]
    assert not engine._thread.is_alive()
    engine.close()
    with pytest.raises(EngineClosedError, match="the engine is closed"):
        engine.infer("a", images(1))
    assert inner.batches == [("a", [1])]


def test_an_engine_nobody_asked_can_be_closed() -> None:
    with BatchingEngine(Sums()) as engine:
        pass
    assert not engine._thread.is_alive()


def test_batches_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        BatchingEngine(Sums(), max_batch=0)


def test_each_call_is_told_with_the_crops_and_the_time_that_it_took() -> None:
    told: list[tuple[str, int, float]] = []
    clock = ManualClock()

    class Slow(Sums):
        def infer(self, network: str, batch: np.ndarray) -> tuple[np.ndarray, ...]:
            clock.advance(1.5)
            return super().infer(network, batch)

    engine = TimedEngine(Slow(open_gate=True), lambda *call: told.append(call), clock)
    engine.infer("sums", images(1, 2, 3))
    assert told == [("sums", 3, 1.5)]


def test_requests_go_where_the_least_is_to_do() -> None:
    engines = [Sums(), Sums(), Sums()]
    spread = SpreadEngine(engines)
    with ThreadPoolExecutor(8) as pool:
        futures = []
        for values, goes_to in (([1, 1], 0), ([2], 1), ([3], 2), ([4], 1), ([5], 2), ([6], 0)):
            futures.append(pool.submit(spread.infer, "a", images(*values)))
            assert engines[goes_to].entered.acquire(timeout=PATIENCE)
        for engine in engines:
            engine.gate.set()
        assert [sums(future) for future in futures] == [[1, 1], [2], [3], [4], [5], [6]]
    spread.infer("a", images(7))
    assert engines[0].batches[-1] == ("a", [7])


def test_a_request_that_failed_is_no_work_any_more() -> None:
    engines = [Sums(open_gate=True), Sums(open_gate=True)]
    spread = SpreadEngine(engines)
    with pytest.raises(ModelError):
        spread.infer("a", images(255))
    spread.infer("a", images(1))
    assert engines[0].batches == [("a", [255]), ("a", [1])]
    with pytest.raises(ValueError, match="to spread to"):
        SpreadEngine([])


requests = st.lists(
    st.tuples(st.sampled_from("ab"), st.lists(st.integers(0, 254), min_size=1, max_size=5)),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=50)
@given(st.lists(requests, min_size=1, max_size=4), st.integers(1, 6))
def test_everybody_gets_their_own_answers(
    callers: list[list[tuple[str, list[int]]]], max_batch: int
) -> None:
    inner = Sums(open_gate=True)
    with BatchingEngine(inner, max_batch=max_batch) as engine, ThreadPoolExecutor(4) as pool:

        def call(wanted: list[tuple[str, list[int]]]) -> None:
            for network, values in wanted:
                totals, copies = engine.infer(network, images(*values))
                assert (totals[:, 0] / 12).tolist() == values
                np.testing.assert_array_equal(copies, images(*values))

        for done in [pool.submit(call, wanted) for wanted in callers]:
            done.result(PATIENCE)
    assert max(len(batch) for _, batch in inner.batches) <= max_batch
