from __future__ import annotations

from posewatch.base.clock import ManualClock
from posewatch.base.once import Once


def test_a_thing_is_said_once() -> None:
    once = Once(ManualClock())
    assert [once.due("a"), once.due("b"), once.due("a"), once.due("b")] == [
        True,
        True,
        False,
        False,
    ]


def test_it_is_said_again_after_a_while() -> None:
    clock = ManualClock()
    once = Once(clock, again=60)
    assert once.due("a")
    clock.advance(59)
    assert not once.due("a")
    clock.advance(1)
    assert once.due("a")
    assert not once.due("a")


def test_it_is_said_again_when_it_had_passed() -> None:
    once = Once(ManualClock())
    assert not once.over("full")
    assert once.due("full")
    assert once.over("full")
    assert not once.over("full")
    assert once.due("full")


def test_memory_is_bounded_and_the_oldest_is_forgotten() -> None:
    once = Once(ManualClock(), limit=3)
    assert all(once.due(i) for i in range(1000))
    assert len(once._said) == 3
    assert [once.due(i) for i in (999, 998, 997)] == [False, False, False]
    assert once.due(996)


def test_what_was_said_lately_is_remembered_longest() -> None:
    clock = ManualClock()
    once = Once(clock, again=60, limit=2)
    assert once.due("a")
    assert once.due("b")
    clock.advance(60)
    assert once.due("a")
    assert once.due("c")  # "b" was said longest ago
    assert not once.due("a")
