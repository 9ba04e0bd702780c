"""Videos as arrays, decoded in a process of their own.

A decoder that crashes, hangs or eats memory is killed, and harms only its own video. The process
is started for the first video and used again for the next.

    with Decoder(limits=DecodeLimits(), stall_seconds=60, clock=SystemClock()) as decoder:
        with decoder.open(path) as video:
            for chunk in video.chunks(32):
                work_on(chunk.images, chunk.times)
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import re
import select
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NoReturn, Self

import numpy as np

from posewatch.base.errors import (
    DecoderCrashedError,
    Fault,
    HardwareFailedError,
    InputError,
    MissingError,
    PosewatchError,
)
from posewatch.vision import decoder_messages as messages
from posewatch.vision.video import DecodedBy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from posewatch.base.clock import Clock
    from posewatch.vision.video import DecodeLimits, VideoInfo

_POLL_MS = 100
_STDERR_TAIL = 1 << 14
_LAST_WORDS = 600  # characters of what a dying process wrote


class DecodingCancelledError(PosewatchError):
    """`Decoder.cancel` was called."""


class DecoderStartError(PosewatchError):
    """The decoder process does not even start; no video is to blame."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some frames in a row.

    Attributes:
        images: (n, H, W, 3) uint8, RGB, read-only. They lie in the ring: valid until the next
            chunk is asked for.
        times: (n,) float64, seconds since the first frame of the video.
    """

    images: NDArray[np.uint8]
    times: NDArray[np.float64]


class Video:
    """An open video; made by `Decoder.open`.

    Attributes:
        info: what is known about it beforehand.
    """

    def __init__(self, decoder: Decoder, info: VideoInfo) -> None:
        self.info = info
        self._decoder = decoder
        self._started = False

    def chunks(self, max_frames: int) -> Iterator[Chunk]:
        """Every frame, in chunks of at most `max_frames`; fewer where the ring has less room.

        While one chunk is worked on, the next is being decoded. May be called once.

        Raises:
            InputError: the video cannot be decoded further. Frames before the fault were given.
            DecoderCrashedError: the decoder process died; also when this is the video's fault.
            HardwareFailedError: any of that on a GPU. None of the frames counts: read the video
                again, with `Decoder.fallback`.
            DecodingCancelledError: see `Decoder.cancel`.
        """
        if self._started:
            raise RuntimeError("a video is read once")
        if max_frames < 1:
            raise ValueError(f"a chunk has one frame at least, not {max_frames}")
        self._started = True
        return self._decoder._chunks(self.info, max_frames)  # noqa: SLF001  # two halves of one


class Decoder:
    """Decodes one video at a time; several of them work side by side.

    Only `cancel` may be called from another thread than the one that reads the video.

    Args:
        limits: what one video may cost.
        stall_seconds: how long the decoder process may show no progress before it is killed.
        clock: measures that time.
        hardware: a GPU that decodes what it can, as `decoder_process` takes it; none if empty.

    Attributes:
        fallback: why the CPU is to decode the next videos all the same; empty if it is not.
    """

    def __init__(
        self, *, limits: DecodeLimits, stall_seconds: float, clock: Clock, hardware: str = ""
    ) -> None:
        self.fallback = ""
        self._hardware = hardware
        self._on_hardware = False
        self._limits = limits
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._ring = _Ring(limits.ring_bytes)
        self._lock = threading.Lock()  # guards the three below, for `cancel`
        self._child: _Child | None = None
        self._reading = False
        self._cancelled = False
        self._frames = 0
        self._between_videos = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def open(self, path: Path) -> Iterator[Video]:
        """Open a local file and decode its first frame.

        A video that is left before its end costs the decoder process, which is killed.

        Raises:
            InputError: it is no whole video; see `vision.decode` for what is found when.
            MissingError: there is no such file.
            DecoderCrashedError: the decoder process died.
            HardwareFailedError: it died or stalled while it tried a GPU.
            DecodingCancelledError: see `cancel`.
        """
        fd = _open_regular(path)
        with self._lock:
            self._reading, self._cancelled = True, False
        try:
            self._frames = 0
            self._between_videos = False
            child = self._running_child()
            question = {"kind": "open", "fallback": self.fallback}
            try:
                messages.send(child.channel, question, [fd])
            except (BrokenPipeError, ConnectionResetError):
                # It died since the last video, which can say nothing about this one.
                self._stop_child()
                child = self._running_child()
                self._send(child, question, fd)
            self._on_hardware = bool(self._hardware) and not self.fallback
            message = self._receive(child)
            with self._sensible():
                info = messages.parse_info(message, self._limits)
                if info.decoder is not DecodedBy.CPU and not self._on_hardware:
                    raise ValueError(f"{info.decoder} was not asked")
            self._on_hardware = info.decoder is not DecodedBy.CPU
            yield Video(self, info)
        finally:
            os.close(fd)
            self._on_hardware = False
            with self._lock:
                self._reading = False
            if not self._between_videos:
                self._stop_child()

    def cancel(self) -> None:
        """Stop the video that is being read, from any thread: its reader gets an error at once.

        Does nothing between two videos; the next one is not harmed.
        """
        with self._lock:
            if self._reading:
                self._cancelled = True
                if self._child is not None:
                    self._child.kill()

    def close(self) -> None:
        """End the decoder process. Images that were given stay readable, not meaningful."""
        self._stop_child()
        self._ring.close()

    # -- one video --------------------------------------------------------------------------

    def _chunks(self, info: VideoInfo, max_frames: int) -> Iterator[Chunk]:
        layout = messages.Layout.fitting(info, max_frames, self._limits.ring_bytes)
        views = self._ring.views(layout)
        child = self._running_child()
        start = {"kind": "start", "frames": layout.frames, "ring_bytes": self._ring.size}
        if child.ring is self._ring.memory:  # mapping it again would touch every page again
            self._send(child, start)
        else:
            self._send(child, start, self._ring.fd)
            child.ring = self._ring.memory
        last = False
        index = 0
        while not last:
            message = self._receive(child)
            with self._sensible():
                count, last = messages.parse_chunk(message, layout)
            self._between_videos = last
            self._frames += count
            if count:
                images, times = views[index][0], views[index][1][:count].copy()
                with self._sensible():
                    if not np.isfinite(times).all():
                        raise ValueError("there are frames without a time")
                yield Chunk(images[:count], times)
            if not last:
                self._send(child, {"kind": "next"})
            index = (index + 1) % messages.BUFFERS

    def _receive(self, child: _Child) -> messages.Message:
        """The next message, unless the process died, stalls, or says that the video is at fault."""
        deadline = self._clock.monotonic() + self._stall_seconds
        progress = child.progress
        while not child.wait_readable(_POLL_MS):
            now = self._clock.monotonic()
            if child.progress != progress:
                progress = child.progress
                deadline = now + self._stall_seconds
            elif now >= deadline:
                self._stop_child()
                stalled = InputError(
                    Fault.STALLED,
                    f"the decoder made no progress for {self._stall_seconds:g} s, "
                    f"after {self._frames:,} frames",
                    readable_frames=self._frames,
                )
                raise self._excused(stalled)
        try:
            with self._sensible():
                message = messages.receive(child.channel)
        except (EOFError, ConnectionResetError):
            self._died(child)
        if message["kind"] == "hardware" and self._on_hardware:
            reason = str(message.get("reason") or "it does not say why")
            raise HardwareFailedError(reason[:_LAST_WORDS])
        if message["kind"] != "fault":
            return message
        with self._sensible():
            fault = messages.parse_fault(message)
            self._between_videos = not message["last_words"]
        raise fault

    def _send(self, child: _Child, message: messages.Message, *fds: int) -> None:
        try:
            messages.send(child.channel, message, fds)
        except (BrokenPipeError, ConnectionResetError):
            self._died(child)

    def _died(self, child: _Child) -> NoReturn:
        self._stop_child()
        if self._cancelled:
            raise DecodingCancelledError("decoding was cancelled")
        last_words = f"; its last words: {child.last_words}" if child.last_words else ""
        crashed = DecoderCrashedError(
            f"the decoder process died ({child.cause_of_death}) after {self._frames:,} frames"
            + last_words
        )
        raise self._excused(crashed)

    def _excused(self, error: PosewatchError) -> PosewatchError:
        """The same error, but a video is not blamed for what happens on a GPU."""
        return HardwareFailedError(error.message) if self._on_hardware else error

    @contextmanager
    def _sensible(self) -> Iterator[None]:
        """A process that talks nonsense is as good as dead."""
        try:
            yield
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            self._stop_child()
            mad = DecoderCrashedError(f"the decoder process makes no sense: {error}")
            raise self._excused(mad) from error

    # -- the process ------------------------------------------------------------------------

    def _running_child(self) -> _Child:
        with self._lock:
            if self._cancelled:
                raise DecodingCancelledError("decoding was cancelled")
            if self._child is not None:
                return self._child
            child = self._child = _Child(self._limits, self._hardware)
        try:
            self._receive(child)  # "ready"
        except (DecoderCrashedError, InputError) as error:
            raise DecoderStartError(
                f"the decoder process does not start: {error.message}",
                hint="Is the memory limit too low, or the installation broken?",
            ) from error
        return child

    def _stop_child(self) -> None:
        with self._lock:
            child, self._child = self._child, None
        self._between_videos = True
        if child is not None:
            child.stop()


def _open_regular(path: Path) -> int:
    """A file descriptor; never waits, whatever has the name of a file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # before opening, which may have effects
            raise InputError(Fault.NOT_A_FILE, "this is no file but a folder, a pipe or a device")
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError as error:
        raise InputError(
            Fault.DENIED, "there is no permission to read this file", hint="Change its permissions"
        ) from error
    except FileNotFoundError as error:
        raise MissingError(f"{path} is not there") from error
    if os.fstat(fd).st_size == 0:
        os.close(fd)
        raise InputError(Fault.EMPTY, "the file is empty")
    return fd


class _Ring:
    """Shared memory for frames, which its other holder cannot make smaller under our feet."""

    def __init__(self, usual_bytes: int) -> None:
        self._usual_bytes = usual_bytes
        self.size = 0
        self.memory: mmap.mmap | None = None
        self.fd = -1

    def views(self, layout: messages.Layout) -> list[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
        """Pictures and times of each buffer; read-only."""
        needed = layout.ring_bytes
        memory = self.memory
        if memory is None or needed > self.size or self.size > self._usual_bytes >= needed:
            self.close()
            self.size = max(needed, self._usual_bytes)
            self.fd = _shared_memory("posewatch-frames", self.size)
            memory = self.memory = mmap.mmap(self.fd, self.size, prot=mmap.PROT_READ)
        return [layout.views(memory, index) for index in range(messages.BUFFERS)]

    def close(self) -> None:
        """Let go. The memory lives for as long as somebody looks at it."""
        self.memory = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


_ENVIRON = re.compile(
    r"(CUDA_DEVICE_ORDER|CUDA_VISIBLE_DEVICES|HOME|LANG|LC_.*|LD_LIBRARY_PATH|PATH|PYTHON.*|TMPDIR|TZ)$"
)
"""What the process gets of our environment, in which there may be keys of a bucket."""


class _Child:
    """The decoder process and what connects it to us."""

    def __init__(self, limits: DecodeLimits, hardware: str) -> None:
        self.last_words = ""
        self.ring: mmap.mmap | None = None  # the one that it was given last
        self._status: int | None = None
        self._stderr = os.memfd_create("posewatch-decoder-stderr", os.MFD_CLOEXEC)
        progress = _shared_memory("posewatch-progress", mmap.PAGESIZE)
        self._progress = mmap.mmap(progress, mmap.PAGESIZE, prot=mmap.PROT_READ)
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            # -P: nothing is imported from the current directory, which may be anybody's
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                [
                    *(sys.executable, "-P", "-m", "posewatch.vision.decoder_process"),
                    *(str(theirs.fileno()), str(progress), json.dumps(asdict(limits)), hardware),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env={name: value for name, value in os.environ.items() if _ENVIRON.match(name)},
                pass_fds=(theirs.fileno(), progress),
                process_group=0,
            )
        except BaseException:
            self._close_fds()
            raise
        finally:
            theirs.close()
            os.close(progress)
        self._poll = select.poll()
        self._poll.register(self.channel, select.POLLIN)

    @property
    def progress(self) -> int:
        """Counts up while packets and frames are read."""
        (count,) = struct.unpack_from("=Q", self._progress)
        return int(count)

    def wait_readable(self, milliseconds: int) -> bool:
        """Whether a message, or the end, is there."""
        return bool(self._poll.poll(milliseconds))

    def kill(self) -> None:
        """End it at once, from any thread; `stop` must still be called."""
        self._process.kill()

    def stop(self) -> None:
        """End it, wait for it, and let everything go."""
        if self._process.poll() is None:
            self._process.kill()
        self._status = self._process.wait()
        self.last_words = self._read_last_words()
        self._close_fds()

    def _read_last_words(self) -> str:
        """What tells most: the beginning of a report of `faulthandler`, or the end of the rest."""
        start = max(0, os.fstat(self._stderr).st_size - _STDERR_TAIL)
        tail = os.pread(self._stderr, _STDERR_TAIL, start)
        words = " ".join(tail.decode(errors="replace").split())
        crash = words.rfind("Fatal Python error")
        return words[crash:][:_LAST_WORDS] if crash >= 0 else words[-_LAST_WORDS:]

    @property
    def cause_of_death(self) -> str:
        """The signal that killed it, or its exit status."""
        if self._status is not None and self._status < 0:
            with suppress(ValueError):
                return signal.Signals(-self._status).name
        return f"exit status {self._status}"

    def _close_fds(self) -> None:
        self.channel.close()
        self._progress.close()
        os.close(self._stderr)


def _shared_memory(name: str, size: int) -> int:
    """A memory file of a fixed size."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd
