"""Pictures of one person for a pose network, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Place:
    """A piece of a frame, upright, with the aspect of the network's input.

    Attributes:
        centre: x and y in pixels of the frame, (2,).
        sides: width and height in pixels of the frame, (2,).
    """

    centre: NDArray[np.float32]
    sides: NDArray[np.float32]


def around(box: NDArray[np.float32], padding: float, size: tuple[int, int]) -> Place:
    """Where to look for the keypoints of a person.

    In float32 throughout, as the public code does, so that crops are the same to the bit.

    Args:
        box: left, top, right, bottom in pixels of the frame.
        padding: factor for both sides of the box, before one is made longer to fit the aspect.
        size: width and height of the network's input.
    """
    corners = np.asarray(box[:4], np.float32)
    width, height = (corners[2:] - corners[:2]) * np.float32(padding)
    aspect = np.float32(size[0] / size[1])
    if width > height * aspect:
        height = width / aspect
    else:
        width = height * aspect
    centre = (corners[:2] + corners[2:]) * np.float32(0.5)
    return Place(centre, np.array([width, height], np.float32))


def cut(
    places: Sequence[tuple[NDArray[np.uint8], Place]], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Cut one crop out of each frame, bilinearly; black outside of it.

    Args:
        places: frames (height, width, 3), and where to cut them.
        size: width and height of the crops.

    Returns:
        (len(places), size[1], size[0], 3).
    """
    batch = np.empty((len(places), size[1], size[0], 3), np.uint8)
    for (image, place), crop in zip(places, batch, strict=True):
        cv2.warpAffine(image, _matrix(place, size), size, dst=crop, flags=cv2.INTER_LINEAR)
    return batch


def _matrix(place: Place, size: tuple[int, int]) -> NDArray[np.float64]:
    """From pixels of the frame to pixels of the crop, (2, 3); width decides the scale.

    By way of three points in float32, as mmpose does it: OpenCV rounds places to 1/32 px, and
    another way to the same matrix would now and then round to another side.
    """
    width, height = size
    x, y = place.centre
    top = y - place.sides[0] * np.float32(0.5)
    theirs = np.array([[x, y], [x, top], [x - (y - top), top]], np.float32)
    middle = (width * 0.5, height * 0.5)
    ours = np.array(
        [middle, (middle[0], middle[1] - width * 0.5), (0.0, middle[1] - width * 0.5)], np.float32
    )
    return np.asarray(cv2.getAffineTransform(theirs, ours), np.float64)


def in_frame(
    points: NDArray[np.float32], places: Sequence[Place], size: tuple[int, int]
) -> NDArray[np.float64]:
    """Take points of crops back to their frames.

    Args:
        points: (n, keypoints, 2) x and y in pixels of the crop.
        places: where each crop was cut.
        size: width and height of the crops.

    Returns:
        (n, keypoints, 2) x and y in pixels of the frame.
    """
    sides = np.array([place.sides for place in places], np.float64).reshape(-1, 1, 2)
    centres = np.array([place.centre for place in places], np.float64).reshape(-1, 1, 2)
    return points.astype(np.float64) / size * sides + centres - sides / 2
