"""Who is who from frame to frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from posewatch.vision.topdown.people import overlaps, ranked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from posewatch.vision.topdown.people import Boxes, Rule

_SAME = 0.3
"""Intersection over union from which a box shows the person who is expected there."""

_REACH = 0.5
"""How far from where a hidden person is expected it may come back, in mean sides of the box."""

PATIENCE = 1.0
"""Seconds for which somebody who is not to be seen is waited for."""

_STEADY = 0.2
"""Seconds over which velocities are averaged: a detector's boxes tremble."""

_TOUCH = 0.05
"""Intersection over union from which two boxes hide parts of each other's person, so that how they
move does not tell how the people do."""

_BESIDE = 0.1
"""Part of a width that people may move beside each other between two looks."""

_SLOWEST = 0.2
"""Widths a second that people are believed to move against each other, at least."""


@dataclass(slots=True)
class _Person:
    """One person.

    Attributes:
        number: counts from 0, and is never given again.
        box: left, top, right, bottom in pixels, where last seen.
        seen: when, in seconds.
        velocity: of the middle, in pixels a second, (2,).
        hidden: whether the last look did not find it.
        double: whether it was seen once only, where somebody known was seen as well: detectors
            now and then have two boxes for one person.
    """

    number: int
    box: NDArray[np.float32]
    seen: float
    velocity: NDArray[np.float32] = field(default_factory=lambda: np.zeros(2, np.float32))
    hidden: bool = False
    double: bool = False

    def expected(self, time: float) -> NDArray[np.float32]:
        """Where the box should be by now, (4,)."""
        passed = np.float32(min(max(time - self.seen, 0.0), PATIENCE))
        return self.box + np.tile(self.velocity * passed, 2)

    def move(self, box: NDArray[np.float32], time: float, *, free: bool) -> None:
        """It was seen; `free` if nobody is so close that its box would not tell how it moves."""
        passed = time - self.seen
        if free and passed > 0:
            way = (box[:2] + box[2:] - self.box[:2] - self.box[2:]) / 2
            weight = np.float32(1 - math.exp(-passed / _STEADY))
            self.velocity += weight * (way / np.float32(passed) - self.velocity)
        self.box, self.seen, self.hidden, self.double = box, time, False, False


class Tracks:
    """Gives each person a number, and some of them a slot, for as long as they are to be seen.

    A box belongs to the person who is expected where it is: by overlap, best pair first, where the
    person was seen in the last look; else by the distance of the middles. Who was first seen on top
    of somebody known, and only once, stands back. Somebody who is alone,
    as the person was, is taken for the same one, who moved quickly or was filmed anew. Who is not
    to be seen is waited for; who does not come back within a second is forgotten as soon as
    others are there.

    Args:
        rule: who gets the slots, where there are more people.
        width: of the picture, in pixels.
        slots: how many people are followed.
    """

    def __init__(self, rule: Rule, width: int, slots: int) -> None:
        self._rule = rule
        self._width = width
        self._people: list[_Person] = []
        self._slots: list[_Person | None] = [None] * slots
        self._given = 0
        self._alone = False

    def number(self, slot: int) -> int:
        """Of the person in a slot; -1 where there is none."""
        person = self._slots[slot]
        return -1 if person is None else person.number

    def see(self, found: Boxes, time: float) -> dict[int, int]:
        """Take in what the detector saw.

        Args:
            found: (n, 5) as `suppress` gives them.
            time: of the frame, in seconds.

        Returns:
            By slots, which of `found` shows whom; without those who are not to be seen.
        """
        if not len(found):
            for person in self._people:
                person.hidden = True
            return {}
        who = self._recognised(found, time)
        free = _apart(found)
        for index, person in who.items():
            person.move(found[index, :4], time, free=bool(free[index]))
        known = {person.number for person in who.values()}
        for person in self._people:
            person.hidden = person.number not in known
        self._people = [p for p in self._people if not p.hidden or abs(time - p.seen) <= PATIENCE]
        doubles = np.any(overlaps(found, found[list(who)]) >= _SAME, axis=1)
        for index in range(len(found)):
            if index not in who:
                box, double = found[index, :4], bool(doubles[index])
                who[index] = _Person(self._given, box, time, double=double)
                self._people.append(who[index])
                self._given += 1
        self._alone = len(found) == 1
        return self._seated(found, who)

    def move(self, boxes: Mapping[int, NDArray[np.float32]], time: float) -> None:
        """The people in some slots were found by other means than the detector.

        Args:
            boxes: (4,) each, by slots: where they are in this frame.
            time: of the frame, in seconds.
        """
        moved = {
            person.number: boxes[slot]
            for slot, person in enumerate(self._slots)
            if person is not None and slot in boxes
        }
        if not moved:
            return
        free = _apart(np.stack([moved.get(person.number, person.box) for person in self._people]))
        for person, alone in zip(self._people, free, strict=True):
            if person.number in moved:
                person.move(moved[person.number], time, free=bool(alone))

    def crowded(self, time: float) -> float:
        """How soon after `time` somebody in a slot may be so close to others as to be mixed up.

        When half of the gap between two people can be gone, or where there is none, before one can
        move by a tenth of a width beside the other; by how fast they move against each other.

        Args:
            time: when the detector looked last, in seconds.

        Returns:
            Seconds; inf if there is only one.
        """
        return min(
            (
                _closeness(one, other, time)
                for one in self._slots
                for other in self._people
                if one is not None and other is not one
            ),
            default=math.inf,
        )

    def _recognised(self, found: Boxes, time: float) -> dict[int, _Person]:
        """The person in each of the boxes that show somebody known."""
        who: dict[int, _Person] = {}
        left = set(range(len(self._people)))
        for worth, person, index in sorted(self._pairs(found, time), reverse=True):
            if person in left and index not in who and worth > 0:
                who[index] = self._people[person]
                left.discard(person)
        if not who and self._alone and len(found) == 1 and len(self._people) == 1:
            who[0] = self._people[0]
        return who

    def _pairs(self, found: Boxes, time: float) -> Iterator[tuple[float, int, int]]:
        """How well each box fits each person, above 0 if it does; person; box."""
        if not self._people:
            return
        expected = np.stack([person.expected(time) for person in self._people])
        common = overlaps(expected, found)
        middles = (found[:, :2] + found[:, 2:4]) / 2
        for number, person in enumerate(self._people):
            box = expected[number]
            reach = _REACH * max(float((box[2:] - box[:2]).mean()), 1.0)
            far = np.hypot(*(middles - (box[:2] + box[2:]) / 2).T)
            for index in range(len(found)):
                overlap = float(common[number, index])
                if overlap >= _SAME:
                    yield overlap + (not (person.hidden or person.double)), number, index
                elif person.hidden:
                    yield 0.3 * (1 - float(far[index]) / reach), number, index

    def _seated(self, found: Boxes, who: Mapping[int, _Person]) -> dict[int, int]:
        """Give free slots to who is there, by the rule."""
        alive = {person.number for person in self._people}
        self._slots = [p if p is not None and p.number in alive else None for p in self._slots]
        seated = {person.number for person in self._slots if person is not None}
        waiting = (
            who[index]
            for index in ranked(found, self._rule, self._width)
            if who[index].number not in seated
        )
        self._slots = [next(waiting, None) if p is None else p for p in self._slots]
        there = {person.number: index for index, person in who.items()}
        return {
            slot: there[person.number]
            for slot, person in enumerate(self._slots)
            if person is not None and person.number in there
        }


def _closeness(one: _Person, other: _Person, time: float) -> float:
    """The seconds of `Tracks.crowded`, for two people."""
    a, b = one.expected(time), other.expected(time)
    width = max(float(a[2] - a[0] + b[2] - b[0]) / 2, 1.0)
    gap = float(np.maximum(a[:2] - b[2:], b[:2] - a[2:]).max())
    speed = float(np.hypot(*(one.velocity - other.velocity)))
    return max(gap / 2, width * _BESIDE) / max(speed, width * _SLOWEST)


def _apart(boxes: Boxes) -> NDArray[np.bool_]:
    """Which boxes no other one touches, (n,)."""
    return np.asarray((overlaps(boxes, boxes) > _TOUCH).sum(axis=1) <= 1)
