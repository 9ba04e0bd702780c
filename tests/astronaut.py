"""A short clip of an astronaut who waves, and what MediaPipe 0.10.21 says about it.

`data/make_astronaut.py` makes both, and tells where the photo is from.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLIP = Path(__file__).parent / "data" / "astronaut.mp4"

# BT.601 with the range of television, the usual reading of an untagged file of this size
_TO_RGB = np.array([[1.164, 0.0, 1.596], [1.164, -0.392, -0.813], [1.164, 2.017, 0.0]])


def frames() -> NDArray[np.uint8]:
    """The clip, (24, 480, 480, 3) RGB.

    Converted here and not by FFmpeg, whose rounding changes between versions: the same bytes must
    come to both sides of a comparison.
    """
    with av.open(str(CLIP)) as container:
        return np.stack([_rgb(frame.to_ndarray()) for frame in container.decode(video=0)])


def _rgb(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A yuv420p image as PyAV gives it, (height * 3 / 2, width), made RGB."""
    width = planes.shape[1]
    height = planes.shape[0] * 2 // 3
    luma = planes[:height].astype(np.float64) - 16
    chroma = planes[height:].reshape(2, height // 2, width // 2).astype(np.float64) - 128
    full = [luma, *chroma.repeat(2, axis=1).repeat(2, axis=2)]
    rgb = np.stack(full, axis=-1) @ _TO_RGB.T
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def golden_path(mode: str) -> Path:
    """Where MediaPipe's answers for a mode ("static" or "tracking") are kept."""
    return CLIP.with_name(f"astronaut.{mode}.npz")


def golden(mode: str) -> dict[str, NDArray[np.float32]]:
    """MediaPipe's answers by the name of the stream, (24, …); NaN where it had none."""
    with np.load(golden_path(mode)) as file:
        return dict(file)
