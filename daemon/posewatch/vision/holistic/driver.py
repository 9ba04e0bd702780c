"""The whole of Holistic: from frames to 543 landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from posewatch.vision.holistic import faces, hands, poses
from posewatch.vision.holistic.parts import Follower, find_apart, follow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from posewatch.vision.engine import Engine
    from posewatch.vision.holistic.poses import Pose

COUNT = poses.COUNT + 2 * hands.COUNT + faces.COUNT
"""Landmarks of a frame: pose 33, right hand 21, left hand 21, face 468."""

_SIDES = (hands.RIGHT, hands.LEFT)  # in the published order
_POSE = slice(0, poses.COUNT)
_HANDS = slice(_POSE.stop, _POSE.stop + len(_SIDES) * hands.COUNT)
_FACE = slice(_HANDS.stop, COUNT)


class Mode(StrEnum):
    """What one frame may know of the one before."""

    STATIC = "static"
    """The pose is found anew in each frame; hands and face follow the last frame where that
    agrees. So does one `solutions.holistic.Holistic(static_image_mode=True)` object that is given
    all frames of a video, and so were the published datasets made."""

    TRACKING = "tracking"
    """The pose follows the last frame as well, and is smoothed: MediaPipe's video mode."""

    INDEPENDENT = "independent"
    """Nothing: as a new `static_image_mode` object for each frame."""


@dataclass(frozen=True, slots=True)
class HolisticResult:
    """Landmarks of n consecutive frames.

    Attributes:
        frames: (n, 543, 3); x and y in parts of the image's width and height, z in parts of its
            width, smaller is nearer (for a pose from the hips, for a hand from the wrist, for a
            face from its middle). NaN where the part was not found.
        visibility: (n, 543). For the pose the probability that the landmark is to be seen; 0 for
            a hand or a face that was found, of which MediaPipe says nothing; NaN where the part
            was not found.
    """

    frames: NDArray[np.float32]
    visibility: NDArray[np.float32]


class Holistic:
    """MediaPipe Holistic (model complexity 1, 468 face landmarks).

    Args:
        engine: runs the networks named in `networks`.
        mode: what one frame may know of the one before.
    """

    def __init__(self, engine: Engine, mode: Mode) -> None:
        self._engine = engine
        self.mode = mode

    def start(self, width: int, height: int) -> Track:
        """Begin a video whose frames are `width` by `height` px."""
        return Track(self._engine, self.mode, width, height)


class Track:
    """One video on its way. Used by one thread at a time."""

    def __init__(self, engine: Engine, mode: Mode, width: int, height: int) -> None:
        self._engine = engine
        self._shape = (height, width, 3)
        finder = poses.TrackedPoses if mode is Mode.TRACKING else poses.SeparatePoses
        self._poses: poses.PoseFinder = finder(engine, width, height)
        self._hands = [Follower(hands.COUNT, hands.around, hands.LIMITS) for _ in _SIDES]
        self._face = [Follower(faces.COUNT, faces.around, faces.LIMITS)]
        self._landmarks = find_apart if mode is Mode.INDEPENDENT else follow

    def process(self, images: NDArray[np.uint8]) -> HolisticResult:
        """The landmarks of the next frames.

        How the frames of a video are cut into calls makes no difference to the result, only to
        the size of the batches.

        Args:
            images: (n, height, width, 3) RGB.

        Raises:
            ValueError: the images are not of the size that the track was started with.
            ModelError: a network could not be run.
        """
        if images.shape[1:] != self._shape or images.dtype != np.uint8:
            raise ValueError(
                f"expected uint8 images of shape (n, {', '.join(map(str, self._shape))}), "
                f"not {images.dtype} of shape {images.shape}"
            )
        singles = list(images)
        found = self._poses.find(singles)
        frames = np.full((len(images), COUNT, 3), np.nan)
        visibility = np.full((len(images), COUNT), np.nan)
        for index, pose in enumerate(found):
            if pose is not None:
                frames[index, _POSE] = pose.landmarks
                visibility[index, _POSE] = pose.visibility
        frames[:, _HANDS] = self._find_hands(singles, found).reshape(
            len(images), len(_SIDES) * hands.COUNT, 3
        )
        frames[:, _FACE] = self._find_faces(singles, found)[:, 0]
        visibility[:, _POSE.stop :][~np.isnan(frames[:, _POSE.stop :, 0])] = 0.0
        height, width, _ = self._shape
        frames /= (width, height, width)
        return HolisticResult(frames.astype(np.float32), visibility.astype(np.float32))

    def _find_hands(
        self, images: Sequence[NDArray[np.uint8]], found: Sequence[Pose | None]
    ) -> NDArray[np.float64]:
        rough = [
            hands.suggest(pose, side) if pose is not None else None
            for pose in found
            for side in _SIDES
        ]
        exact = iter(
            hands.recrop(
                self._engine,
                [
                    (images[index // len(_SIDES)], region)
                    for index, region in enumerate(rough)
                    if region is not None
                ],
            )
        )
        suggested = [None if region is None else next(exact) for region in rough]
        return self._landmarks(
            images,
            self._hands,
            [suggested[at : at + len(_SIDES)] for at in range(0, len(suggested), len(_SIDES))],
            lambda places: hands.landmarks(self._engine, places),
        )

    def _find_faces(
        self, images: Sequence[NDArray[np.uint8]], found: Sequence[Pose | None]
    ) -> NDArray[np.float64]:
        exact = iter(
            faces.detect(
                self._engine,
                [
                    (image, faces.suggest(pose))
                    for image, pose in zip(images, found, strict=True)
                    if pose is not None
                ],
            )
        )
        return self._landmarks(
            images,
            self._face,
            [[None if pose is None else next(exact)] for pose in found],
            lambda places: faces.landmarks(self._engine, places),
        )
