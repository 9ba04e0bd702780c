"""The recipe `mediapipe`: MediaPipe Holistic on every frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posewatch.formats.pose_npz import PoseWriter
from posewatch.stages.files import DEFAULT
from posewatch.stages.pose import PoseRecipe, Rows
from posewatch.stages.recipe import RecipeId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from posewatch.formats.compact import Compact
    from posewatch.stages.files import Files
    from posewatch.stages.pose import Loaded
    from posewatch.vision.decoder import Chunk
    from posewatch.vision.holistic import Holistic
    from posewatch.vision.video import VideoInfo

REVISION = 1
"""Part of the recipe's hash: raised whenever the same video would give other numbers."""
SUFFIX = ".pose-mediapipe.npz"


class MediaPipePose(PoseRecipe):
    """A `Recipe`: MediaPipe Holistic on every frame.

    Args:
        holistic: the networks and the mode.
        loaded: what is told of them.
        files: what is made.
    """

    _coordinates = 3

    def __init__(self, holistic: Holistic, loaded: Loaded, files: Files = DEFAULT) -> None:
        settings = {"mode": holistic.mode.value, "revision": REVISION}
        super().__init__(RecipeId("mediapipe", settings), SUFFIX, loaded, files)
        self._holistic = holistic

    def _start(self, video: VideoInfo) -> Callable[[Chunk], Rows]:
        track = self._holistic.start(video.width, video.height)

        def find(chunk: Chunk) -> Rows:
            poses = track.process(chunk.images)
            return Rows(poses.frames, poses.visibility)

        return find

    def _writer(self, path: Path, compact: Compact | None) -> PoseWriter:
        return PoseWriter(path, compact=compact)

    def _about(self) -> Mapping[str, str]:
        return {
            "keypoints": "pose 33, right hand 21, left hand 21, face 468",
            "coordinates": "x and y in 0..1 of the displayed image, z as MediaPipe gives it",
            "missing": "NaN",
        }
