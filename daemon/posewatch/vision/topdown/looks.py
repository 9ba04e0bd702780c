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
"""Levels by which a part of the picture (1/32 by 1/24 of it) has to change for that. Noise changes
the mean over so many pixels by less than 2; a hand that reaches in, by more than 20."""

_PARTS = (32, 24)
_LINES = 96
"""Of the picture, of which parts are the means."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known before a frame is worked on; times in seconds.

    Attributes:
        since: the detector looked.
        unseen: since somebody was seen.
        followed: whether anybody is.
        full: whether no further person would be followed.
        crowded: after a look, how soon people may be so close that they can be mixed up.
        change: levels by which the part of the picture that changed most since the last look did.
    """

    since: float
    unseen: float
    followed: bool
    full: bool
    crowded: float
    change: float


def due(sight: Sight) -> bool:
    """Whether the detector has to look in a frame."""
    if not sight.followed:
        stirred = sight.change > _CHANGE and sight.since >= _STIRRED
        return stirred or sight.unseen <= SOUGHT or sight.since >= _SEATS
    return sight.since >= min(sight.crowded, _FOLLOWED if sight.full else _SEATS)


def parts(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean colours of the parts of a picture, (24, 32, 3): of every few lines, which is enough."""
    step = max(1, min(image.shape[:2]) // _LINES)
    small = cv2.resize(image[::step, ::step], _PARTS, interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def change(now: NDArray[np.float32], before: NDArray[np.float32] | None) -> float:
    """By how many levels the part that changed most did; inf where there is nothing to compare."""
    return np.inf if before is None else float(np.abs(now - before).max())
