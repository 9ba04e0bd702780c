"""`posewatch show`: a result in words and pictures, with what the settings say about decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posewatch.base.clock import SystemClock
from posewatch.stages import preview
from posewatch.vision.decoder import Decoder
from posewatch.vision.video import DecodeLimits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from posewatch.config import Settings


def summarise(result: Path) -> preview.Summary:
    """See `stages.preview.summarise`."""
    return preview.summarise(result)


def render(
    result: Path,
    video: Path | None,
    output: Path,
    settings: Settings,
    progress: Callable[[int, int | None], None],
) -> None:
    """Draw a result over its video; without `video`, over the one that lies beside it.

    See `stages.preview.render`.
    """
    video = video or preview.video_beside(result, settings.watch.suffixes)
    decode = settings.decode
    limits = DecodeLimits(max_pixels=decode.max_pixels, memory_bytes=decode.memory_bytes)
    with Decoder(limits=limits, stall_seconds=decode.stall_seconds, clock=SystemClock()) as decoder:
        preview.render(result, video, output, decoder, progress)
