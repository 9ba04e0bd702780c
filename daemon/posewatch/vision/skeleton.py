"""Which keypoints are joined by lines when a person is drawn.

The numbering is that of MediaPipe Holistic (pose 33, right hand 21, left hand 21, face 468); each
chain is a line from point to point.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

KEYPOINTS = 543


class Part(Enum):
    """The components of a result, as slices of its keypoints."""

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
        instead_of: drawn only where this part was not found.
    """

    points: tuple[int, ...]
    colour: Colour
    instead_of: Part | None = None


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
    return tuple(part.value.start + point for point in points)


CHAINS: tuple[Chain, ...] = (
    *(Chain(_shifted(points, Part.FACE), Colour.FACE) for points in _FACE),
    *(Chain(points, Colour.FACE, instead_of=Part.FACE) for points in _HEAD_OF_THE_POSE),
    *(Chain(points, colour) for points, colour in _BODY),
    *(Chain(points, colour, instead_of=part) for points, colour, part in _HANDS_OF_THE_POSE),
    *(Chain(_shifted(points, Part.RIGHT_HAND), Colour.RIGHT) for points in _FINGERS),
    *(Chain(_shifted(points, Part.LEFT_HAND), Colour.LEFT) for points in _FINGERS),
)
"""In the order of drawing: what comes later lies on top."""
