"""Skeletons are drawn where they are, and nothing else is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from posewatch.vision import draw
from posewatch.vision.skeleton import CHAINS, HOLISTIC, KEYPOINTS, OPENPOSE, Colour, Part

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from posewatch.vision.skeleton import Skeleton

GREY = 128


def canvas(width: int = 400, height: int = 300) -> NDArray[np.uint8]:
    return np.full((height, width, 3), GREY, np.uint8)


def nobody() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return np.full((KEYPOINTS, 3), np.nan, np.float32), np.full(KEYPOINTS, np.nan, np.float32)


def touched(image: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what differs from the canvas."""
    rows, columns = np.nonzero((image != GREY).any(axis=2))
    return columns.min(), rows.min(), columns.max(), rows.max()


def test_nobody_leaves_no_trace() -> None:
    image = canvas()
    draw.draw_skeleton(image, *nobody())
    assert (image == GREY).all()


def test_a_limb_is_drawn_from_joint_to_joint_in_the_colour_of_its_side() -> None:
    for joints, colour in (((12, 14), Colour.RIGHT), ((11, 13), Colour.LEFT)):
        points, visibility = nobody()
        points[list(joints), :2] = (0.25, 0.5), (0.75, 0.5)
        visibility[:33] = 1
        image = canvas()
        draw.draw_skeleton(image, points, visibility)
        assert np.abs(image[150, 200].astype(int) - colour.value).max() < 40
        left, top, right, bottom = touched(image)
        assert (abs(left - 100), abs(right - 300)) <= (4, 4)
        assert 146 <= top < bottom <= 154


def test_points_of_the_pose_that_are_guesses_are_left_out() -> None:
    points, visibility = nobody()
    points[:33, :2] = np.random.default_rng(0).random((33, 2))
    visibility[:33] = 0.4
    image = canvas()
    draw.draw_skeleton(image, points, visibility)
    assert (image == GREY).all()


def test_a_chain_is_cut_at_a_point_that_was_not_found() -> None:
    points, visibility = nobody()
    finger = [33 + n for n in range(5)]
    points[finger, 0] = np.linspace(0.1, 0.9, 5)
    points[finger, 1] = 0.5
    points[finger[2]] = np.nan
    image = canvas()
    draw.draw_skeleton(image, points, visibility)
    drawn = (image != GREY).any(axis=2).any(axis=0)
    assert drawn[50:110].all()
    assert not drawn[140:260].any()
    assert drawn[290:350].all()


def test_the_head_of_the_pose_is_drawn_only_where_there_is_no_face() -> None:
    points, visibility = nobody()
    points[[8, 6], :2] = (0.2, 0.2), (0.8, 0.2)
    visibility[:33] = 1
    without_face = canvas()
    draw.draw_skeleton(without_face, points, visibility)
    assert (without_face[60] != GREY).any()
    points[Part.FACE.value, :2] = 0.9
    with_face = canvas()
    draw.draw_skeleton(with_face, points, visibility)
    assert (with_face[60, :320] == GREY).all()


def test_points_far_outside_do_no_harm() -> None:
    points, visibility = nobody()
    points[:, :2] = np.random.default_rng(0).normal(scale=1e30, size=(KEYPOINTS, 2))
    points[50] = np.inf
    visibility[:33] = 1
    draw.draw_skeleton(canvas(), points, visibility)


def test_lines_grow_with_the_picture() -> None:
    widths = []
    for scale in (1, 4):
        points, visibility = nobody()
        points[[11, 12], :2] = (0.2, 0.5), (0.8, 0.5)
        visibility[:33] = 1
        image = canvas(400 * scale, 300 * scale)
        draw.draw_skeleton(image, points, visibility)
        widths.append((image[:, 200 * scale] != GREY).any(axis=1).sum())
    assert widths[1] > widths[0]


def test_wrong_shapes_are_named() -> None:
    points, visibility = nobody()
    with pytest.raises(ValueError, match=r"\(542, 3\).*\(543,\)"):
        draw.draw_skeleton(canvas(), points[1:], visibility)


def test_chains_stay_within_one_part_or_the_pose() -> None:
    for chain in CHAINS:
        parts = {
            part for part in Part for p in chain.points if p in range(*part.value.indices(543))
        }
        assert len(parts) == 1
    assert {p for chain in CHAINS for p in chain.points} >= {*range(33, 75)}


@pytest.mark.parametrize(
    ("joints", "colour"),
    [((2, 3), Colour.RIGHT), ((5, 6), Colour.LEFT), ((114, 115), Colour.RIGHT)],
)
def test_limbs_in_openpose_s_order_have_the_colour_of_their_side(
    joints: tuple[int, int], colour: Colour
) -> None:
    points, confidences = np.full((134, 2), -1, np.float32), np.zeros(134, np.float32)
    points[list(joints)] = (0.25, 0.5), (0.75, 0.5)
    image = canvas()
    draw.draw_skeleton(image, points, confidences, OPENPOSE)
    assert (image == GREY).all(), "nothing of it was found"
    confidences[list(joints)] = 0.3
    draw.draw_skeleton(image, points, confidences, OPENPOSE)
    assert np.abs(image[150, 200].astype(int) - colour.value).max() < 40
    left, top, right, bottom = touched(image)
    assert (abs(left - 100), abs(right - 300)) <= (4, 4)
    assert 146 <= top < bottom <= 154


@pytest.mark.parametrize("skeleton", [HOLISTIC, OPENPOSE])
def test_parts_follow_each_other_and_every_hand_is_drawn(skeleton: Skeleton) -> None:
    numbers = [number for part in skeleton.parts.values() for number in range(134)[part]]
    if skeleton is OPENPOSE:
        assert numbers == list(range(134))
    drawn = {number for chain in skeleton.chains for number in chain.points}
    hands = (
        range(skeleton.keypoints)[skeleton.parts[f"{side} hand"]] for side in ("left", "right")
    )
    assert drawn >= {number for hand in hands for number in hand}
    assert max(drawn) < skeleton.keypoints


def test_the_contact_sheet_keeps_every_picture_in_order() -> None:
    images = [np.full((20, 30, 3), number * 10, np.uint8) for number in range(7)]
    sheet = draw.contact_sheet(images, gap=2)
    assert sheet.shape == (3 * 20 + 2 * 2, 3 * 30 + 2 * 2, 3)
    for number in range(7):
        top, left = number // 3 * 22, number % 3 * 32
        assert (sheet[top : top + 20, left : left + 30] == number * 10).all()
    assert (sheet[44:, 32:] == 255).all()


def test_pictures_are_only_made_smaller() -> None:
    assert draw.fit(canvas(400, 300), 200).shape == (150, 200, 3)
    assert draw.fit(canvas(400, 300), 800).shape == (300, 400, 3)


def test_a_png_holds_the_same_colours(tmp_path: Path) -> None:
    image = canvas()
    image[:100] = 250, 20, 30
    draw.label(image, "1.25 s")
    draw.write_png(tmp_path / "a.png", image)
    read = cv2.imread(str(tmp_path / "a.png"))
    assert read is not None
    np.testing.assert_array_equal(read[..., ::-1], image)
