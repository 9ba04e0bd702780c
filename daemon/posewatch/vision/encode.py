"""Writing H.264 into MP4, with the times that the frames had."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Self

import av
import numpy as np

from posewatch.vision.video import SANE_FPS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_TICKS = 90_000  # a second; divides the usual frame rates, and is fine enough for the others


class VideoWriter:
    """One video.

    Args:
        path: of the MP4.
        size: width and height. H.264 in its usual form has even sizes: an odd one gets a last row
            or column twice.
        fps: about so many frames a second, for the encoder's planning.
        quality: x264's constant rate factor; lower is better.

    Raises:
        OSError: `path` cannot be written.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, *, quality: int = 20) -> None:
        self._size = size
        self._last = -1
        self._output = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        sane = 1 / SANE_FPS <= fps <= SANE_FPS  # not NaN either
        self._stream = self._output.add_stream(
            "libx264",
            rate=Fraction(fps if sane else 25).limit_denominator(1001),
            options={"crf": str(quality), "preset": "fast"},
        )
        self._stream.width, self._stream.height = (length + length % 2 for length in size)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._output.close()

    def write(self, image: NDArray[np.uint8], time: float) -> None:
        """Add a frame.

        Args:
            image: (H, W, 3) uint8, RGB.
            time: when it is shown, in seconds; no earlier than the one before (if it is, it follows
                that at once).
        """
        width, height = self._size
        if image.shape != (height, width, 3):
            raise ValueError(f"a picture of {image.shape} in a video of {(height, width, 3)}")
        even = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame.time_base = Fraction(1, _TICKS)
        frame.pts = self._last = max(round(time * _TICKS), self._last + 1)
        self._output.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder held back. Without it the video is cut."""
        self._output.mux(self._stream.encode(None))
