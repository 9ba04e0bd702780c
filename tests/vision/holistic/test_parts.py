"""Hands and faces follow the last frame, and only the last frame."""

from __future__ import annotations

import numpy as np
import pytest

from posewatch.vision.holistic import hands, poses
from posewatch.vision.holistic.parts import Follower, find_apart, follow
from posewatch.vision.holistic.regions import Region, TrackingLimits

SUGGESTED = Region(50, 50, 100, 0.0)
TRACKED = Region(52, 50, 100, 0.0)
LIMITS = TrackingLimits(angle=1.0, shift=0.2, scale=0.4, margin=0.0)
HAND = np.full((2, 3), 50.0)
IMAGES = [np.zeros((4, 4, 3), np.uint8)] * 4


class Finder:
    """Finds HAND or, for each minus sign, nothing; notes where it looked."""

    def __init__(self, found: str) -> None:
        self.looked: list[Region] = []
        self._found = iter(found)

    def __call__(self, places: list[tuple[np.ndarray, Region]]) -> list[np.ndarray | None]:
        self.looked += [region for _, region in places]
        return [HAND if next(self._found) == "+" else None for _ in places]


def follower() -> Follower:
    return Follower(2, lambda _landmarks: TRACKED, LIMITS)


def test_the_last_frame_s_region_is_used_until_nothing_is_found_there() -> None:
    finder = Finder("++-+")
    out = follow(IMAGES, [follower()], [[SUGGESTED]] * 4, finder)
    assert finder.looked == [SUGGESTED, TRACKED, TRACKED, SUGGESTED]
    assert np.isnan(out).all(axis=(1, 2, 3)).tolist() == [False, False, True, False]


def test_a_frame_in_which_it_is_not_looked_for_ends_it() -> None:
    finder = Finder("+++")
    out = follow(IMAGES, [follower()], [[SUGGESTED], [None], [SUGGESTED], [SUGGESTED]], finder)
    assert finder.looked == [SUGGESTED, SUGGESTED, TRACKED]
    assert np.isnan(out).all(axis=(1, 2, 3)).tolist() == [False, True, False, False]


def test_parts_are_followed_apart() -> None:
    finder = Finder("+-++")
    out = follow(IMAGES[:2], [follower(), follower()], [[SUGGESTED] * 2] * 2, finder)
    assert finder.looked == [SUGGESTED, SUGGESTED, TRACKED, SUGGESTED]
    assert np.isnan(out).all(axis=(2, 3)).tolist() == [[False, True], [False, False]]


def test_apart_nothing_is_remembered() -> None:
    finder = Finder("++-")
    out = find_apart(IMAGES[:3], [follower()], [[SUGGESTED]] * 3, finder)
    assert finder.looked == [SUGGESTED] * 3
    assert np.isnan(out).all(axis=(1, 2, 3)).tolist() == [False, False, True]


@pytest.mark.parametrize("side", [hands.RIGHT, hands.LEFT])
def test_a_hand_is_looked_for_only_where_its_wrist_is_to_be_seen(side: tuple[int, ...]) -> None:
    landmarks = np.random.default_rng(1).random((poses.COUNT, 3))
    for seen, looked in ((0.1, False), (0.11, True)):
        visibility = np.full(poses.COUNT, 0.0)
        visibility[side[0]] = seen
        pose = poses.Pose(landmarks, visibility, landmarks[:2])
        assert (hands.suggest(pose, side) is not None) is looked
