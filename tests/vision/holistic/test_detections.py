from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewatch.vision.holistic.detections import anchors, best_keypoints

SIZE = 100
CENTRES = np.array([[0.1, 0.1], [0.5, 0.5], [0.52, 0.5], [0.9, 0.9]])


def boxes(*rows: tuple[float, ...]) -> np.ndarray:
    """x, y, width, height and one key point, px from the anchor."""
    return np.array(rows, np.float32)


SAME = (0.0, 0.0, 20.0, 20.0, 0.0, 0.0)


def logits(*scores: float) -> np.ndarray:
    return np.array(scores, np.float32)[:, None]


@pytest.mark.parametrize(
    ("size", "strides", "count"),
    [(224, (8, 16, 32, 32, 32), 2254), (128, (8, 16, 16, 16), 896)],
)
def test_as_many_anchors_as_the_networks_have(
    size: int, strides: tuple[int, ...], count: int
) -> None:
    assert anchors(size, strides).shape == (count, 2)


def test_anchors_go_along_rows_and_layers_of_one_stride_share_cells() -> None:
    grid = anchors(32, (8, 16, 16)) * 32
    np.testing.assert_allclose(grid[:6], [[4, 4], [4, 4], [12, 4], [12, 4], [20, 4], [20, 4]])
    np.testing.assert_allclose(grid[8:10], [[4, 12], [4, 12]])
    np.testing.assert_allclose(grid[32:36], [[8, 8]] * 4)
    assert len(grid) == 32 + 4 * 4


def test_nobody() -> None:
    assert (
        best_keypoints(boxes(SAME, SAME, SAME, SAME), logits(-1, -9, -0.01, -50), CENTRES, SIZE)
        is None
    )


def test_a_score_of_one_half_is_enough() -> None:
    found = best_keypoints(boxes(SAME, SAME, SAME, SAME), logits(-1, 0, -1, -1), CENTRES, SIZE)
    np.testing.assert_allclose(found, [[0.5, 0.5]])


def test_key_points_are_counted_from_the_anchor() -> None:
    rows = boxes(SAME, SAME, SAME, (3, 3, 20, 20, 7, -2))
    found = best_keypoints(rows, logits(-1, -1, -1, 3), CENTRES, SIZE)
    np.testing.assert_allclose(found, [[0.97, 0.88]], rtol=1e-6)


def test_overlapping_boxes_are_averaged_by_score_and_others_left_out() -> None:
    rows = boxes(SAME, SAME, SAME, SAME)
    found = best_keypoints(rows, logits(1, 4, 2, 3), CENTRES, SIZE)
    best, second = 1 / (1 + np.exp(-4)), 1 / (1 + np.exp(-2))
    x = (0.5 * best + 0.52 * second) / (best + second)
    np.testing.assert_allclose(found, [[x, 0.5]], rtol=1e-6)


def test_how_much_must_overlap() -> None:
    """Two boxes of 20 px: their union is 40 px less what they share."""
    for apart, joined in ((10.7, True), (10.9, False)):  # 0.303 and 0.294 of the union
        rows = boxes(SAME, SAME, (apart - 2, 0, 20, 20, 0, 0), SAME)
        found = best_keypoints(rows, logits(-1, 4, 2, -1), CENTRES, SIZE)
        assert (found[0, 0] > 0.501) is np.bool_(joined)


def test_a_box_without_area_stands_for_itself() -> None:
    rows = boxes(SAME, (0, 0, 0, 0, 5, 5), (0, 0, 0, 0, 9, 9), SAME)
    found = best_keypoints(rows, logits(-1, 4, 2, -1), CENTRES, SIZE)
    np.testing.assert_allclose(found, [[0.55, 0.55]], rtol=1e-6)


@pytest.mark.filterwarnings("error")
@given(st.floats(90, 1e6))
def test_absurdly_sure_networks_do_not_overflow(logit: float) -> None:
    found = best_keypoints(
        boxes(SAME, SAME, SAME, SAME), logits(-1e6, logit, -1, -1), CENTRES, SIZE
    )
    np.testing.assert_allclose(found, [[0.5, 0.5]])
