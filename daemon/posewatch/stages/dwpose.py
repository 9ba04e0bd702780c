"""The recipe `dwpose`: people by a detector, the keypoints of one of them by a pose network."""

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
    from posewatch.stages.recipe import Setting
    from posewatch.vision.decoder import Chunk
    from posewatch.vision.topdown import TopDown
    from posewatch.vision.video import VideoInfo

REVISION = 1
"""Part of the recipe's hash: raised whenever the same video would give other numbers."""
NAME = "dwpose"
SUFFIX = f".pose-{NAME}.npz"

_PEOPLE = 1


class DWPose(PoseRecipe):
    """A `Recipe`: a detector finds people, a pose network the keypoints of the one who is followed.

    Args:
        top_down: the networks.
        keypoints: what they are, for the provenance: `body 18, …`.
        loaded: what is told of them.
        name: of the model, which is that of the recipe as well.
        card: digest of its card, where that is the user's own.
        files: what is made.
    """

    _coordinates = 2

    def __init__(
        self,
        top_down: TopDown,
        keypoints: str,
        loaded: Loaded,
        *,
        name: str = NAME,
        card: str = "",
        files: Files = DEFAULT,
    ) -> None:
        settings: dict[str, Setting] = {
            "detect": "always" if top_down.every == 1 else f"every {top_down.every}",
            "revision": REVISION,
            "signer": top_down.rule.value,
        }
        if card:
            settings["card"] = card
        super().__init__(RecipeId(name, settings), f".pose-{name}.npz", loaded, files)
        self._top_down = top_down
        self._keypoints = keypoints

    def _start(self, video: VideoInfo) -> Callable[[Chunk], Rows]:
        track = self._top_down.start(video.width, video.height)

        def find(chunk: Chunk) -> Rows:
            found = track.process(chunk.images, chunk.times)
            return Rows(
                found.frames[:, None],
                found.confidences[:, None],
                {"boxes": found.boxes[:, None], "box_scores": found.box_scores[:, None]},
            )

        return find

    def _writer(self, path: Path, compact: Compact | None) -> PoseWriter:
        return PoseWriter(
            path,
            points=(_PEOPLE, self._top_down.pose.results, 2),
            confidences="confidences",
            others={"boxes": (_PEOPLE, 4), "box_scores": (_PEOPLE,)},
            compact=compact,
        )

    def _about(self) -> Mapping[str, str]:
        score = f"{self._top_down.pose.score:g}"
        return {
            "keypoints": self._keypoints,
            "coordinates": "x and y in 0..1 of the displayed image",
            "boxes": "left, top, right, bottom in 0..1 of the displayed image",
            "missing": f"-1 where a keypoint's confidence is below {score}, NaN without a person",
        }
