"""Local copies of the inputs that are being worked on, bounded in bytes.

Each process has a folder of its own below the cache's root and holds a lock on it for as long as it
lives. The folders of processes that died are recognised by their free lock and removed at start, so
nothing is left over for longer than until the next start. Nothing in the cache matters: it may
vanish between two jobs.

Threads: `reserve` is called by the worker threads, and waits on one condition for room; whoever
leaves a reservation wakes the waiting. `close` makes every waiting call give up.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from posewatch.base.errors import Fault, InputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOCK = "lock"


class InputCache:
    """The copies of one process.

    Args:
        root: the folder that processes share; made if missing, for this user only.
        limit: bytes that all copies together may take.
        changed: called with the bytes in use whenever they change.

    Raises:
        SettingsError: the folder cannot be made or written.
    """

    def __init__(self, root: Path, limit: int, changed: Callable[[int], None]) -> None:
        self.limit = limit
        self._changed = changed
        self._used = 0
        self._count = 0
        self._closed = False
        self._root = root
        self._room = threading.Condition()
        try:
            self._folder, self._lock = _make(root)
            _sweep(root)
        except OSError as error:
            raise SettingsError(
                f"the cache folder {root} cannot be used: {error.strerror}",
                hint="Set [cache] path to a folder on a local disk that this user may write",
            ) from error

    @contextmanager
    def reserve(self, size: int, cancelled: Callable[[], None]) -> Iterator[Path]:
        """A folder of one's own for a copy of `size` bytes and what is made of it; removed after.

        Waits until there is room.

        Args:
            size: bytes of the input.
            cancelled: called now and then while waiting; what it raises, passes.

        Raises:
            InputError: (`TOO_LARGE`) there will never be room.
            OSError: the folder cannot be made.
        """
        if size > self.limit:
            raise InputError(
                Fault.TOO_LARGE,
                f"the video has {size:,} bytes, and the local cache may hold {self.limit:,}",
                hint="Raise [cache] limit_bytes",
            )
        with self._room:
            while self._used + size > self.limit and not self._closed:
                cancelled()
                self._room.wait(1.0)
            if not self._closed and not (self._folder / _LOCK).exists():  # somebody cleaned up
                folder, lock = _make(self._root)
                os.close(self._lock)
                self._folder, self._lock = folder, lock
            self._used += size
            self._count += 1
            folder = self._folder / str(self._count)
            self._changed(self._used)
        try:
            cancelled()
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with self._room:
                self._used -= size
                self._changed(self._used)
                self._room.notify_all()

    def close(self) -> None:
        """Remove everything; further reservations do not wait."""
        with self._room:
            self._closed = True
            self._room.notify_all()
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)


def _make(root: Path) -> tuple[Path, int]:
    """A folder of this process's own, and the lock on it."""
    while True:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=root))
        try:
            lock = _lock(folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # another process has just taken it for one of the dead, and swept it away
        if (folder / _LOCK).exists():
            return folder, lock
        os.close(lock)


def _lock(folder: Path) -> int:
    handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle


def _sweep(root: Path) -> None:
    """Remove the folders whose process is gone."""
    for folder in root.glob("run-*"):
        # A folder without its lock file is being made, or removed, at this moment.
        if not (folder / _LOCK).exists():
            continue
        with suppress(OSError):
            handle = _lock(folder)
            try:
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)
