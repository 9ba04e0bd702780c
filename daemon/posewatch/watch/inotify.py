"""Hints about writes that were made on this machine, from the kernel through watchdog.

Threads: watchdog owns two (one reads inotify, one calls us); both end with `close`. The callback
only puts keys into the caller's hands, so nothing is decided here. A hint may be wrong, early, late
or missing: the scan is the truth. On NFS and FUSE mounts, writes of other machines give no hint.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from watchdog.events import (
    FileClosedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from posewatch.base.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class LocalWrites(FileSystemEventHandler):
    """Calls `hint` with the key of each file that was closed after writing, or moved in.

    Args:
        root: the watched folder.
        hint: called from watchdog's thread.

    Raises:
        UnavailableError: the kernel refuses (no inotify watches left, say).
    """

    def __init__(self, root: Path, hint: Callable[[str], None]) -> None:
        self._root = os.fspath(root)
        self._hint = hint
        self._observer = Observer()
        # A copied or moved-in file ends with one of these two; a moved-in folder is found by scan.
        wanted: list[type[FileSystemEvent]] = [FileClosedEvent, FileMovedEvent]
        self._observer.schedule(self, self._root, recursive=True, event_filter=wanted)
        try:
            self._observer.start()
        except OSError as error:
            raise UnavailableError(
                f"the kernel gives no notice of local writes: {error.strerror}",
                hint="Raise fs.inotify.max_user_watches, or set [watch] inotify = false",
            ) from error

    def on_closed(self, event: FileSystemEvent) -> None:
        """A file that was open for writing was closed."""
        self._tell(event.src_path)

    def on_moved(self, event: FileSystemEvent) -> None:
        """A file got a new name."""
        self._tell(event.dest_path)

    def _tell(self, path: bytes | str) -> None:
        if path:
            self._hint(os.path.relpath(os.fsdecode(path), self._root))

    def close(self) -> None:
        """Stop; returns when watchdog's threads have ended."""
        self._observer.stop()
        self._observer.join()
