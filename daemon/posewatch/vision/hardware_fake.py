"""NVDEC without a GPU, for tests: pictures as a GPU gives them, and the ways in which it fails."""

from __future__ import annotations

import logging
import os
import threading
from types import MappingProxyType
from typing import TYPE_CHECKING

import av.error

from posewatch.vision.hardware import EXACT, PLANAR, Nvdec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from posewatch.vision.container_end import End

_INTERLEAVED: Mapping[str, str] = MappingProxyType(
    {planar: interleaved for interleaved, planar in PLANAR.items()} | {"yuvj420p": "nv12"}
)


class FakeNvdec(Nvdec):
    """Decodes on the CPU.

    Args:
        script: `FAULT@FRAME`, or nothing. At that frame, from 0, it does not go on (`fail`), says
            so only in FFmpeg's log (`complain`), dies (`crash`), stands still (`hang`), or gives
            other pictures from there on (`differ`).
    """

    def __init__(self, script: str) -> None:
        super().__init__(0)
        self.accel = None
        self._fault, _, frame = script.partition("@")
        self._at = int(frame or 0)
        self._count = 0

    def check(self, stream: VideoStream, end: End) -> None:
        """See `Nvdec`."""
        self._count = 0
        super().check(stream, end)

    def _takes(self, stream: VideoStream) -> bool:
        return stream.codec.name in EXACT

    def _pictures(
        self, stream: VideoStream, packet: Packet[VideoStream] | None
    ) -> list[VideoFrame]:
        return [self._given(frame) for frame in super()._pictures(stream, packet)]

    def _given(self, frame: VideoFrame) -> VideoFrame:
        due, self._count = self._count >= self._at, self._count + 1
        if due and self._fault == "fail":
            raise av.error.ExternalError(-1, "the GPU is gone")
        if due and self._fault == "complain":
            logging.getLogger("libav.CUDA").error("an illegal memory access was encountered")
        if due and self._fault == "crash":
            os.abort()
        if due and self._fault == "hang":
            threading.Event().wait()
        form = _INTERLEAVED.get(frame.format.name)
        given = self._reformatter.reformat(frame, format=form, threads=1) if form else frame
        if due and self._fault == "differ":
            plane = given.planes[0]
            plane.update(bytes(plane.buffer_size))
        return given
