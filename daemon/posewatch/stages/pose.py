"""The pose stage: from a local video to a local pose file, whatever the networks are."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from posewatch import __version__
from posewatch.base.errors import Fault, InputError, PosewatchError
from posewatch.formats.compact import Compact
from posewatch.formats.pose_format import read_pose_format_provenance, write_pose_format
from posewatch.formats.pose_npz import PoseWriter, read_provenance
from posewatch.stages.recipe import Glimpse, Made, Progress, RecipeId
from posewatch.vision.video import average_fps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from posewatch.stages.files import Files
    from posewatch.vision.decoder import Chunk, Decoder
    from posewatch.vision.video import VideoInfo


@dataclass(frozen=True, slots=True)
class Loaded:
    """Networks that are ready to run, and what is told of them.

    Attributes:
        models: sha256 of each network.
        software: versions of the libraries.
        provider: what the networks run on.
        batch: frames that are handed to the networks together.
    """

    models: Mapping[str, str]
    software: Mapping[str, str]
    provider: str
    batch: int


@dataclass(frozen=True, slots=True)
class Rows:
    """What was found in some frames, as `PoseWriter.append` takes it.

    Attributes:
        frames: (n, *points) float32.
        confidences: (n, *points without the last axis) float32.
        others: further arrays, by name.
    """

    frames: NDArray[np.float32]
    confidences: NDArray[np.float32]
    others: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class PoseRecipe(ABC):
    """A `Recipe` that makes one pose file, and what is wished beside it.

    Args:
        recipe_id: name and settings; those of `files` are added.
        suffix: of the pose file.
        loaded: the networks.
        files: what is made.
    """

    _coordinates: ClassVar[int]
    """Of each keypoint: 2, or 3."""

    def __init__(self, recipe_id: RecipeId, suffix: str, loaded: Loaded, files: Files) -> None:
        self.id = RecipeId(recipe_id.name, {**recipe_id.settings, **files.settings})
        self.suffix = suffix
        self._files = files
        self.models = loaded.models
        self.software = loaded.software
        self.provider = loaded.provider
        self._batch = loaded.batch

    @abstractmethod
    def _start(self, video: VideoInfo) -> Callable[[Chunk], Rows]:
        """Begin a video: the answer is called with its frames in order."""

    @abstractmethod
    def _writer(self, path: Path, compact: Compact | None) -> PoseWriter:
        """Begin a result, whose coordinates are kept as `compact` says."""

    def _finished(self, draft: Path, alive: Callable[[], None]) -> Path:  # noqa: ARG002 -- for others
        """What becomes of a pose file once it is whole, before anything is made of it.

        Args:
            draft: the pose file.
            alive: called now and then; what it raises, passes.
        """
        return draft

    @abstractmethod
    def _about(self) -> Mapping[str, str]:
        """What is to be known about the numbers in a result, for its provenance."""

    def run(
        self,
        video: Path,
        sha256: str,
        folder: Path,
        decoder: Decoder,
        report: Callable[[Progress], None],
    ) -> Made:
        """See `Recipe`."""
        output = folder / f"result{self.suffix}"
        clock = time.perf_counter
        spent = {"decode": 0.0, "infer": 0.0, "write": 0.0}
        begun = clock()
        frames, last = 0, 0.0
        glimpse: Glimpse | None = None
        with decoder.open(video) as opened:
            info = opened.info
            find = self._start(info)
            with self._writer(output, self._compact(info)) as writer:
                for chunk in opened.chunks(self._batch):
                    decoded = clock()
                    rows = find(chunk)
                    inferred = clock()
                    writer.append(rows.frames, rows.confidences, chunk.times, rows.others)
                    seen = Glimpse.of(
                        rows.frames, rows.confidences, (info.width, info.height), frames
                    )
                    glimpse = seen or glimpse
                    frames += len(chunk.times)
                    last = max(last, float(chunk.times.max()))  # joined recordings step back
                    written = clock()
                    spent["decode"] += decoded - begun
                    spent["infer"] += inferred - decoded
                    spent["write"] += written - inferred
                    report(Progress(frames, info.frames, glimpse))
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
                done = Progress(frames, info.frames)
                output = self._finished(output, lambda: report(done))
                results = {self.suffix: output}
                if self._files.components:
                    beside = output.with_suffix(".pose")
                    write_pose_format(output, beside, self._files.components)
                    results[f"{self.suffix.removesuffix('.npz')}.pose"] = beside
                spent["write"] += clock() - begun
        return Made(
            results=results,
            frames=frames,
            seconds=last,
            timings=spent,
            decoder=info.decoder.value,
            fallback=info.fallback,
        )

    def _compact(self, video: VideoInfo) -> Compact | None:
        if not self._files.compact:
            return None
        return Compact.of((video.width, video.height), self._coordinates)

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
                **self._about(),
            },
            sort_keys=True,
        )

    def ours(self, path: Path) -> bool:
        """See `Recipe`."""
        for read in (read_provenance, read_pose_format_provenance):
            with suppress(PosewatchError, ValueError, RecursionError):
                provenance = json.loads(read(path))
                return isinstance(provenance, dict) and provenance.get("producer") == "posewatch"
        return False
