"""Decoding one video with PyAV, in the process that calls.

Runs inside the decoder process (`decoder_process`), which is what the rest of the program uses
through `decoder.Decoder`: a video is somebody else's data, and FFmpeg is a million lines of C.

What is promised
    Every frame that the container wants shown is given once, in the order of showing, with the
    time that the container gives it. Recorded broadcasts (MPEG-TS, MPEG-PS) begin anywhere: what
    stands before their first key frame belongs to no picture, and is passed over.

    A video is whole or it is a failure. It is `Fault.TRUNCATED` when its container should go on
    (`container_end`), when samples that an MP4 index names lie behind the end of the file, when
    MXF declares a longer duration than was found, or, for the containers that declare no end, when
    the very last picture is damaged. It is `Fault.DAMAGED` when any other picture cannot
    be decoded, or only by guessing at what is missing, or when FFmpeg skipped a part of the file
    to find its way again.

    What is not seen: an MPEG-TS, MPEG-PS or FLV file, or a fragmented MP4, that was cut exactly
    between two pictures, tags or fragments.

    A GPU promises less (`hardware`). What fails on one is read again without it, from the start,
    and only that counts.
"""

from __future__ import annotations

import errno
import functools
import logging
import math
import os
import re
from collections import deque
from typing import TYPE_CHECKING, NoReturn

import av
import av.codec
import av.error
import av.logging
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from posewatch.base.errors import Fault, HardwareDeclinedError, HardwareFailedError, InputError
from posewatch.vision.container_end import End, Ending, find_ending, packet_length
from posewatch.vision.orientation import Orientation, Turner, orientation_of
from posewatch.vision.video import SANE_FPS, DecodedBy, DecodeLimits, VideoInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from posewatch.vision.hardware import Nvdec

FORMATS = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,mxf,dv,gif"
"""FFmpeg's demuxers for containers that hold timed video.

Left out on purpose: everything that opens other files (hls, dash, concat, image2, …), still
pictures, subtitles, bare streams without timestamps, and the containers of old games.
"""

_BEGINS_ANYWHERE = frozenset({"mpegts", "mpeg"})
_DURATION_SLACK = 1.0  # seconds
_CONVERTIBLE = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
"""Colour spaces (ITU-T H.273, matrix coefficients) that swscale converts; it refuses others."""

# FFmpeg logs these, by the part of it that says so, where it goes on as if nothing had happened.
_SKIPPED = (
    ("ogg", "CRC mismatch"),
    ("matroska,webm", "exceeds containing master element"),
    ("matroska,webm", "invalid as first byte of an EBML number"),
    ("matroska,webm", "Invalid length"),
    ("gif", "LZW decode failed"),
)
_TOO_LARGE_SAYS = re.compile(r"Picture size (\d+)x(\d+) is invalid")
_NOT_WORTH_QUOTING = ("whitelist", "Not detecting", "Consider increasing")

_HINT_COPY = "Copy the file again; where it was recorded like this, FFmpeg can rewrite what is left"
_HINT_DAMAGED = "Copy the file again, or let FFmpeg rewrite it, accepting the gap"


class VideoReader:
    """One open video.

    Args:
        fd: an open regular file; stays open, is not closed here, and may be read by others.
        limits: what the video may cost.
        progress: called for every packet and every frame.
        hardware: decodes instead of the CPU.

    Raises:
        InputError: the file is no whole video; the fault says why.
        HardwareFailedError: the hardware does not decode it.
    """

    def __init__(
        self,
        fd: int,
        limits: DecodeLimits,
        progress: Callable[[], None] = lambda: None,
        hardware: Nvdec | None = None,
    ) -> None:
        self._limits = limits
        self._progress = progress
        self._hardware = hardware
        self._messages = _Messages()
        size = os.fstat(fd).st_size
        if size == 0:
            raise InputError(Fault.EMPTY, "the file is empty")
        self._size = size
        read_at = functools.partial(_read_at, fd)
        self._ending = find_ending(read_at, size)
        self._count = 0
        self._last_time = 0.0
        self._last_end = -math.inf
        self._fps = math.nan
        self._frames: Iterator[tuple[VideoFrame, float]] = iter(())
        self._container = self._open(fd, "mpegts" if packet_length(read_at) else None)
        try:
            self._stream = self._choose_stream()
            if hardware is not None:
                hardware.check(self._stream, self._ending.end)
            self._complaints = self._messages.count
            self._fps = _declared_fps(self._stream)
            self._only_counted = (
                self._container.format.name == "avi" and self._stream.codec_context.has_b_frames
            )
            self._frames = self._decoded()
            self._refuse_if_cut()
            self._next: tuple[VideoFrame, float] | None = self._first_frame()
            first, start = self._next
            self._turner = Turner(orientation_of(first))
            self._reformatter = VideoReformatter()
            self.info = self._describe(first, start, self._turner.orientation)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the container; the file descriptor stays open."""
        self._next = None
        self._frames = iter(())  # the generator holds this object, and that its frames
        self._container.close()
        self._messages.close()

    def read_into(self, out: NDArray[np.uint8]) -> float | None:
        """Decode the next frame.

        A frame of another size than the first is scaled (bilinearly, its shape not kept) to the
        size of the first: players show it in the same window too, and normalised coordinates keep
        their meaning.

        Args:
            out: (H, W, 3) uint8, filled with RGB; untouched at the end.

        Returns:
            Seconds since the first frame, or None at the end of the video.

        Raises:
            InputError: the rest of the video cannot be decoded.
            HardwareFailedError: not by the hardware.
        """
        if self._next is None:
            return None
        frame, time = self._next
        self._paint(frame, out)
        self._next = next(self._frames, None)
        return time - self.info.start

    # -- opening ----------------------------------------------------------------------------

    def _open(self, fd: int, container: str | None) -> InputContainer:
        try:
            # Through "fd:" FFmpeg sees no name, and may open nothing else: no other protocol is
            # allowed, so a playlist, or a reference inside a MOV file, leads nowhere.
            return av.open(
                "fd:",
                mode="r",
                format=container,
                options={"max_pixels": str(self._limits.max_pixels)},
                container_options={
                    "fd": str(fd),
                    "protocol_whitelist": "fd",
                    "format_whitelist": FORMATS,
                    "enable_drefs": "0",
                },
                metadata_errors="replace",
                hwaccel=self._hardware.accel if self._hardware is not None else None,
            )
        except (MemoryError, av.error.MemoryError) as error:
            self._messages.close()
            raise too_much_memory(self._limits) from error
        except (av.error.FFmpegError, ValueError) as error:
            quote, said = self._messages.quote(), self._messages.since(0) or str(error)
            self._messages.close()
            if self._hardware is not None:
                raise HardwareDeclinedError(f"it cannot be opened for a GPU: {said}") from error
            if self._ending.end is End.MISSING:
                raise _truncated(self._ending.reason, 0) from error
            raise InputError(
                Fault.NOT_A_VIDEO,
                f"this is no video that can be read{quote}",
                hint="Known are MP4, MOV, Matroska, WebM, AVI, MPEG-TS, MPEG-PS, FLV, ASF, Ogg, "
                "MXF, DV and GIF",
            ) from error
        except RuntimeError as error:
            self._messages.close()
            if self._hardware is None:
                raise
            raise HardwareDeclinedError("no stream of it is for a GPU") from error

    def _choose_stream(self) -> VideoStream:
        streams = [s for s in self._container.streams.video if not _is_picture(s)]
        if not streams:
            if self._ending.end is End.MISSING:
                raise _truncated(self._ending.reason, 0)
            raise InputError(
                Fault.NO_VIDEO_STREAM,
                "there is no video in this file",
                hint="Only sound, subtitles or a cover picture were found",
            )
        best = self._container.streams.best("video")
        stream = next((s for s in streams if s is best), streams[0])
        context = stream.codec_context
        if context is None:
            raise InputError(
                Fault.NO_FRAMES, "there is a video stream, but no decoder for its codec"
            )
        self._check_size(context.width, context.height)
        context.options = {**context.options, "max_pixels": str(self._limits.max_pixels)}
        # Frame threads would lose the mark of a damaged last picture, and report errors late.
        context.thread_type = "SLICE"
        context.thread_count = self._limits.threads
        return stream

    def _first_frame(self) -> tuple[VideoFrame, float]:
        first = next(self._frames, None)
        if first is None:
            self._refuse_if_said_too_large()
            raise InputError(
                Fault.NO_FRAMES,
                f"there is a video stream ({self._stream.codec.name}) without any frame"
                + self._messages.quote(),
            )
        return first

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._limits.max_pixels:
            raise InputError(
                Fault.TOO_LARGE,
                f"a picture has {width:,} by {height:,} pixels; {self._limits.max_pixels:,} are "
                "allowed",
                hint="Raise the limit, or scale the video down",
            )

    def _refuse_if_said_too_large(self) -> None:
        """A decoder that meets too large a picture leaves its size only in the log."""
        for _, text in self._messages.lines:
            if found := _TOO_LARGE_SAYS.search(text):
                self._check_size(int(found[1]), int(found[2]))

    def _describe(self, first: VideoFrame, start: float, orientation: Orientation) -> VideoInfo:
        stream = self._stream
        width, height = first.width, first.height
        if orientation.transposed:
            width, height = height, width
        duration: float | None = None
        if stream.duration is not None and stream.time_base is not None:
            duration = float(stream.duration * stream.time_base)
        elif self._container.duration is not None:
            duration = self._container.duration / 1e6
        return VideoInfo(
            width=width,
            height=height,
            fps=self._fps,
            start=start,
            duration=duration if duration is not None and duration > 0 else None,
            frames=stream.frames if stream.frames > 0 else None,
            container=self._container.format.name,
            codec=stream.codec.name,
            pixel_format=first.format.name,
            rotation=orientation.degrees,
            decoder=DecodedBy.CPU if self._hardware is None else DecodedBy.NVDEC,
        )

    # -- decoding ---------------------------------------------------------------------------

    def _decoded(self) -> Iterator[tuple[VideoFrame, float]]:
        """Whole frames and their times; raises `InputError` at the first that is not whole."""
        begins_anywhere = self._container.format.name in _BEGINS_ANYWHERE
        begun = not begins_anywhere
        packets = self._packets()
        for packet in packets:
            begun |= packet is not None and packet.is_keyframe
            if not begun:
                continue
            # In a broadcast, the flag tells of missing packets, also where recordings were joined.
            if packet is not None and packet.is_corrupt and not begins_anywhere:
                self._fail_at_frame(packets)
            try:
                pictures = self._decode(packet)
            except (MemoryError, av.error.MemoryError) as error:
                raise too_much_memory(self._limits) from error
            except av.error.FFmpegError:
                self._fail_at_frame(packets)
            for frame in pictures:
                if frame.is_corrupt:
                    self._fail_at_frame(packets)
                self._check_size(frame.width, frame.height)
                time = self._time(frame)
                self._count += 1
                self._progress()
                yield frame, time
        self._refuse_if_short()

    def _decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        if self._hardware is None:
            return self._stream.decode(packet)
        try:
            pictures = self._hardware.decode(self._stream, packet)
        except av.error.FFmpegError as error:
            said = self._messages.since(self._complaints) or str(error)
            raise HardwareFailedError(f"FFmpeg: {said}") from error
        if said := self._messages.since(self._complaints):
            raise HardwareFailedError(f"FFmpeg: {said}")
        return pictures

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """The packets of the video stream, and at last None, to empty the decoder."""
        try:
            for packet in self._container.demux(self._stream):
                self._progress()
                if packet.size == 0:  # "the last frame again" in AVI; a decoder would take it for
                    continue  # the end
                if packet.time_base and packet.pts is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self._last_end = max(self._last_end, end)
                yield packet
            yield None
        except (MemoryError, av.error.MemoryError) as error:
            raise too_much_memory(self._limits) from error
        except OSError as error:
            if error.errno == errno.EIO and self._ending.end is not End.MISSING:
                raise  # the disk, not the file
            self._fail_at_frame(iter(()))
        except av.error.FFmpegError:
            self._fail_at_frame(iter(()))

    def _time(self, frame: VideoFrame) -> float:
        """Seconds on the container's clock.

        AVI knows no times, only the order in which frames are stored. Where that is not the order
        of showing, and where any other container leaves out a time that FFmpeg cannot make up,
        frames follow each other at the declared rate.
        """
        if frame.time_base is None:  # PyAV forgets it at the very end
            frame.time_base = self._stream.time_base
        if frame.pts is not None and frame.time_base is not None and not self._only_counted:
            self._last_time = float(frame.pts * frame.time_base)
        elif self._count and self._fps > 0:
            self._last_time += 1 / self._fps
        return self._last_time

    def _paint(self, frame: VideoFrame, out: NDArray[np.uint8]) -> None:
        frame = self._turner.turn(frame)
        height, width = out.shape[:2]
        # What says nothing, or something odd, about its colours is taken as BT.601, as by FFmpeg.
        source = None if frame.colorspace in _CONVERTIBLE else Colorspace.ITU601
        rgb = self._reformatter.reformat(frame, width, height, "rgb24", source, threads=1)
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(height, plane.line_size)
        np.copyto(out, rows[:, : 3 * width].reshape(height, width, 3))

    # -- judging ----------------------------------------------------------------------------

    def _refuse_if_cut(self) -> None:
        """Fail at once when the file is known to be cut, rather than after an hour of work."""
        if self._ending.end is not End.MISSING:
            self._ending = self._samples_behind_the_end() or self._ending
        if self._ending.end is End.MISSING:
            self._fail_truncated(self._count_readable())

    def _samples_behind_the_end(self) -> Ending | None:
        """An MP4 index names the place of every sample, so it knows better than the boxes."""
        if not self._container.format.name.startswith("mov"):
            return None
        last = max((entry.pos + entry.size for entry in self._stream.index_entries), default=0)
        if last <= self._size:
            return None
        reason = f"its index reaches to byte {last:,}, the file has {self._size:,}"
        return Ending(End.MISSING, reason)

    def _count_readable(self) -> int:
        try:
            for _ in self._frames:
                pass
        except InputError as error:
            return error.readable_frames or self._count
        return self._count

    def _fail_at_frame(self, rest: Iterator[Packet[VideoStream] | None]) -> NoReturn:
        """Fail where the picture after the ones that were given cannot be decoded.

        Args:
            rest: the packets that follow; they tell the end of a cut file from its middle.
        """
        self._refuse_if_said_too_large()
        at_end = self._ending.end is End.UNKNOWN and not any(rest)
        readable = self._count + self._drain()
        if self._ending.end is End.MISSING or at_end:
            self._fail_truncated(readable)
        raise InputError(
            Fault.DAMAGED,
            f"the picture after frame {readable:,} (at about {self._last_time:.2f} s) cannot be "
            "decoded" + self._messages.quote(),
            hint=_HINT_DAMAGED,
            readable_frames=readable,
        )

    def _drain(self) -> int:
        """How many whole pictures the decoder still holds back, to put them into order."""
        try:
            return sum(not frame.is_corrupt for frame in self._stream.decode(None))
        except (av.error.FFmpegError, MemoryError):
            return 0

    def _refuse_if_short(self) -> None:
        """What only the end can tell."""
        if ending := self._samples_behind_the_end():  # fragments are indexed as they are reached
            self._ending = ending
            self._fail_truncated(self._count)
        declared = self._container.duration
        if self._container.format.name == "mxf" and declared:
            end = declared / 1e6 + (self._container.start_time or 0) / 1e6
            if self._last_end < end - _DURATION_SLACK:
                reason = f"it should last until {end:.1f} s, and ends at {self._last_end:.1f} s"
                self._ending = Ending(End.MISSING, reason)
                self._fail_truncated(self._count)
        for source, text in self._messages.lines:
            if any(source == part and phrase in text for part, phrase in _SKIPPED):
                raise InputError(
                    Fault.DAMAGED,
                    f"a part of the file cannot be read (FFmpeg: {text}); {frames(self._count)} "
                    "could be read",
                    hint=_HINT_DAMAGED,
                    readable_frames=self._count,
                )

    def _fail_truncated(self, readable: int) -> NoReturn:
        reason = self._ending.reason or "its last picture is not complete"
        raise _truncated(reason, readable, self._stream.frames)


def _truncated(reason: str, readable: int, declared: int = 0) -> InputError:
    could = f"{readable:,} of {frames(declared)}" if declared else frames(readable)
    return InputError(
        Fault.TRUNCATED,
        f"the file ends too early: {reason}; {could} could be read",
        hint=_HINT_COPY,
        readable_frames=readable,
    )


def frames(count: int) -> str:
    """A number of frames in words."""
    return "1 frame" if count == 1 else f"{count:,} frames"


def too_much_memory(limits: DecodeLimits) -> InputError:
    """The failure of a video that needs more memory than `limits` give."""
    return InputError(
        Fault.TOO_LARGE,
        f"decoding needs more than {limits.memory_bytes >> 20:,} MiB of memory",
        hint="Raise the limit, or scale the video down",
    )


def _declared_fps(stream: VideoStream) -> float:
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    sane = (float(rate) for rate in rates if rate and 1 / SANE_FPS <= rate <= SANE_FPS)
    return next(sane, math.nan)


def _read_at(fd: int, at: int, count: int) -> bytes:
    return os.pread(fd, count, at)


def _is_picture(stream: VideoStream) -> bool:
    """Whether a stream is the cover of an album."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


class _Messages(logging.Handler):
    """What FFmpeg logged as errors: the last lines, and those that mean more than they say."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._last: deque[tuple[str, str]] = deque(maxlen=8)
        self._kept: dict[tuple[str, str], None] = {}
        self.count = 0
        logger = logging.getLogger("libav")
        logger.propagate = False
        logger.addHandler(self)
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)  # it would tell of one video's repetitions in the next

    @property
    def lines(self) -> list[tuple[str, str]]:
        """Which part of FFmpeg said it, and what."""
        return [*self._kept, *self._last]

    def emit(self, record: logging.LogRecord) -> None:
        line = (record.name.removeprefix("libav."), record.getMessage().strip())
        if not line[1]:  # the end of a line that was said in parts
            return
        self._last.append(line)
        self.count += 1
        if any(line[0] == part and phrase in line[1] for part, phrase in _SKIPPED):
            self._kept.setdefault(line)
            if len(self._kept) > 8:
                del self._kept[line]

    def close(self) -> None:
        logging.getLogger("libav").removeHandler(self)
        super().close()

    def since(self, count: int) -> str:
        """What was said after so many lines; no more than is kept of it."""
        new = [text for _, text in self._last][count - self.count :] if count < self.count else []
        return "; ".join(new)

    def quote(self) -> str:
        """What FFmpeg said last, to be added to a message; empty where it said nothing."""
        worth = [t for _, t in self._last if not any(word in t for word in _NOT_WORTH_QUOTING)]
        return f" (FFmpeg: {worth[-1]})" if worth else ""


def decoders(names: Iterable[str]) -> dict[str, bool]:
    """Which of these codecs can be decoded, by FFmpeg's names."""
    found = {}
    for name in names:
        try:
            av.Codec(name, "r")
        except av.codec.codec.UnknownCodecError:
            found[name] = False
        else:
            found[name] = True
    return found
