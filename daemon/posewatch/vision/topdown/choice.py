"""Who comes first in a clip, decided when all of it is known.

Two passes over the rows of a clip, a block at a time: `Census` adds up what speaks for each person,
`Order` then puts them into columns. Needs a few hundred bytes for each person, however long the
clip is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from posewatch.vision.topdown.people import Rule
from posewatch.vision.topdown.tracks import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_STILL = 0.01
"""Heights of the box that a keypoint may move in one frame without moving: about three pixels of a
crop, which networks tremble by."""

_FEW = 3
"""Keypoints that say how a body moves, at least."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Some frames in a row, as results have them; NaN where nobody is.

    Attributes:
        frames: (n, P, keypoints, 2), coordinates in parts of the picture, below 0 where not found.
        boxes: (n, P, 4), likewise.
        box_scores: (n, P).
        track_ids: (n, P).
    """

    frames: NDArray[np.float32]
    boxes: NDArray[np.float32]
    box_scores: NDArray[np.float32]
    track_ids: NDArray[np.float32]


@dataclass(slots=True)
class _Life:
    """What was seen of one person."""

    begun: int
    score: float
    area: float = 0.0
    central: float = 0.0
    motion: float = 0.0
    last: int = -2
    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))


class Census:
    """Adds up what speaks for each person.

    Args:
        size: width and height of the pictures, in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = np.array(size, np.float64)
        self._frames = 0
        self._lives: dict[int, _Life] = {}

    def count(self, clip: Clip) -> None:
        """Take in the next frames."""
        ids = clip.track_ids
        for number in np.unique(ids[np.isfinite(ids)]):
            rows, columns = np.nonzero(ids == number)
            boxes = clip.boxes[rows, columns].astype(np.float64)
            life = self._lives.get(int(number))
            if life is None:
                score = float(clip.box_scores[rows[0], columns[0]])
                life = _Life(self._frames + int(rows[0]), score)
                self._lives[int(number)] = life
            sides = boxes[:, 2:] - boxes[:, :2]
            life.area += float(sides.prod(axis=1).sum())
            life.central += float((0.5 - np.abs(boxes[:, [0, 2]].mean(axis=1) - 0.5)).sum())
            points = np.where(clip.frames >= 0, clip.frames, np.nan)[rows, columns] * self._size
            life.motion += self._moved(life, rows, points, sides[:, 1] * self._size[1])
            life.last, life.points = self._frames + int(rows[-1]), points[-1]
        self._frames += len(ids)

    def _moved(
        self,
        life: _Life,
        rows: NDArray[np.intp],
        points: NDArray[np.float64],
        heights: NDArray[np.float64],
    ) -> float:
        """Heights by which the keypoints moved, less how the body did, on average over them."""
        numbers = rows + self._frames
        if life.last == numbers[0] - 1:
            points = np.concatenate([life.points[None], points])
            numbers = np.concatenate([[life.last], numbers])
            heights = np.concatenate([heights[:1], heights])
        ways = np.diff(points, axis=0)
        known = np.isfinite(ways[..., 0])
        next_to = (np.diff(numbers) == 1) & (known.sum(axis=1) >= _FEW)
        ways, known = ways[next_to], known[next_to]
        if not len(ways):
            return 0.0
        ways -= np.nanmedian(ways, axis=1, keepdims=True)
        far = np.hypot(ways[..., 0], ways[..., 1]) / np.maximum(heights[1:][next_to], 1.0)[:, None]
        return float((np.where(known & (far > _STILL), far, 0).sum(axis=1) / known.shape[1]).sum())

    def worth(self, rule: Rule) -> dict[int, tuple[float, ...]]:
        """By the person's number, what a rule makes of it: more is better.

        All but `FIRST` count in sums over the frames, so that who is there for longer is worth
        more.
        """
        return {number: _worth(life, rule) for number, life in self._lives.items()}


def _worth(life: _Life, rule: Rule) -> tuple[float, ...]:
    if rule is Rule.FIRST:
        return -life.begun, life.score
    if rule is Rule.CENTRAL:
        return (life.central,)
    return (life.motion if rule is Rule.MOST_MOTION else life.area,)


class Order:
    """Puts people into columns: the best who is there first, everybody else where they were.

    A column is kept for a second for somebody who is hidden. So is the first one, unless somebody
    better is there.

    Args:
        worth: as `Census` gives it.
        people: columns.
    """

    def __init__(self, worth: Mapping[int, tuple[float, ...]], people: int) -> None:
        self._worth = worth
        self._columns: list[int | None] = [None] * people
        self._seen: dict[int, float] = {}

    def columns(
        self, track_ids: NDArray[np.float32], times: NDArray[np.float64]
    ) -> NDArray[np.intp]:
        """In which of the given columns the person of each new column is; -1 for none.

        Args:
            track_ids: (n, P) of the next frames.
            times: (n,) seconds.

        Returns:
            (n, people).
        """
        chosen = np.full((len(track_ids), len(self._columns)), -1)
        for row, (ids, time) in enumerate(zip(track_ids, times, strict=True)):
            there = {int(number): column for column, number in enumerate(ids) if number >= 0}
            self._arrange(sorted(there, key=self._worth.__getitem__, reverse=True), float(time))
            for column, number in enumerate(self._columns):
                if number in there:
                    chosen[row, column] = there[number]
        return chosen

    def _arrange(self, there: Sequence[int], time: float) -> None:
        """Give the columns to the people who are there, best first."""
        for number in there:
            self._seen[number] = time
        kept = [
            number
            if number is not None and abs(time - self._seen.get(number, -math.inf)) <= PATIENCE
            else None
            for number in self._columns
        ]
        first = kept[0]
        if there and (first is None or self._worth[there[0]] > self._worth[first]):
            first = there[0]
        others = [number if number != first else None for number in kept[1:]]
        waiting = (number for number in there if number != first and number not in others)
        self._columns = [first, *(next(waiting, None) if o is None else o for o in others)]
