"""Which files are made of what was found in a video, beside its pose file and in which form."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from posewatch.formats.pose_format import Component

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from posewatch.stages.recipe import Setting
    from posewatch.vision.skeleton import Skeleton

_GREY = (128, 128, 128)

_LIKE_POSE_FORMAT: Mapping[str, str] = MappingProxyType(
    {part: f"{part.upper()}_LANDMARKS" for part in ("pose", "face", "left_hand", "right_hand")}
)
"""What the library pose-format calls the parts of MediaPipe Holistic, in its order."""


class Part(Protocol):
    """A run of keypoints of a result, as a card tells of it."""

    @property
    def name(self) -> str:
        """Such as `left_hand`."""

    @property
    def count(self) -> int:
        """How many keypoints."""

    @property
    def names(self) -> tuple[str, ...]:
        """Theirs; empty where they go by number."""


@dataclass(frozen=True, slots=True)
class Files:
    """What is made.

    Attributes:
        compact: whether coordinates are kept as small integers.
        components: of a `.pose` file beside the pose file; none: there is no such file.
    """

    compact: bool = False
    components: tuple[Component, ...] = ()

    @property
    def settings(self) -> dict[str, Setting]:
        """What a recipe's hash has to know of it: nothing for what is made by default."""
        settings: dict[str, Setting] = {}
        if self.compact:
            settings["precision"] = "int16"
        if self.components:
            settings["formats"] = "npz, pose"
        return settings


DEFAULT = Files()


def components_of(parts: Sequence[Part], skeleton: Skeleton | None) -> tuple[Component, ...]:
    """The components of a `.pose` file.

    Those of MediaPipe Holistic are named and ordered as the library pose-format does it, so that
    its own functions know them.

    Args:
        parts: of a result, in its order.
        skeleton: what its keypoints are joined to; None: to nothing.
    """
    made, start = {}, 0
    for part in parts:
        limbs, colours = _limbs(skeleton, start, part.count)
        made[part.name] = Component(
            part.name.upper(),
            start,
            tuple(name.upper() for name in part.names) or tuple(map(str, range(part.count))),
            limbs,
            colours,
        )
        start += part.count
    if set(made) != set(_LIKE_POSE_FORMAT):
        return tuple(made.values())
    return tuple(
        Component(
            name,
            made[part].start,
            made[part].points,
            made[part].limbs,
            made[part].colours,
            certain=part != "pose",  # MediaPipe gives no confidence for the others
        )
        for part, name in _LIKE_POSE_FORMAT.items()
    )


def _limbs(
    skeleton: Skeleton | None, start: int, count: int
) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int, int], ...]]:
    """Lines within a run of keypoints, and the colour of each."""
    inside = range(start, start + count)
    found = [
        ((first - start, second - start), chain.colour.value)
        for chain in (skeleton.chains if skeleton else ())
        for first, second in pairwise(chain.points)
        if first in inside and second in inside
    ]
    if not found:
        return (), (_GREY,)
    limbs, colours = zip(*found, strict=True)
    return limbs, colours
