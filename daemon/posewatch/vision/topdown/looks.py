"""In which frames the detector looks, where that is left to what is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOUGHT = 1.0
"""Seconds for which the detector looks in every frame for somebody who was lost."""

_FOLLOWED = 4.0
"""Seconds between two looks while everybody who is to be followed is."""

_SEATS = 1.0
"""The same while further people would be followed if they came, or nobody is there at all."""

_STIRRED = 0.2
"""The same while nobody is there, but the picture changes."""

_CHANGE = 12.0
"""Levels by which a part of the picture (1/32 by 1/24 of it) has to change for that. Noise with a
deviation of 5 levels changes it by 5, one of 10 by 12; somebody who comes in by 85 and more."""

_CUT = 25.0
"""Levels by which the picture changes on average from one frame to the next where another scene
begins. People and cameras that move change it by up to 10, cuts by 30 to 120."""

_PARTS = (32, 24)
_LINES = 96
"""Of the picture, of which parts are the means."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known before a frame is worked on; times in seconds.

    Attributes:
        since: the detector looked.
        lost: since somebody was seen last who is not followed any more; inf if there is none.
        followed: how many people are.
        full: whether no more would be.
        crowded: after a look, how soon people may be so close that they can be mixed up.
        change: levels by which the part of the picture that changed most since the last look did.
        jump: levels by which the picture changed since the frame before, on average.
    """

    since: float
    lost: float
    followed: int
    full: bool
    crowded: float
    change: float
    jump: float


def due(sight: Sight) -> bool:
    """Whether the detector has to look in a frame."""
    if sight.jump > _CUT or sight.lost <= SOUGHT:
        return True
    if not sight.followed:
        stirred = sight.change > _CHANGE
        return sight.since >= (_STIRRED if stirred else _SEATS)
    return sight.since >= min(sight.crowded, _FOLLOWED if sight.full else _SEATS)


def parts(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean colours of the parts of a picture, (24, 32, 3): of every few lines, which is enough."""
    height, width = image.shape[:2]
    step = max(1, min(height, width) // _LINES)
    few = cv2.resize(
        image, (-(-width // step), -(-height // step)), interpolation=cv2.INTER_NEAREST
    )
    return cv2.resize(few, _PARTS, interpolation=cv2.INTER_AREA).astype(np.float32)
