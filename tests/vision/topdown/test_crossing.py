"""Who is who where people pass, hide and come back."""

from __future__ import annotations

from itertools import pairwise, permutations
from typing import TYPE_CHECKING

import numpy as np
import pytest

from bodies import FPS, GREYS, SIZE, Bodies, frame, plans, process
from posewatch.vision.topdown import TopDown
from posewatch.vision.topdown.people import Rule, overlaps
from posewatch.vision.topdown.tracks import Tracks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from posewatch.vision.topdown import TopDownResult


def shown(result: TopDownResult, frames: list[NDArray[np.uint8]]) -> list[list[int | None]]:
    """The true person under the middle keypoints of each slot, in each frame."""
    rows: list[list[int | None]] = []
    for picture, people in zip(frames, result.frames, strict=True):
        row: list[int | None] = []
        for points in people:
            if np.isnan(points).any():
                row.append(None)
                continue
            x, y = (np.median(points, axis=0) * SIZE).astype(int)
            row.append(GREYS.index(picture[y, x, 0]) if picture[y, x, 0] in GREYS else None)
        rows.append(row)
    return rows


def crossing(speed: float, *, behind: int, gap: float = 0) -> list[NDArray[np.uint8]]:
    """0 walks to the right and 1 to the left; one passes behind the other."""
    count = int(240 / speed)
    frames = []
    for number in range(count):
        people = [(0, 20 + speed * number), (1, 260 - speed * number, 60 + gap)]
        frames.append(frame(*(people if behind == 0 else people[::-1])))
    return frames


@pytest.mark.parametrize("every", [1, 3, None])
@pytest.mark.parametrize("behind", [0, 1])
@pytest.mark.parametrize("speed", [2, 4, 8])
def test_two_who_cross_are_not_swapped(every: int | None, behind: int, speed: int) -> None:
    frames = crossing(speed, behind=behind)
    result, _ = process(frames, every, people=2)
    people = shown(result, frames)
    first = people[0]
    assert set(first) == {0, 1}
    for slot, who in enumerate(first):
        ids = result.track_ids[:, slot]
        assert np.unique(ids[np.isfinite(ids)]).size == 1
        seen = [row[slot] for row in people]
        apart = [*range(len(seen) // 3), *range(2 * len(seen) // 3, len(seen))]
        assert {seen[index] for index in apart} == {who}, "before and after, it is the same one"
        hidden = sum(person is None for person in seen)
        assert hidden <= 2 * 40 / (2 * speed) if who == behind else hidden == 0


@pytest.mark.parametrize("every", [1, None])
@pytest.mark.parametrize("behind", [0, 1])
def test_the_one_who_is_followed_alone_is_not_taken_over_by_who_passes(
    every: int | None, behind: int
) -> None:
    frames = crossing(4, behind=behind)
    result, _ = process(frames, every)
    seen = [row[0] for row in shown(result, frames)]
    assert {seen[0], seen[-1]} == {seen[0]}
    assert {*seen[: len(seen) // 3], *seen[-len(seen) // 3 :]} == {seen[0]}


@pytest.mark.parametrize(("seconds", "numbers"), [(0.6, {0}), (1.6, {0, 2})])
def test_numbers_survive_being_hidden_for_a_short_time(seconds: float, numbers: set[int]) -> None:
    """A body walks behind a pillar while another one stands aside."""
    hidden = int(seconds * FPS)
    frames = [frame((0, 20 + 2 * n), (1, 270)) for n in range(20)]
    frames += [frame((1, 270))] * hidden
    frames += [frame((0, 60 + 2 * (hidden + n)), (1, 270)) for n in range(20)]
    result, _ = process(frames, 1, people=2)
    ids = result.track_ids
    assert set(ids[np.isfinite(ids) & (ids != 1)].tolist()) == numbers
    assert np.isfinite(ids[-1]).all()


@pytest.mark.parametrize("every", [1, 2])
def test_who_was_followed_is_expected_where_and_as_fast_as_keypoints_went(every: int) -> None:
    """Ten frames a second, of which somebody quick spends eight behind a pillar."""
    frames = [frame((0, 14 * n, 5), (1, 140, 130)) for n in range(8)]
    frames += [frame((1, 140, 130))] * 8
    frames += [frame((0, 14 * n, 5), (1, 140, 130)) for n in range(16, 20)]
    track = TopDown(Bodies(), *plans(), every=every).start(*SIZE)
    ids = track.process(np.stack(frames), np.arange(20) / 10).track_ids[:, 0]
    np.testing.assert_array_equal(ids, [0] * 8 + [np.nan] * 8 + [0] * 4)


def test_a_second_box_of_the_same_person_is_nobody_when_it_is_gone() -> None:
    """A crowd's detector sees one of two twice, for once; then who is there stands between."""
    tracks = Tracks(Rule.LARGEST, 1000, 1)
    one, twice, other = [100, 50, 140, 150, 0.9], [122, 50, 160, 150, 0.5], [400, 50, 430, 150, 0.8]
    assert tracks.see(np.float32([one, other]), 0.0) == {0: 0}
    assert tracks.see(np.float32([one, twice, other]), 0.2) == {0: 0}
    between = [114, 50, 154, 150, 0.9]
    assert overlaps(np.float32([between]), np.float32([one, twice])).argmax() == 1
    assert tracks.see(np.float32([between, other]), 0.4) == {0: 0}
    assert tracks.number(0) == 0


def test_best_pairs_first_is_nearly_always_the_best_assignment() -> None:
    """Greedy against all permutations, for 2 to 5 people who move at random in a crowd."""
    rng = np.random.default_rng(0)
    same = total = 0
    for _ in range(400):
        count = int(rng.integers(2, 6))
        lefts = rng.uniform(0, 60 * count, (count, 2))
        before = np.hstack([lefts, lefts + np.array([40, 100]), np.full((count, 1), 0.9)]).astype(
            np.float32
        )
        after = before + np.tile(rng.normal(0, 6, (count, 2)), (1, 3))[:, :5].astype(np.float32)
        after[:, 4] = 0.9
        tracks = Tracks(Rule.FIRST, 1000, count)
        start = tracks.see(before, 0.0)
        common = overlaps(before, after)
        best = max(
            permutations(range(count)), key=lambda p: sum(common[i, j] for i, j in enumerate(p))
        )
        if min(common[i, j] for i, j in enumerate(best)) < 0.3:
            continue
        found = tracks.see(after, 1 / FPS)
        total += 1
        same += found == {slot: best[index] for slot, index in start.items()}
    assert total > 200
    assert same / total > 0.97


def test_boxes_overlap_by_what_they_have_in_common() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 0, 30, 10], [3, 3, 3, 3]], np.float32)
    np.testing.assert_allclose(
        overlaps(boxes, boxes),
        [[1, 1 / 3, 0, 0], [1 / 3, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]],
        atol=1e-6,
    )


def test_slots_go_to_others_when_somebody_is_forgotten() -> None:
    three = np.array(
        [[0, 0, 60, 100, 0.9], [100, 0, 140, 100, 0.8], [200, 0, 250, 100, 0.7]], np.float32
    )
    tracks = Tracks(Rule.LARGEST, 400, 2)
    assert tracks.see(three, 0.0) == {0: 0, 1: 2}
    assert [tracks.number(slot) for slot in (0, 1)] == [0, 2]
    assert tracks.see(three[1:], 0.5) == {1: 1}, "the first one is waited for"
    assert tracks.see(three[1:], 1.6) == {0: 0, 1: 1}
    assert [tracks.number(slot) for slot in (0, 1)] == [1, 2]


def test_people_far_apart_are_not_crowded() -> None:
    tracks = Tracks(Rule.LARGEST, 4000, 1)
    alone = np.array([[0, 0, 40, 100, 0.9]], np.float32)
    tracks.see(alone, 0.0)
    assert tracks.crowded(0.0) == np.inf
    soon = []
    for left in (3000, 400, 80, 30):
        tracks = Tracks(Rule.LARGEST, 4000, 1)
        tracks.see(np.vstack([alone, alone + np.float32([left, 0, left, 0, 0])]), 0.0)
        soon.append(tracks.crowded(0.0))
    assert all(later > sooner for later, sooner in pairwise(soon))
    assert soon[-1] == pytest.approx(0.5)
