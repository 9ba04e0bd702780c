"""The detector looks now and then; in between, the box goes where the keypoints go."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from bodies import FPS, NAMES, SIZE, Bodies, frame, plans, process
from posewatch.vision.topdown import TopDown
from posewatch.vision.topdown.looks import Sight, due
from posewatch.vision.topdown.tracking import Doubt, Follower


@pytest.mark.parametrize(("every", "looks"), [(10, [0, 10, 20, 30]), (None, [0])])
def test_a_body_that_moves_is_followed_with_few_looks(every: int | None, looks: list[int]) -> None:
    frames = [frame((0, 40 + 4 * number)) for number in range(40)]
    always, shown = process(frames, every=1)
    assert shown == {"detector": 40, "pose": 40}
    followed, shown = process(frames, every)
    assert shown == {"detector": len(looks), "pose": 40}
    apart = np.abs(followed.frames - always.frames) * SIZE
    assert apart.max() <= 1.5, "a pixel of the crop is 1.2 px"
    boxes = np.abs(followed.boxes - always.boxes) * np.tile(SIZE, 2)
    assert boxes.max() <= 4 + 2.5, "the box is that of the frame before"
    looked = np.isfinite(followed.box_scores[:, 0])
    assert np.flatnonzero(looked).tolist() == looks
    np.testing.assert_allclose(followed.boxes[looked], always.boxes[looked])
    assert (followed.track_ids == 0).all()


@pytest.mark.parametrize("every", [4, None])
@pytest.mark.parametrize("step", [1, 3, 7])
def test_how_a_video_is_cut_makes_no_difference(step: int, every: int | None) -> None:
    frames = [
        frame((0, 40 + 6 * number), (1, 240 - 3 * number)) if number % 11 else frame()
        for number in range(30)
    ]
    whole = process(frames, every, people=2)[0]
    cut = process(frames, every, people=2, step=step)[0]
    for name in NAMES:
        np.testing.assert_array_equal(getattr(whole, name), getattr(cut, name))


@pytest.mark.parametrize("every", [100, None])
def test_who_jumps_away_is_found_in_the_same_frame(every: int | None) -> None:
    frames = [frame((0, 20))] * 3 + [frame((0, 240))] * 3
    found, shown = process(frames, every)
    assert np.isfinite(found.frames).all()
    looked_in_vain = every is not None  # for auto, so much change is a cut
    assert shown == {"detector": 2, "pose": 6 + looked_in_vain}
    assert (found.boxes[3:, 0, 0] * SIZE[0]).tolist() == pytest.approx([236] * 3, abs=2)
    assert (found.track_ids == 0).all(), "who is alone, as before, is the same one"


@pytest.mark.parametrize("every", [100, None])
def test_who_vanishes_for_a_moment_is_looked_for_in_every_frame(every: int | None) -> None:
    frames = [frame((0, 20))] * 2 + [frame()] * 5 + [frame((0, 20))] * 3
    found, shown = process(frames, every)
    looked = np.isfinite(found.box_scores[:, 0]).tolist()
    assert looked == [True, *[False] * 6, True, False, False]
    gone = np.isnan(found.frames).all(axis=(1, 2, 3)).tolist()
    assert gone == [False] * 2 + [True] * 5 + [False] * 3
    assert shown["detector"] == 1 + 5 + 1


def test_where_nobody_is_the_detector_waits_for_its_turn() -> None:
    found, shown = process([frame()] * 25 + [frame((0, 20))] * 15, every=10)
    assert shown["detector"] == 4
    there = np.isfinite(found.frames).all(axis=(1, 2, 3))
    assert there.tolist() == [False] * 30 + [True] * 10, "up to nine frames of an entry are missed"


def test_after_a_second_the_detector_waits_for_its_turn_again() -> None:
    _, shown = process([frame((0, 20))] + [frame()] * 60, every=50)
    assert shown["detector"] == 1 + 25 + 1


class TestAuto:
    def test_who_stays_is_looked_for_every_four_seconds(self) -> None:
        _, shown = process([frame((0, 100 + number % 3)) for number in range(250)], None)
        assert shown == {"detector": 3, "pose": 250}

    def test_who_comes_is_found_at_once_where_nothing_stirred_before(self) -> None:
        found, shown = process([frame()] * 60 + [frame((0, 100))] * 10, None)
        there = np.isfinite(found.frames).all(axis=(1, 2, 3))
        assert there.tolist() == [False] * 60 + [True] * 10
        assert shown["detector"] == 3 + 1, "once a second, and when the picture changes"

    def test_who_enters_slowly_is_found_within_five_frames(self) -> None:
        frames = [frame()] * 30 + [frame((0, -40 + 2 * number)) for number in range(60)]
        always, found = (np.isfinite(process(frames, e)[0].boxes[:, 0, 0]) for e in (1, None))
        assert 0 <= found.argmax() - always.argmax() < 5
        assert found[found.argmax() :].all()

    def test_who_comes_nearer_gets_a_box_that_fits(self) -> None:
        frames = [frame((0, 100, 20, 1 + number / 50)) for number in range(50)]
        always, (found, shown) = process(frames, 1)[0], process(frames, None)
        assert shown["detector"] <= 6
        apart = np.abs(found.boxes - always.boxes) * np.tile(SIZE, 2)
        assert apart.max() <= 0.3 * 140, "a quarter of a body, and one frame"

    @pytest.mark.parametrize(("distance", "share"), [(100, 0.24), (400, 0.105)])
    def test_the_nearer_people_come_the_more_often_the_detector_looks(
        self, distance: int, share: float
    ) -> None:
        count = distance // 2
        frames = [frame((0, 20), (1, 20 + distance - 2 * number)) for number in range(count)]
        _, shown = process(frames, None, people=2)
        assert shown["detector"] / count == pytest.approx(share, rel=0.2)

    def test_who_is_hidden_beside_another_one_is_the_same_when_back(self) -> None:
        both = frame((0, 20), (1, 200))
        found, _ = process([both] * 10 + [frame((0, 20))] * 15 + [both] * 10, None, people=2)
        assert found.track_ids[9:26, 1].tolist() == pytest.approx(
            [1, *[math.nan] * 15, 1], nan_ok=True
        )

    def test_a_cut_is_looked_at(self) -> None:
        """To a body of about the same size at about the same place, on another ground."""
        other = frame((0, 110, 40, 1.1))
        other[other[..., 0] == 0] = 60
        _, shown = process([frame((0, 100))] * 10 + [other] * 10, None)
        assert shown == {"detector": 2, "pose": 20}

    def test_further_people_are_looked_for_once_a_second(self) -> None:
        frames = [frame((0, 20))] * 30 + [frame((0, 20), (1, 200))] * 30
        found, shown = process(frames, None, people=2)
        assert shown["detector"] == 1 + 2
        assert np.isfinite(found.boxes[:, 1, 0]).argmax() <= 30 + FPS

    @pytest.mark.parametrize(
        ("seen", "looks"),
        [
            ({}, False),
            ({"since": 4.0}, True),
            ({"since": 1.0, "full": False}, True),
            ({"since": 0.5, "crowded": 0.4}, True),
            ({"since": 0.3, "crowded": 0.4}, False),
            ({"change": 200.0, "jump": 20.0}, False),
            ({"lost": 0.5, "full": False}, True),
            ({"jump": 30.0}, True),
            ({"followed": 0, "lost": 0.5}, True),
            ({"followed": 0, "lost": 5.0}, False),
            ({"followed": 0, "lost": 5.0, "since": 1.0}, True),
            ({"followed": 0, "lost": 5.0, "since": 0.2, "change": 13.0}, True),
            ({"followed": 0, "lost": 5.0, "since": 0.1, "change": 13.0}, False),
            ({"followed": 0, "lost": math.inf, "since": math.inf}, True),
        ],
    )
    def test_when_the_detector_looks(self, seen: dict[str, float], looks: bool) -> None:  # noqa: FBT001 -- a table
        calm = Sight(
            since=0.1, lost=math.inf, followed=1, full=True, crowded=math.inf, change=0.0, jump=0.0
        )
        assert due(replace(calm, **seen)) is looks


@pytest.mark.parametrize("every", [50, None])
def test_time_that_steps_back_stops_nothing(every: int | None) -> None:
    """As in recordings that were joined: the other half has other people in other places."""
    track = TopDown(Bodies(), *plans(), every=every).start(*SIZE)
    frames = np.stack([frame((0, 20))] * 40 + [frame((1, 220))] * 40)
    times = np.tile(np.arange(40) / FPS, 2)
    boxes = track.process(frames, times).boxes[:, 0, 0] * SIZE[0]
    np.testing.assert_allclose(boxes, np.repeat([16, 216], 40), atol=1)


class TestFollower:
    POINTS = np.array([[10.0, 20.0], [30.0, 80.0], [20.0, 50.0], [15.0, 30.0], [500.0, 500.0]])
    SCORES = np.array([0.9, 0.8, 0.7, 0.7, 0.1], np.float32)
    MIDDLE = np.median(POINTS, axis=0)
    BOX = np.array([5, 10, 40, 90, 0.9], np.float32)

    def follower(self) -> Follower:
        follower = Follower(0.3)
        assert follower.expected is None
        follower.begin(self.BOX, self.POINTS, self.SCORES)
        return follower

    def test_the_box_goes_with_the_keypoints_and_a_little_ahead(self) -> None:
        follower = self.follower()
        way = np.array([8, -4])
        assert follower.follow(self.POINTS + way, self.SCORES) is None
        assert follower.expected is not None
        np.testing.assert_allclose(follower.expected[:4], self.BOX[:4] + np.tile(way * 1.25, 2))
        assert np.isnan(follower.expected[4])

    def test_a_hand_that_moves_alone_makes_the_box_larger_and_does_not_move_it(self) -> None:
        follower = self.follower()
        points = self.POINTS.copy()
        points[1] = 60, 85
        assert follower.follow(points, self.SCORES) is None
        assert follower.expected is not None
        assert follower.expected[:4].tolist() == [5, 10, 60, 90]
        assert follower.follow(self.POINTS, self.SCORES) is None
        assert follower.expected[:4].tolist() == [5, 10, 40, 90]

    @pytest.mark.parametrize(
        ("points", "scores", "doubt"),
        [
            (POINTS, [0.9, 0.8, 0.7, 0.1, 0.1], None),
            (POINTS, [0.9, 0.8, 0.1, 0.1, 0.1], Doubt.LOST),
            (POINTS + np.array([20, 0]), SCORES, Doubt.JUMP),
            (MIDDLE + (POINTS - MIDDLE) * 1.5, SCORES, None),
            (MIDDLE + (POINTS - MIDDLE) * 2, SCORES, Doubt.ZOOM),
        ],
    )
    def test_doubts(
        self, points: np.ndarray, scores: np.ndarray | list[float], doubt: Doubt | None
    ) -> None:
        assert self.follower().follow(points, np.asarray(scores, np.float32)) is doubt

    def test_who_grows_is_doubted_when_it_lasts(self) -> None:
        follower = self.follower()
        larger = self.MIDDLE + (self.POINTS - self.MIDDLE) * 1.25
        doubts = [follower.follow(larger, self.SCORES) for _ in range(5)]
        assert doubts == [None] * 4 + [Doubt.ZOOM], "1.25 - 0.25 * 0.8**5 is above 1.15"
        follower.begin(self.BOX, larger, self.SCORES)
        assert follower.follow(larger, self.SCORES) is None

    def test_nobody_is_followed_without_keypoints(self) -> None:
        follower = Follower(0.3)
        follower.begin(self.BOX, self.POINTS, self.SCORES * 0)
        assert follower.expected is None
