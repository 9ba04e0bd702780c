"""The recipe `dwpose`: people by a detector, the keypoints of some of them by a pose network."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from posewatch.formats.pose_npz import PoseWriter
from posewatch.stages.derive import choose
from posewatch.stages.pose import PoseRecipe, Rows
from posewatch.stages.recipe import Progress, RecipeId
from posewatch.vision.topdown import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from posewatch.stages.pose import Loaded
    from posewatch.stages.recipe import Made, Setting
    from posewatch.vision.decoder import Chunk, Decoder
    from posewatch.vision.topdown import TopDown
    from posewatch.vision.video import VideoInfo

REVISION = 2
"""Part of the recipe's hash: raised whenever the same video would give other numbers."""
SUFFIX = ".pose-dwpose.npz"

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
    """

    def __init__(self, top_down: TopDown, keypoints: str, loaded: Loaded, people: int = 1) -> None:
        settings: dict[str, Setting] = {
            "detect": _detect(top_down.every),
            "people": people,
            "revision": REVISION,
            "signer": top_down.rule.value,
        }
        super().__init__(RecipeId("dwpose", settings), SUFFIX, loaded)
        self._top_down = top_down
        self._keypoints = keypoints
        self._people = people

    def run(
        self,
        video: Path,
        sha256: str,
        folder: Path,
        decoder: Decoder,
        report: Callable[[Progress], None],
    ) -> Made:
        """See `Recipe`."""
        made = super().run(video, sha256, folder, decoder, report)
        if self._top_down.people == 1:
            return made
        begun = time.perf_counter()
        draft = made.results[SUFFIX]
        chosen = folder / f"chosen{SUFFIX}"
        done = Progress(made.frames, made.frames)
        choose(*(draft, chosen, self._top_down.rule, self._people), alive=lambda: report(done))
        draft.unlink()
        spent = made.timings["write"] + time.perf_counter() - begun
        return replace(made, results={SUFFIX: chosen}, timings={**made.timings, "write": spent})

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

    def _writer(self, path: Path) -> PoseWriter:
        people = self._top_down.people
        return PoseWriter(
            path,
            points=(people, self._top_down.pose.results, 2),
            confidences="confidences",
            others={"boxes": (people, 4), "box_scores": (people,), "track_ids": (people,)},
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
