"""Which keypoints are joined by lines when a person is drawn; each chain goes from point to point.

Two numberings are known: that of MediaPipe Holistic (pose 33, right hand 21, left hand 21, face
468), and OpenPose's of COCO-WholeBody (body 18, feet 6, face 68, left hand 21, right hand 21).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

KEYPOINTS = 543


class Part(Enum):
    """The components of a result of MediaPipe Holistic, as slices of its keypoints."""

    POSE = slice(0, 33)
    RIGHT_HAND = slice(33, 54)
    LEFT_HAND = slice(54, 75)
    FACE = slice(75, 543)


class Colour(Enum):
    """RGB; after the palette of Okabe and Ito, which everybody can tell apart."""

    BODY = (240, 228, 66)
    RIGHT = (213, 94, 0)
    LEFT = (86, 180, 233)
    FACE = (60, 230, 175)  # lighter than theirs: its lines are thin and have no dark edge


@dataclass(frozen=True, slots=True)
class Chain:
    """A line through some keypoints.

    Attributes:
        points: their indices among all keypoints.
        colour: of the line.
        instead_of: drawn only where none of these keypoints was found.
    """

    points: tuple[int, ...]
    colour: Colour
    instead_of: slice | None = None


_FINGERS = (
    (0, 1, 2, 3, 4),
    (0, 5, 6, 7, 8),
    (9, 10, 11, 12),
    (13, 14, 15, 16),
    (0, 17, 18, 19, 20),
    (5, 9, 13, 17),
)

_BODY = (
    ((11, 12), Colour.BODY),
    ((11, 23, 24, 12), Colour.BODY),
    ((12, 14, 16), Colour.RIGHT),
    ((11, 13, 15), Colour.LEFT),
    ((24, 26, 28), Colour.RIGHT),
    ((28, 30, 32, 28), Colour.RIGHT),
    ((23, 25, 27), Colour.LEFT),
    ((27, 29, 31, 27), Colour.LEFT),
)

_HANDS_OF_THE_POSE = (
    ((16, 18, 20, 16, 22), Colour.RIGHT, Part.RIGHT_HAND),
    ((15, 17, 19, 15, 21), Colour.LEFT, Part.LEFT_HAND),
)

_HEAD_OF_THE_POSE = ((8, 6, 5, 4, 0, 1, 2, 3, 7), (9, 10))

_FACE = (
    # oval
    (
        *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
        *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109, 10),
    ),
    # lips, outside and inside
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185, 61),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191, 78),
    # eyes
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263),
    # eyebrows
    (46, 53, 52, 65, 55),
    (70, 63, 105, 66, 107),
    (276, 283, 282, 295, 285),
    (300, 293, 334, 296, 336),
    # bridge of the nose, nostrils
    (168, 6, 197, 195, 5, 4, 1, 19, 94, 2),
    (64, 98, 97, 2, 326, 327, 294),
)


def _shifted(points: tuple[int, ...], part: Part) -> tuple[int, ...]:
    return _from(part.value.start, points)


def _from(start: int, points: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(start + point for point in points)


CHAINS: tuple[Chain, ...] = (
    *(Chain(_shifted(points, Part.FACE), Colour.FACE) for points in _FACE),
    *(Chain(points, Colour.FACE, instead_of=Part.FACE.value) for points in _HEAD_OF_THE_POSE),
    *(Chain(points, colour) for points, colour in _BODY),
    *(Chain(points, colour, instead_of=part.value) for points, colour, part in _HANDS_OF_THE_POSE),
    *(Chain(_shifted(points, Part.RIGHT_HAND), Colour.RIGHT) for points in _FINGERS),
    *(Chain(_shifted(points, Part.LEFT_HAND), Colour.LEFT) for points in _FINGERS),
)
"""In the order of drawing: what comes later lies on top."""

_OPENPOSE_PARTS = MappingProxyType(
    {
        "body": slice(0, 18),
        "feet": slice(18, 24),
        "face": slice(24, 92),
        "left hand": slice(92, 113),
        "right hand": slice(113, 134),
    }
)

_OPENPOSE_BODY = (
    ((1, 8, 11, 1), Colour.BODY),
    ((1, 2, 3, 4, 113), Colour.RIGHT),
    ((1, 5, 6, 7, 92), Colour.LEFT),
    ((8, 9, 10), Colour.RIGHT),
    ((10, 21, 22, 23, 10), Colour.RIGHT),
    ((11, 12, 13), Colour.LEFT),
    ((13, 18, 19, 20, 13), Colour.LEFT),
)

_OPENPOSE_HEAD = ((16, 14, 0, 15, 17), (0, 1))

_FACE_68 = (
    tuple(range(17)),  # chin, from ear to ear
    tuple(range(17, 22)),
    tuple(range(22, 27)),  # eyebrows
    tuple(range(27, 31)),
    tuple(range(31, 36)),  # nose
    (*range(36, 42), 36),
    (*range(42, 48), 42),  # eyes
    (*range(48, 60), 48),
    (*range(60, 68), 60),  # lips
)
"""The 68 points of 300-W (Sagonas et al. 2013), as COCO-WholeBody has them."""


@dataclass(frozen=True, slots=True)
class Skeleton:
    """How to read and draw the keypoints of one person.

    Attributes:
        keypoints: how many there are.
        parts: of the body, by their names.
        chains: in the order of drawing: what comes later lies on top.
        found: confidence below which a keypoint counts as not found; None where coordinates alone
            tell.
        guessed: keypoints that are not drawn below the confidence `sure`.
        sure: see `guessed`.
    """

    keypoints: int
    parts: Mapping[str, slice]
    chains: tuple[Chain, ...]
    found: float | None
    guessed: slice
    sure: float

    def is_found(
        self, points: NDArray[np.float32], confidences: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Which keypoints were found.

        Args:
            points: (..., keypoints, 2 or 3).
            confidences: (..., keypoints).

        Returns:
            (..., keypoints).
        """
        there: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(points), axis=-1)
        return there if self.found is None else there & (confidences >= self.found)


HOLISTIC = Skeleton(
    keypoints=KEYPOINTS,
    parts=MappingProxyType(
        {
            "pose": Part.POSE.value,
            "right hand": Part.RIGHT_HAND.value,
            "left hand": Part.LEFT_HAND.value,
            "face": Part.FACE.value,
        }
    ),
    chains=CHAINS,
    found=None,
    guessed=Part.POSE.value,
    sure=0.5,  # below, they are mostly legs outside of the picture
)

OPENPOSE = Skeleton(
    keypoints=134,
    parts=_OPENPOSE_PARTS,
    chains=(
        *(Chain(_from(24, points), Colour.FACE) for points in _FACE_68),
        *(Chain(points, Colour.FACE) for points in _OPENPOSE_HEAD),
        *(Chain(points, colour) for points, colour in _OPENPOSE_BODY),
        *(Chain(_from(113, points), Colour.RIGHT) for points in _FINGERS),
        *(Chain(_from(92, points), Colour.LEFT) for points in _FINGERS),
    ),
    found=0.3,
    guessed=slice(0),
    sure=0.0,
)


def skeleton_of(points: tuple[int, ...]) -> Skeleton | None:
    """The skeleton of results in which one frame has this shape; None where none is known."""
    return next((it for it in (HOLISTIC, OPENPOSE) if it.keypoints == points[-2]), None)
