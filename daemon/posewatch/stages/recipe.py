"""What is made of each video: the stages, and the digest that names them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from posewatch.vision.decoder import Decoder

Setting = str | int | float | bool


@dataclass(frozen=True, slots=True)
class RecipeId:
    """The name of a recipe and everything that can change its results.

    Attributes:
        name: for people and for metrics.
        settings: what was asked for, and the revision of the code that does it.
    """

    name: str
    settings: Mapping[str, Setting]

    @property
    def hash(self) -> str:
        """The first 16 hex digits of the sha256 of name and settings."""
        canonical = json.dumps([self.name, dict(self.settings)], sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What was found in one frame, for people to look at. None of the picture itself is kept.

    Attributes:
        points: (people, keypoints, 2 or more) or (keypoints, 2 or more) float32; x and y in 0..1.
        confidences: as `points`, without its last axis.
        size: width and height of the picture, in pixels.
        frame: its number, from 0.
    """

    points: NDArray[np.float32]
    confidences: NDArray[np.float32]
    size: tuple[int, int]
    frame: int

    @classmethod
    def of(
        cls,
        frames: NDArray[np.float32],
        confidences: NDArray[np.float32],
        size: tuple[int, int],
        first: int,
    ) -> Self | None:
        """The frame in which most was found; None where nothing was.

        Args:
            frames: the points of some frames, (n, …) with n ≥ 1.
            confidences: theirs.
            size: of the pictures.
            first: number of the first of these frames.
        """
        found = np.isfinite(frames[..., 0]).reshape(len(frames), -1).sum(axis=1)
        best = int(found.argmax())
        if not found[best]:
            return None
        return cls(frames[best].copy(), confidences[best].copy(), size, first + best)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a video is.

    Attributes:
        frames: worked on so far.
        total: all of them, as the container says; None where it does not.
        glimpse: what was found lately, if anything was.
    """

    frames: int
    total: int | None
    glimpse: Glimpse | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Made:
    """What a recipe made of a video.

    Attributes:
        results: the local file for each result's suffix (`.pose-mediapipe.npz`).
        frames: frames worked on.
        seconds: duration of the video.
        timings: seconds spent in each stage.
        decoder: what decoded the video, as `vision.video.DecodedBy` has it.
        fallback: why that was the CPU although a GPU was to; empty otherwise.
    """

    results: Mapping[str, Path]
    frames: int
    seconds: float
    timings: Mapping[str, float] = field(default_factory=dict)
    decoder: str = "cpu"
    fallback: str = ""


class Recipe(Protocol):
    """A recipe that is ready to run: its networks are loaded."""

    @property
    def id(self) -> RecipeId:
        """Its name and settings."""

    @property
    def software(self) -> Mapping[str, str]:
        """Versions of the libraries that take part."""

    @property
    def models(self) -> Mapping[str, str]:
        """The sha256 of each network."""

    @property
    def provider(self) -> str:
        """What the networks run on."""

    def run(
        self,
        video: Path,
        sha256: str,
        folder: Path,
        decoder: Decoder,
        report: Callable[[Progress], None],
    ) -> Made:
        """Work on one video. Safe to call from several threads, each with its own decoder.

        Args:
            video: a local copy that nobody changes.
            sha256: of the copy.
            folder: an empty folder for the results.
            decoder: decodes the video.
            report: called now and then; what it raises, passes.

        Raises:
            InputError: the video is at fault.
            DecoderCrashedError: the decoder died on it.
        """

    def ours(self, path: Path) -> bool:
        """Whether a result file was made by posewatch, so that it may be replaced."""
