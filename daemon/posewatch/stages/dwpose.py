"""The recipe `dwpose`: people by a detector, the keypoints of some of them by a pose network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posewatch.formats.pose_npz import PoseWriter
from posewatch.stages.derive import choose
from posewatch.stages.files import DEFAULT
from posewatch.stages.pose import PoseRecipe, Rows
from posewatch.stages.recipe import RecipeId
from posewatch.vision.topdown import Rule

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

REVISION = 2
"""Part of the recipe's hash: raised whenever the same video would give other numbers."""
NAME = "dwpose"
SUFFIX = f".pose-{NAME}.npz"

_CANDIDATES = 4
"""People who are followed, at least, where the rule has to see them move."""


def followed(rule: Rule, people: int) -> int:
    """How many people have to be followed so that a rule can choose from them."""
    return max(people, _CANDIDATES) if rule is Rule.MOST_MOTION else people


class DWPose(PoseRecipe):
    """A `Recipe`: a detector finds people, a pose network the keypoints of those who are followed.

    Where more than one is, who comes first is decided at the end, over the whole video.

    Args:
        top_down: the networks.
        keypoints: what they are, for the provenance: `body 18, …`.
        loaded: what is told of them.
        people: how many a result holds.
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
        people: int = 1,
        *,
        name: str = NAME,
        card: str = "",
        files: Files = DEFAULT,
    ) -> None:
        settings: dict[str, Setting] = {
            "detect": _detect(top_down.every),
            "people": people,
            "revision": REVISION,
            "signer": top_down.rule.value,
        }
        if card:
            settings["card"] = card
        super().__init__(RecipeId(name, settings), f".pose-{name}.npz", loaded, files)
        self._top_down = top_down
        self._keypoints = keypoints
        self._people = people

    def _finished(self, draft: Path, alive: Callable[[], None]) -> Path:
        if self._top_down.people == 1:
            return draft
        chosen = draft.with_name(f"chosen{self.suffix}")
        choose(draft, chosen, self._top_down.rule, self._people, alive=alive)
        draft.unlink()
        return chosen

    def _start(self, video: VideoInfo) -> Callable[[Chunk], Rows]:
        track = self._top_down.start(video.width, video.height)

        def find(chunk: Chunk) -> Rows:
            found = track.process(chunk.images, chunk.times)
            others = {
                "boxes": found.boxes,
                "box_scores": found.box_scores,
                "track_ids": found.track_ids,
            }
            return Rows(found.frames, found.confidences, others)

        return find

    def _writer(self, path: Path, compact: Compact | None) -> PoseWriter:
        people = self._top_down.people
        return PoseWriter(
            path,
            points=(people, self._top_down.pose.results, 2),
            confidences="confidences",
            others={"boxes": (people, 4), "box_scores": (people,), "track_ids": (people,)},
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


def _detect(every: int | None) -> str:
    """The setting, in the words of the settings file."""
    if every is None:
        return "auto"
    return "always" if every == 1 else f"every {every}"
