"""Decoding on NVIDIA's video decoder (NVDEC), through FFmpeg, in the decoder process.

What a video gives must not depend on who decoded it, and nothing wrong with it may stay unseen:

* Only codecs whose standard says every bit of a picture are taken. Where rounding is left open
  (MPEG-1, -2 and -4, MJPEG), a GPU gives other pictures than a CPU.
* A GPU gives luma and interleaved chroma (NV12; P010 for 10 bits). swscale turns them into other
  RGB than planes, by up to 65 of 255, so they are put into planes first, which is exact.
* FFmpeg 8.1 hands a picture out although it could not be copied from the GPU. It logs that,
  though, so one line in its log is enough to end a GPU's part in a video (see `decode`).
* A GPU does not say that it made up the inside of a damaged picture, as software decoders do, and
  FFmpeg does not ask it. So containers whose end only their last picture tells are left to the CPU;
  damage in the middle of others is not seen.
* Film grain, which hardly any H.264 asks for, is added by the CPU only.

Frames come back in the memory of the CPU; PyAV copies them. It keeps their colours, turn and
damage with them since 18.0. It finds AV1 a decoder without hardware first, so the CPU has that.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.reformatter import VideoReformatter

from posewatch.base.errors import HardwareDeclinedError, ModelError
from posewatch.vision.container_end import End

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

EXACT: Mapping[str, frozenset[str | None]] = MappingProxyType(
    {
        "h264": frozenset({"Baseline", "Constrained Baseline", "Main", "High", "High 10"}),
        "hevc": frozenset({"Main", "Main 10"}),
        "vp8": frozenset({None}),
        "vp9": frozenset({"Profile 0", "Profile 2"}),
    }
)
"""Codecs of which every decoder gives the same pictures, and their profiles with colours at half
the resolution (4:2:0), by FFmpeg's names. Others a GPU may reduce to that without a word."""

PLANAR: Mapping[str, str] = MappingProxyType({"nv12": "yuv420p", "p010le": "yuv420p10le"})
"""What a GPU gives, and the same in planes."""


def check_build() -> None:
    """Look whether this PyAV knows NVIDIA's decoders.

    Raises:
        ModelError: it does not.
    """
    if "cuda" not in hwdevices_available():
        raise ModelError(
            "this PyAV was built without CUDA", hint="Its own wheels for Linux have it"
        )


class Nvdec:
    """The decoder of one GPU.

    Args:
        gpu: its number, as CUDA counts.

    Attributes:
        accel: what PyAV is to open a video with.
    """

    accel: HWAccel | None

    def __init__(self, gpu: int) -> None:
        self.accel = HWAccel("cuda", str(gpu), allow_software_fallback=False)
        self._reformatter = VideoReformatter()

    def check(self, stream: VideoStream, end: End) -> None:
        """Look whether it is to decode a stream; profile and size show with the first picture.

        Args:
            stream: of an open video.
            end: what the container says about the end of the file.

        Raises:
            HardwareDeclinedError: it is not.
        """
        if end is not End.WHOLE:
            raise HardwareDeclinedError("only its pictures tell whether the file is whole")
        name = stream.codec.name
        if name not in EXACT or not self._takes(stream):
            raise HardwareDeclinedError(f"{name} is left to the CPU")

    def decode(self, stream: VideoStream, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """Decode like `VideoStream.decode`, into planes.

        Raises:
            HardwareDeclinedError: there came what a CPU would have given otherwise.
            FFmpegError: as from `VideoStream.decode`.
        """
        return [self._planar(frame, stream) for frame in self._pictures(stream, packet)]

    def _takes(self, stream: VideoStream) -> bool:
        return stream.codec_context.is_hwaccel

    def _pictures(
        self, stream: VideoStream, packet: Packet[VideoStream] | None
    ) -> list[VideoFrame]:
        return stream.decode(packet)

    def _planar(self, frame: VideoFrame, stream: VideoStream) -> VideoFrame:
        size, context = (frame.width, frame.height), stream.codec_context
        # FFmpeg cuts no margins off at the left and the top, and half a pixel of chroma too much;
        # of a field whose other half is missing, it makes a picture on a CPU only.
        if size != (context.width, context.height) or any(length % 2 for length in size):
            raise HardwareDeclinedError("pictures of an odd size, or with margins: left to the CPU")
        if frame.interlaced_frame:
            raise HardwareDeclinedError("interlaced pictures: left to the CPU")
        planar = PLANAR.get(frame.format.name)
        if planar is None or context.profile not in EXACT[context.name]:
            raise HardwareDeclinedError(f"{context.profile}, {frame.format.name}: left to the CPU")
        return self._reformatter.reformat(frame, format=planar, threads=1)
