"""Copying an object into a local file, by several ranges at the same time.

One connection to a bucket carries some tens of megabytes a second, and waits a round trip before
its first byte. Threads write each range to its place in the file; the caller's thread counts what
arrives and digests what is complete from the beginning on, while the rest is still on its way.

Which ranges are whole is written down beside the file. Whoever is interrupted, and comes back to
the same file before the machine was started again, fetches only the others.
"""

from __future__ import annotations

import errno
import hashlib
import os
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from posewatch.base.errors import ChangedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from posewatch.storage.contract import Version
    from posewatch.storage.s3_sure import SureObjects

PART: Final = 8 << 20
"""Bytes of a range: the time of a request is small beside that of its bytes. With 4 MiB a copy over
20 ms took a quarter more CPU time."""

CONNECTIONS: Final = 16
"""Ranges on their way at the same time. Medians of three for 256 MiB in new processes, 20 ms away:

* where a connection gives all there is: 8: 1.1 s; 12: 1.2 s; 16: 0.9 s; 20 by 4 MiB: 1.0 s;
* where one gives 25 MB/s: 8: 1.7 s; 12: 1.3 s; 16: 1.2 s; 20 by 4 MiB: 1.1 s.

With 24, most copies took two to four times as long."""

PIECE: Final = 1 << 20
"""Bytes that are read back at a time for the digest."""


@dataclass(frozen=True, slots=True)
class _Whole:
    """A range that is there, to its end."""

    start: int


class S3Fetch:
    """One copy, see `Storage.fetch`.

    Args:
        objects: the bucket.
        path: key of the object.
        version: the version that is wanted.
        part: see `PART`.
        connections: see `CONNECTIONS`.

    Attributes:
        asked: whether the server was asked for anything, and so still had this version.
    """

    def __init__(
        self,
        objects: SureObjects,
        path: str,
        version: Version,
        part: int = PART,
        connections: int = CONNECTIONS,
    ) -> None:
        self._objects = objects
        self._path = path
        self._version = version
        self._part = part
        self._connections = connections
        self.asked = False
        self._events: queue.SimpleQueue[int | _Whole | BaseException] = queue.SimpleQueue()
        self._stop = threading.Event()

    def into(self, target: Path, moved: Callable[[int], None]) -> str:
        """Copy; returns the sha256 in hex."""
        starts = range(0, self._version.size, self._part)
        journal, there = self._continued(target)
        with target.open("r+b" if there else "w+b", buffering=0) as local, journal:
            local.truncate(self._version.size)
            pool = ThreadPoolExecutor(self._connections, thread_name_prefix="fetch")
            try:
                for start in starts:
                    if start in there:
                        self._events.put(_Whole(start))
                    else:
                        self.asked = True
                        pool.submit(self._range, local.fileno(), start)
                return self._follow(local.fileno(), moved, journal)
            finally:
                # Waited for: nobody may write to a number that is soon another file's.
                self._stop.set()
                pool.shutdown(cancel_futures=True)

    def _continued(self, target: Path) -> tuple[TextIO, set[int]]:
        """The journal, open for more, and the ranges that are there already."""
        journal = _journal(target)
        # What was not yet on the disk when a machine went down is not there, whatever this says.
        title = f"{self._version.size} {self._version.tag} {self._part} {_boot()}"
        with suppress(OSError, ValueError):
            # The last line may have been cut off.
            first, *lines = journal.read_text(encoding="ascii").split("\n")[:-1]
            if first == title and target.stat().st_size == self._version.size:
                return journal.open("a", encoding="ascii"), set(map(int, lines))
        file = journal.open("w", encoding="ascii")
        file.write(f"{title}\n")
        return file, set()

    def _follow(self, fd: int, moved: Callable[[int], None], journal: TextIO) -> str:
        digest, there, begin = hashlib.sha256(), set[int](), 0
        while begin < self._version.size:
            event = self._events.get()
            if isinstance(event, int):
                moved(event)
            elif isinstance(event, _Whole):
                there.add(event.start)
                journal.write(f"{event.start}\n")
                journal.flush()
                while begin in there:
                    _digest(fd, begin, self._end(begin), digest)
                    begin += self._part
            else:
                raise event
        return digest.hexdigest()

    def _end(self, start: int) -> int:
        return min(start + self._part, self._version.size)

    def _range(self, fd: int, start: int) -> None:
        try:
            self._copy(fd, start, self._end(start))
        except BaseException as error:  # noqa: BLE001 -- raised again by the caller's thread
            self._events.put(error)
        else:
            self._events.put(_Whole(start))

    def _copy(self, fd: int, offset: int, end: int) -> None:
        retries = self._objects.retries()
        while offset < end and not self._stop.is_set():
            try:
                for piece in self._objects.store.pieces(
                    self._path, self._version.tag, offset, end - offset
                ):
                    _write(fd, memoryview(piece), offset)
                    offset += len(piece)
                    self._events.put(len(piece))
                    retries.succeeded()
                    if self._stop.is_set():
                        return
            except UnavailableError as error:
                self._objects.pause(retries, error)
            else:
                if offset < end:
                    raise ChangedError(
                        f"{self._path!r} ended after {offset} of {self._version.size} bytes"
                    )


def discard(target: Path) -> None:
    """Remove a local copy, and what is known of it."""
    target.unlink(missing_ok=True)
    _journal(target).unlink(missing_ok=True)


def _journal(target: Path) -> Path:
    return target.with_name(f"{target.name}.ranges")


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _write(fd: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(fd, data, offset)
        data, offset = data[count:], offset + count


def _digest(fd: int, offset: int, end: int, digest: hashlib._Hash) -> None:
    while offset < end:
        data = os.pread(fd, min(PIECE, end - offset), offset)
        if not data:
            raise OSError(errno.EIO, "a local copy was cut off while it was made")
        digest.update(data)
        offset += len(data)
