"""Where everything stands, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posewatch.stages.recipe import Progress


@dataclass(frozen=True, slots=True)
class Overview:
    """Where everything stands.

    Attributes:
        videos: in the folder.
        done: with results.
        failed: with a failure.
        in_flight: worked on here.
        frames: worked on by this process.
        frames_per_second: of this process, since its first claim.
        seconds_left: a guess from the pace so far; None when there is no pace yet.
        unlisted: folders and files that could not be looked at.
        refused: videos beside which nothing may be written.
        interrupted: whether somebody asked to stop.
    """

    videos: int = 0
    done: int = 0
    failed: int = 0
    in_flight: int = 0
    frames: int = 0
    frames_per_second: float = 0.0
    seconds_left: float | None = None
    unlisted: int = 0
    refused: int = 0
    interrupted: bool = False

    @property
    def finished(self) -> int:
        """Done or failed."""
        return self.done + self.failed

    @property
    def waiting(self) -> int:
        """Neither finished nor in flight here."""
        return self.videos - self.finished - self.in_flight

    def __str__(self) -> str:
        pace = f", {self.frames_per_second:.1f} frames/s" if self.frames_per_second else ""
        return (
            f"{self.in_flight} in flight, {self.waiting} waiting, {self.done} done, "
            f"{self.failed} failed{pace}"
        )


class Pace:
    """How fast this process works. All times are of the monotonic clock."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._videos = 0
        self._frames = 0

    def begin(self, now: float) -> None:
        """A video was handed out; the first one starts the clock."""
        if self._begun is None:
            self._begun = now

    def finished(self, frames: int) -> None:
        """A video is done or failed, after so many frames."""
        self._videos += 1
        self._frames += frames

    def frames(self, running: Iterable[Progress]) -> int:
        """Frames worked on, those of the videos in flight too."""
        return self._frames + sum(progress.frames for progress in running)

    def frames_per_second(self, running: Iterable[Progress], now: float) -> float:
        """Since the first video was handed out; 0.0 before."""
        elapsed = self._elapsed(now)
        return self.frames(running) / elapsed if elapsed > 0 else 0.0

    def seconds_left(
        self, unfinished: int, running: Iterable[Progress], now: float
    ) -> float | None:
        """Until `unfinished` videos are finished, at the pace so far; None where there is none."""
        parts = sum(min(p.frames / p.total, 1.0) for p in running if p.total)
        worked, elapsed = self._videos + parts, self._elapsed(now)
        return max(unfinished - parts, 0.0) * elapsed / worked if worked and elapsed > 0 else None

    def _elapsed(self, now: float) -> float:
        return now - self._begun if self._begun is not None else 0.0
