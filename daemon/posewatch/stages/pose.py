"""The pose stage: from a local video to a local pose file."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from posewatch import __version__
from posewatch.base.errors import Fault, InputError, PosewatchError
from posewatch.formats.pose_npz import PoseWriter, read_provenance
from posewatch.stages.recipe import Made, Progress, RecipeId
from posewatch.vision.video import average_fps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from posewatch.vision.decoder import Decoder
    from posewatch.vision.holistic import Holistic

REVISION = 1
"""Part of the recipe's hash: raised whenever the same video would give other numbers."""
SUFFIX = ".pose-mediapipe.npz"


class MediaPipePose:
    """A `Recipe`: MediaPipe Holistic on every frame.

    Args:
        holistic: the networks and the mode.
        models: sha256 of each network.
        software: versions of the libraries.
        provider: what the networks run on.
        batch: frames that are handed to the networks together.
    """

    def __init__(
        self,
        holistic: Holistic,
        *,
        models: Mapping[str, str],
        software: Mapping[str, str],
        provider: str,
        batch: int,
    ) -> None:
        self._holistic = holistic
        self._batch = batch
        self.models = models
        self.software = software
        self.provider = provider
        self.id = RecipeId("mediapipe", {"mode": holistic.mode.value, "revision": REVISION})

    def run(
        self,
        video: Path,
        sha256: str,
        folder: Path,
        decoder: Decoder,
        report: Callable[[Progress], None],
    ) -> Made:
        """See `Recipe`."""
        output = folder / f"result{SUFFIX}"
        clock = time.perf_counter
        spent = {"decode": 0.0, "infer": 0.0, "write": 0.0}
        begun = clock()
        frames, last = 0, 0.0
        with decoder.open(video) as opened:
            info = opened.info
            track = self._holistic.start(info.width, info.height)
            with PoseWriter(output) as writer:
                for chunk in opened.chunks(self._batch):
                    decoded = clock()
                    poses = track.process(chunk.images)
                    inferred = clock()
                    writer.append(poses.frames, poses.visibility, chunk.times)
                    frames, last = frames + len(chunk.times), float(chunk.times[-1])
                    written = clock()
                    spent["decode"] += decoded - begun
                    spent["infer"] += inferred - decoded
                    spent["write"] += written - inferred
                    report(Progress(frames, info.frames))
                    begun = clock()
                if frames == 0:
                    raise InputError(
                        Fault.NO_FRAMES, "no frame of it could be decoded", readable_frames=0
                    )
                spent["decode"] += clock() - begun
                begun = clock()
                writer.close(
                    fps=average_fps(info.fps, frames, last),
                    size=(info.width, info.height),
                    provenance=self._provenance(sha256),
                )
                spent["write"] += clock() - begun
        return Made(results={SUFFIX: output}, frames=frames, seconds=last, timings=spent)

    def _provenance(self, sha256: str) -> str:
        """How the file came to be. Holds nothing that differs between two runs on one machine."""
        return json.dumps(
            {
                "producer": "posewatch",
                "version": __version__,
                "recipe": {"name": self.id.name, "hash": self.id.hash, **self.id.settings},
                "input_sha256": sha256,
                "models": dict(self.models),
                "software": dict(self.software),
                "provider": self.provider,
                "keypoints": "pose 33, right hand 21, left hand 21, face 468",
                "coordinates": "x and y in 0..1 of the displayed image, z as MediaPipe gives it",
                "missing": "NaN",
            },
            sort_keys=True,
        )

    def ours(self, path: Path) -> bool:
        """See `Recipe`."""
        try:
            provenance = json.loads(read_provenance(path))
        except (PosewatchError, ValueError, RecursionError):
            return False
        return isinstance(provenance, dict) and provenance.get("producer") == "posewatch"
