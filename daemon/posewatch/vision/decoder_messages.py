"""What the decoder process and its owner say to each other.

One message is one packet of a `SOCK_SEQPACKET` socket: a JSON object with a `kind`, and file
descriptors beside it. Pictures travel through shared memory (`Layout`). Nothing that the decoder
process says is trusted further than its own video: see `parse_info`.

    owner                        decoder process
                           ←     ready, once
    open (file)            →
                           ←     info, or fault
    start (layout, ring)   →
                           ←     chunk (frames, last?) or fault, up to `BUFFERS` ahead
    next                   →     the oldest buffer is free again

Instead of a fault, where a GPU decodes: hardware. The process then ends, for what a GPU has failed
in may not be fit for another video.
"""

from __future__ import annotations

import json
import math
import socket
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from posewatch.base.errors import Fault, InputError
from posewatch.vision.video import DecodedBy, DecodeLimits, VideoInfo

if TYPE_CHECKING:
    import mmap
    from collections.abc import Sequence

    from numpy.typing import NDArray

BUFFERS = 2
"""Chunks in the ring: one that is worked on, and one that is being filled."""

_MESSAGE_BYTES = 1 << 16
_PAGE = 4096

Message = dict[str, Any]


def send(channel: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message; `fds` are duplicated into the other process."""
    socket.send_fds(channel, [json.dumps(message).encode()], list(fds))


def receive(channel: socket.socket) -> Message:
    """The next message, in the owner.

    Raises:
        EOFError: the decoder process is gone.
        ValueError: what came is no message.
    """
    return _parse(channel.recv(_MESSAGE_BYTES))


def receive_with_file(channel: socket.socket) -> tuple[Message, int]:
    """The next message and the file descriptor beside it (or -1), in the decoder process.

    Raises:
        EOFError: the owner is gone.
    """
    data, fds, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, 1)
    return _parse(data), fds[0] if fds else -1


def _parse(data: bytes) -> Message:
    if not data:
        raise EOFError
    try:
        message = json.loads(data)
    except RecursionError as error:
        raise ValueError("no message: nested too deep") from error
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise ValueError(f"no message: {data[:80]!r}")  # noqa: TRY004  # its value, not its type
    return message


@dataclass(frozen=True, slots=True)
class Layout:
    """Where pictures and times lie in the ring: `BUFFERS` times (times, pictures).

    Attributes:
        frames: that one buffer holds at most.
        height: of a picture.
        width: of a picture.
    """

    frames: int
    height: int
    width: int

    @staticmethod
    def fitting(info: VideoInfo, max_frames: int, ring_bytes: int) -> Layout:
        """The largest chunks of at most `max_frames` that the ring has room for; one at least."""
        picture = info.width * info.height * 3 + 8
        room = (ring_bytes // BUFFERS - 2 * _PAGE) // picture
        return Layout(max(1, min(max_frames, room)), info.height, info.width)

    @property
    def _buffer_bytes(self) -> int:
        return _pages(8 * self.frames) + _pages(self.frames * self.height * self.width * 3)

    @property
    def ring_bytes(self) -> int:
        """Size of the whole ring."""
        return BUFFERS * self._buffer_bytes

    def views(self, ring: mmap.mmap, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Pictures (frames, H, W, 3) and times (frames,) of one buffer, in place."""
        start = index * self._buffer_bytes
        shape = (self.frames, self.height, self.width, 3)
        times = np.ndarray((self.frames,), np.float64, ring, start)
        return np.ndarray(shape, np.uint8, ring, start + _pages(8 * self.frames)), times


def _pages(count: int) -> int:
    return -(-count // _PAGE) * _PAGE


def fault_message(error: InputError, *, last_words: bool = False) -> Message:
    """An error as a message; with `last_words` the process ends after it."""
    return {
        "kind": "fault",
        "fault": error.fault.value,
        "message": error.message,
        "hint": error.hint,
        "readable_frames": error.readable_frames,
        "last_words": last_words,
    }


def parse_fault(message: Message) -> InputError:
    """The error that `fault_message` was made from.

    Raises:
        KeyError, TypeError, ValueError: it was made from none; so too below.
    """
    return InputError(
        Fault(message["fault"]),
        str(message["message"]),
        hint=str(message["hint"]),
        readable_frames=_whole(message["readable_frames"]),
    )


def hardware_message(reason: str) -> Message:
    """A GPU failed in the middle of a video."""
    return {"kind": "hardware", "reason": reason}


def info_message(info: VideoInfo) -> Message:
    """The answer to `open`."""
    return {"kind": "info", **asdict(info)}


def parse_info(message: Message, limits: DecodeLimits) -> VideoInfo:
    """The video that `info_message` was made from.

    Raises:
        ValueError: the numbers cannot be true. The owner reserves memory by them.
    """
    width, height = int(message["width"]), int(message["height"])
    if width < 1 or height < 1 or width * height > limits.max_pixels:
        raise ValueError(f"no size of a picture: {width} by {height}")
    start, fps = float(message["start"]), float(message["fps"])
    if not math.isfinite(start):
        raise ValueError(f"no time: {start}")
    return VideoInfo(
        width=width,
        height=height,
        fps=fps,
        start=start,
        duration=None if message["duration"] is None else float(message["duration"]),
        frames=_whole(message["frames"]),
        container=str(message["container"]),
        codec=str(message["codec"]),
        pixel_format=str(message["pixel_format"]),
        rotation=int(message["rotation"]),
        decoder=DecodedBy(message["decoder"]),
        fallback=str(message["fallback"]),
    )


def chunk_message(frames: int, *, last: bool) -> Message:
    """So many frames are in the next buffer; `last` of them all?"""
    return {"kind": "chunk", "frames": frames, "last": last}


def parse_chunk(message: Message, layout: Layout) -> tuple[int, bool]:
    """Number of frames, and whether they are the last ones.

    Raises:
        ValueError: it is no chunk, or one that the ring has no room for.
    """
    if message["kind"] != "chunk":
        raise ValueError(f"{message['kind']!r} came where a chunk was due")
    frames = int(message["frames"])
    if not 0 <= frames <= layout.frames:
        raise ValueError(f"{frames} frames in {layout.frames} places")
    return frames, bool(message["last"])


def _whole(value: Any) -> int | None:  # noqa: ANN401  # it comes out of JSON
    return None if value is None else int(value)
