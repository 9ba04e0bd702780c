from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewatch.base.backoff import Backoff, Retries


def test_the_ceiling_doubles_up_to_the_limit() -> None:
    backoff = Backoff(first=0.5, limit=10)
    assert [backoff.ceiling(n) for n in range(1, 8)] == [0.5, 1, 2, 4, 8, 10, 10]


@given(failures=st.integers(1, 10**9), seed=st.integers())
def test_any_wait_lies_between_nothing_and_the_ceiling(failures: int, seed: int) -> None:
    backoff = Backoff(first=0.1, limit=60)
    assert 0 <= backoff.delay(failures, Random(seed)) <= backoff.ceiling(failures) <= 60


def test_waits_are_spread_over_the_whole_range() -> None:
    random = Random(1)
    waits = [Backoff(first=1, limit=8).delay(4, random) for _ in range(2000)]
    counts = [sum(i <= wait < i + 1 for wait in waits) for i in range(8)]
    assert min(counts) > 200  # 250 each, were they perfectly even


def test_success_begins_again_with_the_short_waits() -> None:
    retries = Retries(Backoff(first=1, limit=1000), Random(3))
    for _ in range(8):
        retries.failed()
    assert retries.failures == 8
    retries.succeeded()
    assert retries.failures == 0
    assert retries.failed() <= 1


@pytest.mark.parametrize(("first", "limit", "factor"), [(0, 1, 2), (2, 1, 2), (1, 2, 0.5)])
def test_settings_that_make_no_sense_are_refused(first: float, limit: float, factor: float) -> None:
    with pytest.raises(ValueError, match="do not hold"):
        Backoff(first, limit, factor)


def test_there_is_no_wait_before_the_first_try() -> None:
    with pytest.raises(ValueError, match="nothing to wait for"):
        Backoff().delay(0, Random(1))
