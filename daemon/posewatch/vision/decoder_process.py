"""The decoder process: `python -m posewatch.vision.decoder_process CHANNEL PROGRESS LIMITS GPU`.

It is given open files, one after the other, decodes them into shared memory, and knows nothing
else: no path, no folder. `CHANNEL` is a socket and `PROGRESS` a page of shared memory, both as file
descriptors; `LIMITS` is `DecodeLimits` in JSON; `GPU` is `nvdec:NUMBER`, or empty where the CPU
decodes (or `fake:SCRIPT`, see `hardware_fake`). It ends when the channel does.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import mmap
import os
import resource
import select
import signal
import socket
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from posewatch.base.errors import (
    HardwareDeclinedError,
    HardwareFailedError,
    InputError,
    PosewatchError,
)
from posewatch.vision import decoder_messages as messages
from posewatch.vision.decode import VideoReader, too_much_memory
from posewatch.vision.hardware import Nvdec
from posewatch.vision.hardware_fake import FakeNvdec
from posewatch.vision.video import DecodedBy, DecodeLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from posewatch.vision.video import VideoInfo

_STDERR_BYTES = 1 << 20


def main(arguments: list[str]) -> None:
    """Serve the owner until it is gone."""
    channel = socket.socket(fileno=int(arguments[0]))
    limits = DecodeLimits(**json.loads(arguments[2]))
    hardware = _hardware(arguments[3])
    _protect(limits, resource.RLIMIT_AS if hardware is None else resource.RLIMIT_DATA)
    threading.Thread(target=_end_with, args=(channel.fileno(),), daemon=True).start()
    progress = memoryview(mmap.mmap(int(arguments[1]), mmap.PAGESIZE)).cast("Q")

    def tick() -> None:
        progress[0] += 1

    server = _Server(channel, limits, hardware, tick)
    try:
        messages.send(channel, {"kind": "ready"})
        while server.serve():
            # PyAV ties a frame whose side data was looked at into a knot with them; it is as large
            # as a picture, and Python would not look for it soon.
            gc.collect()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    # Its last words are not lost only if the owner reads them before this end is closed.
    threading.Event().wait()


def _hardware(name: str) -> Nvdec | None:
    kind, _, rest = name.partition(":")
    if kind == "fake":
        return FakeNvdec(rest)
    return Nvdec(int(rest)) if name else None


def _protect(limits: DecodeLimits, memory: int) -> None:
    """Keep harm inside: memory, core files, endless output; signals are the owner's business.

    Args:
        limits: how much memory.
        memory: what is counted. CUDA reserves more addresses than any machine has memory
            (`RLIMIT_AS`), and writes to few of them (`RLIMIT_DATA`).
    """
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(memory, (limits.memory_bytes, limits.memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_STDERR_BYTES, _STDERR_BYTES))
    # A service manager and a terminal send these to every process; the owner may still want to
    # finish its videos, and closes the channel when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _end_with(channel: int) -> None:
    """End this process when the owner is gone, even while a decoder never returns.

    (`PR_SET_PDEATHSIG` would do so when the owner's *thread* ends.)
    """
    poll = select.poll()
    poll.register(channel, select.POLLRDHUP)
    poll.poll()
    os._exit(0)


class _Server:
    """Answers the owner, video after video."""

    def __init__(
        self,
        channel: socket.socket,
        limits: DecodeLimits,
        hardware: Nvdec | None,
        tick: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._limits = limits
        self._hardware = hardware
        self._tick = tick
        self._ring: mmap.mmap | None = None

    def serve(self) -> bool:
        """Answer one message; whether this process is fit for another video."""
        message, file = messages.receive_with_file(self._channel)
        try:
            if message["kind"] != "open":  # "next" for a chunk of a video that has ended since
                return True
            reader, info = self._open(file, message["fallback"])
            try:
                messages.send(self._channel, messages.info_message(info))
                self._decode(reader)
            except (InputError, HardwareFailedError, MemoryError) as error:
                if info.decoder is DecodedBy.CPU:
                    raise
                messages.send(self._channel, messages.hardware_message(_reason(error)))
                return False
            finally:
                reader.close()
        except InputError as error:
            out_of_memory = isinstance(error.__cause__, MemoryError)
            fault = messages.fault_message(error, last_words=out_of_memory)
            messages.send(self._channel, fault)
            return not out_of_memory
        except HardwareFailedError as error:  # at the first picture
            messages.send(self._channel, messages.hardware_message(_reason(error)))
            return False
        except MemoryError:
            fault = messages.fault_message(too_much_memory(self._limits), last_words=True)
            messages.send(self._channel, fault)
            return False
        finally:
            if file >= 0:
                os.close(file)
        return True

    def _open(self, file: int, fallback: str) -> tuple[VideoReader, VideoInfo]:
        """On the GPU, if there is one that takes it and no reason not to; else on the CPU."""
        if self._hardware is not None and not fallback:
            try:
                reader = VideoReader(file, self._limits, self._tick, self._hardware)
            except (InputError, HardwareDeclinedError, MemoryError) as error:
                fallback = _reason(error)
                os.lseek(file, 0, os.SEEK_SET)
            else:
                return reader, reader.info
        reader = VideoReader(file, self._limits, self._tick)
        return reader, replace(reader.info, fallback=fallback)

    def _decode(self, reader: VideoReader) -> None:
        """Fill one buffer after the other, never more of them than are free."""
        message, shared = messages.receive_with_file(self._channel)
        if shared >= 0:  # another ring than last time
            self._ring = mmap.mmap(shared, message["ring_bytes"])
            os.close(shared)
        if self._ring is None:
            raise EOFError
        layout = messages.Layout(message["frames"], reader.info.height, reader.info.width)
        views = [layout.views(self._ring, index) for index in range(messages.BUFFERS)]
        free = messages.BUFFERS
        index = 0
        last = False
        while not last:
            while free == 0:
                messages.receive_with_file(self._channel)  # "next" is all that can come
                free += 1
            images, times = views[index]
            count = 0
            fault: InputError | None = None
            while count < layout.frames and not last:
                try:
                    time = reader.read_into(images[count])
                except InputError as error:
                    fault = error
                    break
                self._tick()
                if time is None:
                    last = True
                else:
                    times[count] = time
                    count += 1
            if count or last:
                messages.send(self._channel, messages.chunk_message(count, last=last))
            if fault is not None:
                raise fault
            free -= 1
            index = (index + 1) % messages.BUFFERS


def _reason(error: Exception) -> str:
    return error.message if isinstance(error, PosewatchError) else type(error).__name__


if __name__ == "__main__":
    main(sys.argv[1:])
