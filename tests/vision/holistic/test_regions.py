from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewatch.vision.holistic import faces, hands, regions
from posewatch.vision.holistic.regions import Region, TrackingLimits

coordinates = st.floats(-3000, 3000)
angles = st.floats(-math.pi, math.pi, exclude_max=True)
some_regions = st.builds(Region, coordinates, coordinates, st.floats(1, 3000), angles)
points = st.lists(st.tuples(coordinates, coordinates), min_size=2, max_size=8).map(np.array)


def close(region: Region, x: float, y: float, side: float, angle: float) -> None:
    assert (region.x, region.y, region.side) == pytest.approx((x, y, side), abs=1e-6)
    assert regions.normalized(region.angle - angle) == pytest.approx(0, abs=1e-9)


def test_the_corners_of_an_upright_region() -> None:
    corners = Region(10, 20, 4, 0).to_image(np.array([[0.0, 0, 0.5], [1, 0, 0], [0.5, 1, 0]]))
    np.testing.assert_allclose(corners, [[8, 18, 2], [12, 18, 0], [10, 22, 0]])


def test_a_region_turns_clockwise_as_seen() -> None:
    right = Region(0, 0, 2, math.pi / 2).to_image(np.array([[1.0, 0.5]]))
    np.testing.assert_allclose(right, [[0, 1]], atol=1e-12)  # y goes down


@given(some_regions, points)
def test_from_image_undoes_to_image(region: Region, local: np.ndarray) -> None:
    local = local / 3000
    back = region.from_image(region.to_image(local))
    np.testing.assert_allclose(back.T + 0.5, local, atol=1e-7)


def test_the_whole_image_is_in_the_middle_of_a_square() -> None:
    assert regions.whole(1920, 1080) == Region(960, 540, 1920, 0)
    assert regions.whole(480, 854) == Region(240, 427, 854, 0)


@given(st.floats(-50, 50))
def test_normalized_angles(angle: float) -> None:
    normal = regions.normalized(angle)
    assert -math.pi <= normal < math.pi
    assert math.cos(normal) == pytest.approx(math.cos(angle), abs=1e-9)
    assert math.sin(normal) == pytest.approx(math.sin(angle), abs=1e-9)


@pytest.mark.parametrize(
    ("end", "target", "turned"),
    [
        ((5.0, -1.0), math.pi / 2, 0.0),  # straight up, as wanted
        ((9.0, 3.0), math.pi / 2, math.pi / 2),
        ((5.0, 7.0), -math.pi / 2, 0.0),
        ((9.0, 3.0), 0.0, 0.0),
        ((5.0, 7.0), 0.0, math.pi / 2),
    ],
)
def test_a_step_and_the_turn_that_makes_it_point_to_the_target(
    end: tuple[float, float], target: float, turned: float
) -> None:
    distance, angle = regions.step(np.array([5.0, 3, 9]), np.array([*end, 0]), target)
    assert distance == pytest.approx(4)
    assert angle == pytest.approx(turned)


@given(points, st.sampled_from([0.0, math.pi / 2, -math.pi / 2]))
def test_a_turned_region_has_the_step_at_its_target(ends: np.ndarray, target: float) -> None:
    distance, angle = regions.step(ends[0], ends[1], target)
    region = Region(*ends[0], max(distance, 1.0), angle)
    x, y = region.from_image(ends[1:2])[:, 0] * region.side
    assert (x, y) == pytest.approx(
        (distance * math.cos(target), -distance * math.sin(target)), abs=1e-6
    )


def test_around_a_circle() -> None:
    close(regions.around(np.array([10.0, 20]), 5, 0.0, scale=2), 10, 20, 20, 0)
    # the shift is a part of the side before scaling, and goes down within the turned region
    close(regions.around(np.array([10.0, 20]), 5, 0.0, scale=2, shift=-0.1), 10, 19, 20, 0)
    quarter = math.pi / 2
    close(
        regions.around(np.array([10.0, 20]), 5, quarter, scale=2, shift=-0.1), 11, 20, 20, quarter
    )


def test_a_box_is_made_square_on_its_longer_side() -> None:
    corners = np.array([[0.0, 0, 7], [10, 4, 7]])
    close(regions.boxed(corners, 0.0, scale=1.5), 5, 2, 15, 0)
    # the shift is a part of its height before that
    close(regions.boxed(corners, 0.0, scale=1.5, shift=0.5), 5, 4, 15, 0)
    close(regions.boxed(corners, math.pi / 2, scale=1.5, shift=0.5), 3, 2, 15, math.pi / 2)


def test_a_turned_box_lies_along_its_points() -> None:
    diagonal = np.array([[0.0, 0], [10, 10], [1, -1], [11, 9]])
    close(
        regions.boxed_turned(diagonal, math.pi / 4, scale=1),
        5.5,
        4.5,
        math.hypot(10, 10),
        math.pi / 4,
    )


@given(points, angles)
def test_a_turned_box_holds_its_points_and_no_more(corners: np.ndarray, angle: float) -> None:
    region = regions.boxed_turned(corners, angle, scale=1)
    if region.side > 1e-3:
        inside = np.abs(region.from_image(corners))
        assert inside.max() == pytest.approx(0.5)


LIMITS = TrackingLimits(angle=math.radians(40), shift=0.2, scale=0.4, margin=-0.1)
FOUND = Region(500, 250, 200, 0)
CENTRE = np.array([[500.0, 250]])


# Both sides of each edge, as MediaPipe's own step was seen to decide.
@pytest.mark.parametrize(
    ("tracked", "kept"),
    [
        (Region(500, 250, 200, math.radians(39.9)), True),
        (Region(500, 250, 200, math.radians(40.1)), False),
        (Region(500, 250, 200, math.radians(-40.1)), False),
        (Region(539.9, 250, 200, 0), True),
        (Region(540.1, 250, 200, 0), False),
        (Region(500, 209.9, 200, 0), False),
        (Region(539.9, 289.9, 200, 0), True),
        (Region(539.9, 250, 150, 0), True),
        (Region(540.1, 250, 250, 0), False),
        (Region(500, 250, 279.9, 0), True),
        (Region(500, 250, 280.1, 0), False),
        (Region(500, 250, 120.1, 0), True),
        (Region(500, 250, 119.9, 0), False),
    ],
)
def test_a_tracked_region_must_be_near_the_found_one(tracked: Region, kept: bool) -> None:  # noqa: FBT001 - a case
    assert regions.follows(tracked, CENTRE, FOUND, LIMITS) is kept


@pytest.mark.parametrize(
    ("limits", "angle", "shift", "scale", "inset"),
    [(hands.LIMITS, 40, 0.2, 0.4, 0.1), (faces.LIMITS, 15, 0.1, 0.3, 0.2)],
)
def test_the_limits_of_hands_and_faces(
    limits: TrackingLimits, *, angle: float, shift: float, scale: float, inset: float
) -> None:
    """As MediaPipe's graph configures them."""
    for part, kept in ((0.99, True), (1.01, False)):
        edge = np.array([[500 + 100 * part * (1 - inset), 250]])
        assert regions.follows(FOUND, edge, FOUND, limits) is kept
        for tracked in (
            Region(500, 250, 200, math.radians(angle * part)),
            Region(500 + 200 * shift * part, 250, 200, 0),
            Region(500, 250, 200 * (1 + scale * part), 0),
        ):
            assert regions.follows(tracked, CENTRE, FOUND, limits) is kept


def test_nearness_is_measured_along_the_found_region_s_edges() -> None:
    found = Region(500, 250, 200, math.radians(30))
    for shift, kept in ((46.1, True), (46.3, False)):  # 40 / cos 30°
        tracked = Region(500 + shift, 250, 200, math.radians(30))
        assert regions.follows(tracked, CENTRE, found, LIMITS) is kept


def test_angles_are_compared_around_the_circle() -> None:
    found = Region(500, 250, 200, math.pi - 0.1)
    assert regions.follows(Region(500, 250, 200, 0.1 - math.pi), CENTRE, found, LIMITS)


@pytest.mark.parametrize(
    ("turned", "point", "kept"),
    [
        (0.0, (589.9, 250), True),
        (0.0, (590.1, 250), False),
        (0.0, (500, 159.9), False),
        (math.radians(45), (627.2, 250), True),  # 90 * √2
        (math.radians(45), (627.4, 250), False),
    ],
)
def test_every_landmark_must_lie_well_within_the_found_region(
    turned: float,
    point: tuple[float, float],
    kept: bool,  # noqa: FBT001 - a case
) -> None:
    found = Region(500, 250, 200, turned)
    landmarks = np.array([[500.0, 250, 0], [*point, 0]])
    assert regions.follows(found, landmarks, found, LIMITS) is kept
