"""Hints about writes that were made on this machine, from the kernel through watchdog.

Threads: watchdog owns three (they read inotify, sort what came, and call us); all end with `close`.
The callback only puts keys into the caller's hands, so nothing is decided here. A hint may be
wrong, early, late or missing: the scan is the truth. On NFS and FUSE mounts, writes of other
machines give no hint.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.inotify import InotifyObserver

from posewatch.base.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


PATIENCE = 5.0
"""Seconds that watchdog's threads get to end."""


class LocalWrites(FileSystemEventHandler):
    """Calls `hint` with the key of each file that was closed after writing, or moved in.

    The files of a new directory are told of too, whether they are whole or not: so whoever takes
    the hint must look whether the file rests.

    Args:
        root: the watched folder.
        hint: called from watchdog's thread.

    Raises:
        UnavailableError: the kernel refuses (no inotify watches left, say).
    """

    def __init__(self, root: Path, hint: Callable[[str], None]) -> None:
        self._root = os.fspath(root)
        self._hint = hint
        self._identity = (-1, -1)
        # Our staging directories are made faster than watchdog looks into them: it sees some twice,
        # which does no harm, and warns of it.
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        self._listen()

    def _listen(self) -> None:
        # A copied file ends with the first of these, a moved-in one with the second.
        wanted: list[type[FileSystemEvent]] = [FileClosedEvent, FileMovedEvent]
        wanted += [DirCreatedEvent, DirMovedEvent]
        observer = None
        self._identity = (-1, -1)
        try:
            # "Full": else what is moved in from outside of the folder is not told as moved.
            observer = InotifyObserver(generate_full_events=True)
            observer.schedule(self, self._root, recursive=True, event_filter=wanted)
            identity = self._look()
            observer.start()
        except OSError as error:
            if observer is not None:
                observer.on_thread_stop()
            raise UnavailableError(
                f"the kernel gives no notice of local writes: {error.strerror}",
                hint="Raise fs.inotify.max_user_watches and max_user_instances, or set [watch] "
                "inotify = false",
            ) from error
        self._observer, self._identity = observer, identity

    def follow(self, *, anew: bool = False) -> None:
        """Listen anew if the folder is another directory by now, which the kernel does not tell.

        Args:
            anew: also if it looks the same: it had been unmounted, and all watches went with it.

        Raises:
            UnavailableError: it is not there now, or as for the constructor; there will be no hints
                until a later call.
        """
        try:
            same = self._look() == self._identity
        except OSError as error:
            # What comes back may look the same, and all watches went with what it was.
            self._identity = (-1, -1)
            raise UnavailableError(
                f"the kernel gives no notice of local writes: {self._root}: {error.strerror}",
                hint="Mount it again",
            ) from error
        if anew or not same:
            self.close()
            self._listen()

    def _look(self) -> tuple[int, int]:
        found = os.stat(self._root)  # noqa: PTH116 -- as text, as watchdog wants it
        return found.st_dev, found.st_ino

    def on_closed(self, event: FileSystemEvent) -> None:
        """A file that was open for writing was closed."""
        self._tell(event.src_path)

    def on_moved(self, event: FileSystemEvent) -> None:
        """A file or a directory got a new name."""
        if event.is_directory:
            self._tell_all(event.dest_path)
        else:
            self._tell(event.dest_path)

    def on_created(self, event: FileSystemEvent) -> None:
        """There is a new directory. What was put into it before it was watched gave no notice."""
        self._tell_all(event.src_path)

    def _tell(self, path: bytes | str) -> None:
        if path:
            self._hint(os.path.relpath(os.fsdecode(path), self._root))

    def _tell_all(self, directory: bytes | str) -> None:
        for folder, _, files in os.walk(os.fsdecode(directory)):
            for name in files:
                self._tell(os.path.join(folder, name))  # noqa: PTH118 -- text, as watchdog has it

    def close(self) -> None:
        """Stop. A thread that hangs in a dead mount is left behind, not waited for."""
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join(timeout=PATIENCE)
