"""What the decoder process and its owner say to each other.

One message is one packet of a `SOCK_SEQPACKET` socket: a JSON object with a `kind`, and file
descriptors beside it. Pictures travel through shared memory (`Layout`). Nothing that the decoder
process says is trusted further than its own video: see `parse_info`.

    owner                        decoder process
    open (file)            →
                           ←     info, or fault
    start (layout, ring)   →
                           ←     chunk (frames, last?) or fault, up to `BUFFERS` ahead
    next                   →     the oldest buffer is free again
"""

from __future__ import annotations

import json
import math
import socket
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from posewatch.base.errors import Fault, InputError
from posewatch.vision.video import DecodeLimits, VideoInfo

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


def receive(channel: socket.socket) -> tuple[Message, list[int]]:
    """The next message and the file descriptors that came with it.

    Raises:
        EOFError: the other side is gone.
        ValueError: what came is no message.
    """
    data, fds, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, 2)
    if not data:
        raise EOFError
    message = json.loads(data)
    if not isinstance(message, dict) or not isinstance(message.get("kind"), str):
        raise ValueError(f"no message: {data[:80]!r}")  # noqa: TRY004  # its value, not its type
    return message, fds


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
    """The error that `fault_message` was made from."""
    return InputError(
        Fault(message["fault"]),
        str(message["message"]),
        hint=str(message["hint"]),
        readable_frames=_whole(message["readable_frames"]),
    )


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
    )


def _whole(value: Any) -> int | None:  # noqa: ANN401  # it comes out of JSON
    return None if value is None else int(value)
