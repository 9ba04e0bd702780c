"""Local copies of the inputs that are being worked on, bounded in bytes.

All daemons of this user on this machine share one root, and its limit. Each copy has a folder of
its own, whose name tells what it is a copy of and how large that is, and which whoever uses it
holds a lock on. A free lock means that its process died, or was stopped in the middle: such a copy
is kept for a while, so that whoever works on the same version of the same input next, after a
restart say, goes on with it; it makes room for others when they need it. Nothing in the cache
matters: it may vanish between two jobs.

Threads and processes: folders are made, taken and removed only by who holds the lock on the root,
never for long. `reserve` is called by the worker threads and waits for room; whoever leaves a
reservation wakes the waiting of this process, and those of other processes look once a second.
`close` makes every waiting call give up.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from posewatch.base.errors import Fault, InputError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from posewatch.base.clock import Clock

LOCK: Final = "lock"
"""Name of the lock file of the root, and of each copy."""

KEPT: Final = 24 * 3600.0
"""Seconds after which a copy that nobody uses is removed at the next start."""

LOOK: Final = 1.0
"""Seconds between two looks for room that another process has left."""


@dataclass(frozen=True, slots=True)
class _Copy:
    """A folder that this process holds.

    Attributes:
        folder: where.
        lock: number of its lock file, which is open.
    """

    folder: Path
    lock: int


class InputCache:
    """The copies that this machine has.

    Args:
        root: the folder that processes share; made if missing, for this user only.
        limit: bytes that the copies of all of them may take together.
        changed: called with the bytes that this process uses, and with how many of its reservations
            wait for room, whenever one of the two changes.
        clock: the time.

    Raises:
        SettingsError: the folder cannot be made or written.
    """

    def __init__(
        self, root: Path, limit: int, changed: Callable[[int, int], None], clock: Clock
    ) -> None:
        self.limit = limit
        self._root = root
        self._changed = changed
        self._used = 0
        self._waiting = 0
        self._closed = False
        self._room = threading.Condition()
        try:
            with _alone(root):
                for copy in _left(root):
                    if copy.folder.stat().st_mtime < clock.wall() - KEPT:
                        shutil.rmtree(copy.folder, ignore_errors=True)
                    os.close(copy.lock)
        except OSError as error:
            raise SettingsError(
                f"the cache folder {root} cannot be used: {error.strerror}",
                hint="Set [cache] path to a folder on a local disk that this user may write",
            ) from error

    @contextmanager
    def reserve(
        self,
        what: str,
        size: int,
        cancelled: Callable[[], None],
        keep: tuple[type[BaseException], ...] = (),
    ) -> Iterator[Path]:
        """A folder of one's own for a copy and what is made of it; removed after.

        Waits until there is room. What somebody who died has left there for the same copy is still
        there.

        Args:
            what: names the version of the input; the same for all processes.
            size: of the input, in bytes.
            cancelled: called now and then while waiting; what it raises, passes.
            keep: what may be raised within that leaves the copy there for the next one.

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
        copy = self._enter(hashlib.sha256(os.fsencode(what)).hexdigest()[:32], size, cancelled)
        kept = False
        try:
            cancelled()
            yield copy.folder
        except keep:
            kept = True
            raise
        finally:
            self._leave(copy, size, kept=kept)

    def close(self) -> None:
        """Further reservations do not wait."""
        with self._room:
            self._closed = True
            self._room.notify_all()

    def _enter(self, name: str, size: int, cancelled: Callable[[], None]) -> _Copy:
        with self._room:
            if (copy := self._take(name, size)) is None:
                copy = self._wait(name, size, cancelled)
            self._used += size
            self._changed(self._used, self._waiting)
        return copy

    def _wait(self, name: str, size: int, cancelled: Callable[[], None]) -> _Copy:
        """The folder for a copy, once there is room."""
        self._waiting += 1
        self._changed(self._used, self._waiting)
        try:
            while True:
                cancelled()
                self._room.wait(LOOK)
                if (copy := self._take(name, size)) is not None:
                    return copy
        finally:
            self._waiting -= 1
            self._changed(self._used, self._waiting)

    def _take(self, name: str, size: int) -> _Copy | None:
        """The folder for a copy, old or new; None where there is no room now."""
        with _alone(self._root):
            left = _left(self._root)
            try:
                mine = next((c for c in left if c.folder.name == f"{name}.{size}"), None)
                others = sorted(
                    (c for c in left if c is not mine), key=lambda c: c.folder.stat().st_mtime
                )
                taken = sum(_size(folder) or 0 for folder in self._root.iterdir())
                taken -= size if mine is not None else 0
                while not self._closed and taken + size > self.limit:
                    if not others:
                        return None
                    oldest = others.pop(0).folder
                    taken -= _size(oldest) or 0
                    shutil.rmtree(oldest, ignore_errors=True)
                if mine is not None:
                    left.remove(mine)
                    os.utime(mine.folder)
                    return mine
                return _make(self._root, name, size)
            finally:
                for copy in left:
                    os.close(copy.lock)

    def _leave(self, copy: _Copy, size: int, *, kept: bool) -> None:
        if not kept:
            with _alone(self._root):
                shutil.rmtree(copy.folder, ignore_errors=True)
        os.close(copy.lock)
        with self._room:
            self._used -= size
            self._changed(self._used, self._waiting)
            self._room.notify_all()


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the lock on the root."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _left(root: Path) -> list[_Copy]:
    """The copies that nobody uses, held now."""
    found = []
    for folder in root.iterdir():
        if _size(folder) is None:
            continue
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:  # somebody has cleaned up
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            found.append(_Copy(folder, lock))
    return found


def _make(root: Path, name: str, size: int) -> _Copy:
    """A new folder; under another name where somebody works on the same."""
    folder = root / f"{name}.{size}"
    if folder.exists():
        folder = root / f"{name}-{secrets.token_hex(4)}.{size}"
    folder.mkdir(mode=0o700)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return _Copy(folder, lock)


def _size(folder: Path) -> int | None:
    """Bytes that a copy takes or will take; None for what is none."""
    _, dot, size = folder.name.rpartition(".")
    return int(size) if dot and size.isdecimal() else None
