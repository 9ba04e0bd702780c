"""Plays that broke a rule, or break one that is left out on purpose; found by `test_model`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from claims.test_model import BucketModel, Model, PosixModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def a_beat_did_not_see_a_newer_attempt(_root: Path) -> None:
    state = PosixModel()
    state.begin(again=False)
    state.go_on(count=16, number=0)
    state.take_over(asleep=True, number=1, place=0, times=2)
    state.finish(number=0)
    state.teardown()


def an_input_was_replaced_before_its_receipt(_root: Path) -> None:
    state = Model()
    state.begin(again=False)
    state.watch(alive=set(), number=0, place=3)
    state.change(what="input")
    state.teardown()


def a_lock_was_removed_after_a_pause(_root: Path) -> None:
    state = Model()
    state.begin(again=False)
    state.wait(asleep=False, share=0.1)
    state.watch(alive=set(), number=2, place=1)
    state.watch(alive=set(), number=1, place=0)
    state.watch(alive=set(), number=2, place=1)
    state.watch(alive=set(), number=1, place=0)
    state.teardown()


def the_lock_of_the_living_was_swept(_root: Path) -> None:
    state = Model()
    state.begin(again=False)
    state.take_over(asleep=False, number=1, place=0, times=1)
    state.go_to(number=0, place=1, times=1)
    state.teardown()


def a_copy_was_there_already(_root: Path) -> None:
    """Of a version that had been replaced, worked on and published meanwhile."""
    state = BucketModel()
    state.begin(again=False)
    state.finish(number=0)
    state.go_on(count=2, number=0)
    state.change(what="input")
    state.teardown()


@pytest.mark.parametrize("kind", [Model, PosixModel, BucketModel])
def test_who_stands_between_judging_a_lock_and_the_next_one_gives_way(kind: type[Model]) -> None:
    """The lock that it judged was swept, and another one made; see "What is not promised"."""
    state = kind()
    state.begin(again=False)
    state.go_to(number=0, place=0, times=1)
    state.watch(alive=set(), number=1, place=0)
    state.take_over(asleep=False, number=0, place=0, times=1)
    state.settle()
    state.finish(number=1)
    state.finish(number=0)
    state.teardown()


def test_a_lock_that_a_late_request_brings_back_is_held_by_nobody() -> None:
    state = BucketModel()
    state.begin(again=False)
    state.settle()
    state.change(what="input")
    state.repeat(place=0)
    state.take_over(asleep=False, number=0, place=0, times=1)
    state.repeat(place=1)
    state.go_on(count=1, number=0)
    state.teardown()


@pytest.mark.parametrize(
    "play",
    [
        a_beat_did_not_see_a_newer_attempt,
        an_input_was_replaced_before_its_receipt,
        a_lock_was_removed_after_a_pause,
        the_lock_of_the_living_was_swept,
        a_copy_was_there_already,
    ],
)
def test_play(play: Callable[[Path], None], tmp_path: Path) -> None:
    play(tmp_path)
