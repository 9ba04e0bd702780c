"""Which boxes are people, and which of them is followed."""

from __future__ import annotations

import numpy as np
import pytest

from posewatch.vision.topdown.people import Rule, suppress
from posewatch.vision.topdown.tracks import Tracks


def people(*lefts: float, width: float = 40.0) -> np.ndarray:
    """Boxes of one size side by side, all sure."""
    return np.array([[left, 0, left + width, 100, 0.9] for left in lefts], np.float32)


def follow(*frames: np.ndarray, step: float = 0.04, rule: Rule = Rule.LARGEST) -> list[int | None]:
    tracks = Tracks(rule, width=400, slots=1)
    return [tracks.see(found, step * number).get(0) for number, found in enumerate(frames)]


def test_of_boxes_that_overlap_the_best_stays() -> None:
    found = np.array(
        [
            [0, 0, 100, 100, 0.9],
            [5, 5, 105, 105, 0.8],  # of the same person
            [200, 0, 300, 100, 0.7],
            [60, 0, 160, 100, 0.6],  # overlaps a quarter of each
            [0, 0, 1, 1, 0.3],  # not above
        ],
        np.float32,
    )
    np.testing.assert_array_equal(suppress(found, 0.3, 0.45), found[[0, 2, 3]])
    assert suppress(found[:0], 0.3, 0.45).shape == (0, 5)
    assert suppress(found[4:], 0.3, 0.45).shape == (0, 5)


def test_the_last_pixel_of_a_box_counts() -> None:
    """9 px wide and 5 px apart: 5 of 15 columns are common when it does, 4 of 14 otherwise."""
    found = np.array([[0, 0, 9, 9, 0.9], [5, 0, 14, 9, 0.8]], np.float32)
    assert len(suppress(found, 0.3, 0.32)) == 1
    assert len(suppress(found, 0.3, 0.34)) == 2


def test_the_largest_is_followed_whatever_the_scores() -> None:
    both = np.concatenate([people(0), people(100, width=60)])
    both[0, 4] = 0.99
    assert follow(both, both[::-1]) == [1, 0]


@pytest.mark.parametrize(
    ("rule", "chosen"), [(Rule.LARGEST, 2), (Rule.CENTRAL, 1), (Rule.FIRST, 0)]
)
def test_the_rule_chooses_at_first_and_nobody_else_later(rule: Rule, chosen: int) -> None:
    three = np.array(
        [[0, 0, 40, 100, 0.9], [180, 0, 220, 100, 0.8], [300, 0, 390, 100, 0.7]], np.float32
    )
    assert follow(three, rule=rule) == [chosen]
    later = three.copy()
    later[:, 4] = 0.5, 0.6, 0.9
    assert follow(three[:1], later, rule=rule) == [0, 0]


def test_the_same_person_is_followed_through_a_crowd() -> None:
    assert follow(people(0), people(100, 10), people(20, 110, 60), people(120, 30)) == [0, 1, 0, 1]


def test_somebody_larger_who_comes_is_not_followed() -> None:
    larger = np.concatenate([people(200, width=200), people(5)])
    assert follow(people(0), larger, larger) == [0, 1, 1]


def test_who_is_not_seen_for_a_moment_is_waited_for() -> None:
    both = people(0, 200)
    assert follow(both, people(200), people(0)[:0], people(200), both) == [0, None, None, None, 0]


@pytest.mark.parametrize(("step", "found"), [(0.2, None), (0.6, 0)])
def test_after_a_second_the_largest_is_followed(step: float, found: int | None) -> None:
    assert follow(people(0, 200), people(200), people(200), step=step)[-1] == found


def test_who_is_alone_may_jump() -> None:
    assert follow(people(0), people(300), people(0)) == [0, 0, 0]


def test_boxes_without_an_area_harm_nobody() -> None:
    nothing = np.array([[5, 5, 5, 5, 0.9]], np.float32)
    assert follow(nothing, nothing, np.concatenate([nothing, people(0)])) == [0, 0, None]
