from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from posewatch.vision.holistic.heatmaps import refined

COLD = -30.0


def heat(*hot: tuple[int, int, float], count: int = 1) -> np.ndarray:
    """A map of 64 by 64 cells for each point; (column, row, logit) are hot in the first."""
    maps = np.full((64, 64, count), COLD, np.float32)
    for column, row, logit in hot:
        maps[row, column, 0] = logit
    return maps


def move(x: float, y: float, maps: np.ndarray) -> list[float]:
    """Where a point goes; in cells."""
    return (refined(np.array([[x, y]]) / 64, maps)[0] * 64).tolist()


def test_a_point_goes_to_the_heat_nearby() -> None:
    np.testing.assert_allclose(move(20.5, 30.5, heat((22, 29, 5.0))), [22, 29], atol=1e-6)


def test_it_goes_to_the_middle_of_two() -> None:
    np.testing.assert_allclose(
        move(20.5, 30.5, heat((19, 30, 5.0), (22, 30, 5.0))), [20.5, 30], atol=1e-6
    )


def test_the_warmer_counts_more() -> None:
    hot, warm = 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(1))
    x, _ = move(20.5, 30.5, heat((20, 30, 2.0), (23, 30, -1.0)))
    np.testing.assert_allclose(x, (20 * hot + 23 * warm) / (hot + warm), rtol=1e-6)


def test_it_sees_four_cells_far() -> None:
    assert move(20.5, 30.5, heat((24, 26, 5.0))) != [20.5, 30.5]
    assert move(20.5, 30.5, heat((25, 30, 5.0))) == [20.5, 30.5]
    assert move(20.5, 30.5, heat((20, 35, 5.0))) == [20.5, 30.5]


def test_what_is_not_sure_moves_nothing() -> None:
    assert move(20.5, 30.5, heat((22, 30, -0.01))) == [20.5, 30.5]
    assert move(20.5, 30.5, heat((22, 30, 0.0))) != [20.5, 30.5]


def test_at_the_edge_there_is_nothing_beyond() -> None:
    np.testing.assert_allclose(move(0.5, 63.5, heat((0, 63, 5.0))), [0, 63], atol=1e-6)
    np.testing.assert_allclose(move(1.5, 1.5, heat((0, 0, 5.0), (2, 4, 5.0))), [1, 2], atol=1e-6)


outside = st.one_of(st.floats(-200, -1e-9), st.floats(64, 200))
anywhere = st.floats(-200, 200)


@given(st.one_of(st.tuples(outside, anywhere), st.tuples(anywhere, outside)))
def test_a_point_outside_of_the_map_stays(point: tuple[float, float]) -> None:
    warm = np.full((64, 64, 1), 5.0, np.float32)
    before = np.array([point]) / 64
    np.testing.assert_array_equal(refined(before, warm), before)


def test_each_point_has_its_own_map_and_further_maps_are_ignored() -> None:
    maps = heat((22, 30, 5.0), count=3)
    points = np.array([[20.5, 30.5], [20.5, 30.5]]) / 64
    first, second = refined(points, maps) * 64
    np.testing.assert_allclose(first, [22, 30], atol=1e-6)
    np.testing.assert_allclose(second, [20.5, 30.5])
