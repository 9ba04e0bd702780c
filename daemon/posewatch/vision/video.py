"""What is said about a video, and what one may cost: plain data, known to both processes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

SANE_FPS = 1000.0
"""Frames per second above which a declared rate is taken for a time base written by mistake."""


class DecodedBy(StrEnum):
    """What decodes a video."""

    CPU = "cpu"
    NVDEC = "nvdec"  # the video decoder of an NVIDIA GPU


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What decoding one video may cost.

    Attributes:
        max_pixels: width times height of a picture, at most. 8192 by 4320 is "8K".
        memory_bytes: address space of the decoder process (`RLIMIT_AS`), frame buffers included;
            its private writable memory (`RLIMIT_DATA`) where a GPU is to decode.
        ring_bytes: memory shared with the decoder process for decoded frames. It grows for as long
            as a video lasts whose frames are so large that two of them do not fit.
        threads: threads that decode one picture. Only some videos can use more than one.
    """

    max_pixels: int = 8192 * 4320
    memory_bytes: int = 3 << 30
    ring_bytes: int = 40 << 20
    threads: int = 2


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video says about itself, and what its first frame shows.

    Attributes:
        width: of the pictures as they are shown, after rotation, in pixels. Pixels that are not
            square are not stretched.
        height: as `width`.
        fps: frames per second on average, as the container declares them; NaN where it declares
            nothing, or nothing sane.
        start: time of the first frame on the container's own clock, in seconds. `Chunk.times`
            count from it.
        duration: seconds as declared; None where the container does not say.
        frames: number of frames as declared; None where the container does not say. An edit list
            may hide some of them.
        container: FFmpeg's short name of the format.
        codec: FFmpeg's name of the codec.
        pixel_format: FFmpeg's name of the pixel format that was decoded.
        rotation: by how many degrees, counter-clockwise, the pictures were turned for showing.
        decoder: what decodes it.
        fallback: why that is the CPU although a GPU was to; empty otherwise.
    """

    width: int
    height: int
    fps: float
    start: float
    duration: float | None
    frames: int | None
    container: str
    codec: str
    pixel_format: str
    rotation: int
    decoder: DecodedBy = DecodedBy.CPU
    fallback: str = ""


def average_fps(declared: float, frames: int, last_time: float) -> float:
    """Frames per second of a video that was read to its end.

    The declared rate is exact (30000/1001) where it is right, so it is kept when the timestamps
    agree with it to one per cent.

    Args:
        declared: `VideoInfo.fps`.
        frames: how many were read.
        last_time: time of the last frame, in seconds from the first.

    Returns:
        Frames per second; NaN where one frame (or none) is all there is and nothing was declared.
    """
    if frames < 2 or not last_time > 0:
        return declared
    measured = (frames - 1) / last_time
    if math.isfinite(declared) and abs(measured - declared) <= 0.01 * declared:
        return declared
    return measured
