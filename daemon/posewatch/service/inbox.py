"""What the loop is told, and the queue in which it arrives.

Anybody may put a message in, from any thread, and even inside of a signal handler: that is why
these are `SimpleQueue`s, whose `put` is reentrant. Only the loop takes messages out. What a signal
asks for overtakes everything: a tree of a hundred thousand videos that was moved in gives as many
hints, and nobody who asks for the end should wait for them.
"""

from __future__ import annotations

import queue
from dataclasses import dataclass
from enum import Enum, auto

from posewatch.base.errors import StorageError
from posewatch.base.metrics import HintSource
from posewatch.service.idler import Acted
from posewatch.watch.scan import Scan
from posewatch.worker.attempt import Ending


class Ask(Enum):
    """What a signal asks for, or a person who waits."""

    STOP = auto()
    RELOAD = auto()
    LOOK = auto()  # what stands in the folder; asked by whoever looks through the `Window`


@dataclass(frozen=True, slots=True)
class Hint:
    """Somebody saw that a file was written.

    Attributes:
        key: which.
        source: who saw it.
    """

    key: str
    source: HintSource = HintSource.INOTIFY


@dataclass(frozen=True, slots=True)
class Trouble:
    """The folder refuses a job something; None when it did not.

    Attributes:
        key: the video.
        error: what the folder said.
    """

    key: str
    error: StorageError | None


Message = Ask | Hint | Trouble | Scan | StorageError | Ending | Acted


class Inbox:
    """The queue, in order of arrival, but for what is asked: that comes first."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Ask] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[Message | None] = queue.SimpleQueue()

    def put(self, message: Message) -> None:
        """Put one in; never waits."""
        if isinstance(message, Ask):
            self._asked.put(message)
            self._told.put(None)  # wakes whoever waits
        else:
            self._told.put(message)

    def get(self, timeout: float) -> Message | None:
        """Take one out, or None when there was none for so many seconds."""
        try:
            return self._asked.get_nowait()
        except queue.Empty:
            pass
        try:
            message = self._told.get(timeout=timeout)
        except queue.Empty:
            return None
        return self.get(0.0) if message is None else message

    def qsize(self) -> int:
        """How many messages there are, about."""
        return self._told.qsize()
