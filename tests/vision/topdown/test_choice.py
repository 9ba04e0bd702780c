"""Who comes first is decided over a whole clip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from posewatch.vision.topdown import Census, Clip, Order, Rule

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = (1000, 500)
POINTS = 20


def clip(
    count: int,
    *people: tuple[tuple[float, float, float, float], float],
    there: dict[int, range] | None = None,
    score: float = 0.5,
) -> Clip:
    """People with a box in pixels each, and a fifth of their keypoints waving by some pixels."""
    random = np.random.default_rng(0)
    frames = np.full((count, len(people), POINTS, 2), np.nan, np.float32)
    boxes = np.full((count, len(people), 4), np.nan, np.float32)
    scores = np.full((count, len(people)), np.nan, np.float32)
    ids = np.full((count, len(people)), np.nan, np.float32)
    for number, (box, waving) in enumerate(people):
        low, high = np.array(box, np.float64).reshape(2, 2)
        points = random.uniform(low, high, (POINTS, 2))
        for row in (there or {}).get(number, range(count)):
            moved = points.copy()
            moved[: POINTS // 5, 0] += waving * (row % 2)
            frames[row, number] = moved / SIZE
            boxes[row, number] = np.array(box) / np.tile(SIZE, 2)
            scores[row, number] = score + number / 10
            ids[row, number] = number
    return Clip(frames, boxes, scores, ids)


def first(clip: Clip, rule: Rule, step: int = 1000) -> int:
    census = Census(SIZE)
    for at in range(0, len(clip.track_ids), step):
        some = slice(at, at + step)
        census.count(
            Clip(clip.frames[some], clip.boxes[some], clip.box_scores[some], clip.track_ids[some])
        )
    worth = census.worth(rule)
    return max(worth, key=worth.__getitem__)


SMALL_WHO_WAVES = ((100, 100, 200, 300), 40.0)
LARGE = ((600, 50, 950, 450), 0.0)
CENTRAL = ((470, 100, 530, 250), 0.0)


@pytest.mark.parametrize(
    ("rule", "who"),
    [(Rule.LARGEST, 1), (Rule.CENTRAL, 2), (Rule.MOST_MOTION, 0), (Rule.FIRST, 2)],
)
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_each_rule_has_its_own_first(rule: Rule, who: int, step: int) -> None:
    assert first(clip(50, SMALL_WHO_WAVES, LARGE, CENTRAL), rule, step) == who


@pytest.mark.parametrize("rule", [Rule.LARGEST, Rule.CENTRAL, Rule.MOST_MOTION])
def test_who_passes_by_is_not_first_however_large_or_wild(rule: Rule) -> None:
    passing = ((0, 0, 500, 500), 90.0)
    scene = clip(100, SMALL_WHO_WAVES, passing, there={1: range(40, 45)})
    assert first(scene, rule) == 0


def test_who_is_there_first_is_first() -> None:
    scene = clip(50, SMALL_WHO_WAVES, LARGE, there={0: range(10, 50), 1: range(11, 50)})
    assert first(scene, Rule.FIRST) == 0


def test_walking_is_no_motion_of_hands_nor_is_trembling() -> None:
    scene = clip(50, SMALL_WHO_WAVES, LARGE, LARGE)
    walking = np.arange(50)[:, None, None] * np.float32([0.01, 0])
    scene.frames[:, 1] += walking
    scene.frames[:, 2] += np.random.default_rng(1).normal(0, 0.0005, scene.frames[:, 2].shape)
    census = Census(SIZE)
    census.count(scene)
    worth = census.worth(Rule.MOST_MOTION)
    assert worth[1] == worth[2] == (0,)
    # 49 frames in which a fifth of the keypoints move by 40 px of 200
    assert worth[0][0] == pytest.approx(49 / 5 * 40 / 200, rel=1e-3)


def test_keypoints_that_are_not_found_do_not_move() -> None:
    scene = clip(20, SMALL_WHO_WAVES)
    scene.frames[::2, 0, : POINTS // 5] = -1
    census = Census(SIZE)
    census.count(scene)
    assert census.worth(Rule.MOST_MOTION)[0] == (0,)


def arranged(
    ids: list[list[float]], worth: list[float], people: int, step: float
) -> list[list[int]]:
    order = Order({number: (value,) for number, value in enumerate(worth)}, people)
    table: NDArray[np.float32] = np.array(ids, np.float32)
    return order.columns(table, np.arange(len(ids)) * step).tolist()


NOBODY = np.nan


def test_the_best_who_is_there_comes_first_and_is_waited_for() -> None:
    ids = [[1, NOBODY], [1, 0], [1, NOBODY], [1, NOBODY], [1, NOBODY], [1, NOBODY]]
    assert arranged(ids, [9, 5], 1, 0.4) == [[0], [1], [-1], [-1], [0], [0]]


def test_somebody_better_is_not_kept_waiting() -> None:
    assert arranged([[1], [NOBODY], [0]], [9, 5], 1, 0.04) == [[0], [-1], [0]]


def test_everybody_else_stays_where_they_are() -> None:
    ids = [[0, 1, 2], [2, 0, NOBODY], [2, 0, 1], [2, NOBODY, NOBODY]]
    assert arranged(ids, [9, 5, 7], 3, 0.04) == [[0, 2, 1], [1, 0, -1], [1, 0, 2], [-1, 0, -1]]


def test_a_column_is_free_again_after_a_second() -> None:
    ids = [[0, 1, NOBODY], [0, NOBODY, 2], [0, NOBODY, 2], [0, NOBODY, 2]]
    assert arranged(ids, [9, 5, 1], 2, 0.6) == [[0, 1], [0, -1], [0, 2], [0, 2]]


def test_numbers_of_a_broken_file_harm_nobody() -> None:
    scene = clip(5, SMALL_WHO_WAVES, LARGE)
    scene.track_ids[:, 1] = [np.inf, -np.inf, -3, np.nan, 1e30]
    census = Census(SIZE)
    census.count(scene)
    worth = census.worth(Rule.LARGEST)
    assert len(worth) == 2
    columns = Order(worth, 2).columns(scene.track_ids, np.arange(5) / 25)
    assert columns.tolist() == [[0, -1]] * 4 + [[1, 0]]
