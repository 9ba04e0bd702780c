"""The reconciling scan: what stands in the folder, in one piece.

Threads: one thread makes scans, one at a time, each when `request` asks for it; it hands the
result, or the error, to `deliver`, which must only pass it on. It remembers which receipts it has
read, so that each is read once for each of its versions. Where reading takes a round trip, some
threads read small files at the same time, and end with the scan. The scanner's thread ends with
`close`, after the scan that it is in. A large folder on a slow mount takes minutes to scan; local
writes are claimed meanwhile.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from posewatch import catalog
from posewatch.base.errors import DeniedError, MissingError, StorageError
from posewatch.formats import names, receipt
from posewatch.storage.contract import Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from posewatch.base.clock import Clock
    from posewatch.catalog.packed import Packed
    from posewatch.storage.contract import Entry, Storage, Version

AHEAD: Final = 1000
"""Small files that are asked for before the first of them is taken in: what waits takes memory, a
kilobyte each even before it is read."""


@dataclass(slots=True)
class Scan:
    """What one scan found.

    Attributes:
        listing: the folder's files.
        receipts: what the receipts say that are new or changed since the last scan. Of many that
            are read for the first time, the whole content would take ten times the memory of all
            the rest.
        newest: the newest result that this and earlier scans have read of.
        locks: the content of each lock file.
        skipped: what the listing left out, and the receipts and locks that may not be read.
        files: how many files were seen, of any kind.
        began: when it began, by the monotonic clock.
        listed: when the listing was there, and the reading of locks began.
        ended: when all was there.
    """

    listing: catalog.Listing
    receipts: Packed[catalog.Told] = field(default_factory=catalog.tellings)
    newest: catalog.Newest | None = None
    locks: dict[str, bytes] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    files: int = 0
    began: float = 0.0
    listed: float = 0.0
    ended: float = 0.0

    @property
    def unlisted(self) -> int:
        """How many folders and files could not be looked at: what is missing may be there."""
        return sum(skipped.error is not None for skipped in self.skipped)


class FolderReader:
    """Makes scans, one after the other, in the caller's thread.

    Args:
        storage: the folder.
        suffixes: name endings of videos.
        clock: the time.
        alive: called now and then while a scan goes on.
    """

    def __init__(
        self,
        storage: Storage,
        suffixes: tuple[str, ...],
        clock: Clock,
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage = storage
        self._suffixes = suffixes
        self._clock = clock
        self._alive = alive
        self._read: Mapping[str, Version] = {}
        self._newest: catalog.Newest | None = None

    def scan(self) -> Scan:
        """One whole scan.

        Raises:
            StorageError: the folder could not be listed as a whole.
        """
        began = self._clock.monotonic()
        count = 0
        skipped: list[Skipped] = []

        def counted() -> Iterator[Entry]:
            nonlocal count
            for entry in self._storage.scan(self._wants_version, skipped.append):
                count += 1
                if count % 1000 == 0:
                    self._alive()
                yield entry

        scan = Scan(catalog.Listing.of(counted(), self._suffixes), skipped=skipped, began=began)
        scan.files = count
        read = self._read_receipts(scan)
        scan.listed = self._clock.monotonic()
        scan.locks.update(self._contents(scan.listing.locks, scan))
        scan.ended = self._clock.monotonic()
        # Only now: of a scan that fails, nobody hears what it has read.
        self._read, self._newest = read, scan.newest
        return scan

    def _wants_version(self, key: str) -> bool:
        return catalog.wants_version(key, self._suffixes)

    def _read_receipts(self, scan: Scan) -> Mapping[str, Version]:
        """Read what is new; which receipts, in which versions, are known then."""
        read, new = catalog.versions(), []
        for key, version in scan.listing.kept.items():
            if names.is_receipt(key):
                if self._read.get(key) == version:
                    read[key] = version
                else:
                    new.append(key)
        scan.newest = self._newest
        for key, content in self._contents(new, scan):
            version, found = scan.listing.kept[key], receipt.decode(content)
            scan.receipts[key] = catalog.told_by(key, version, found)
            if isinstance(found, receipt.Receipt):
                scan.newest = catalog.newer(scan.newest, key, found)
            read[key] = version
        return read

    def _contents(self, keys: Sequence[str], scan: Scan) -> Iterator[tuple[str, bytes]]:
        """Small files, but for those that are not there any more, or may not be read."""
        if self._storage.readers == 1 or len(keys) < 2:
            contents: Iterator[bytes | None] = (self._content(key, scan) for key in keys)
            yield from self._there(keys, contents)
            return
        pool = ThreadPoolExecutor(self._storage.readers, thread_name_prefix="reader")
        try:
            for begin in range(0, len(keys), AHEAD):
                some = keys[begin : begin + AHEAD]
                yield from self._there(some, pool.map(lambda key: self._content(key, scan), some))
        finally:
            pool.shutdown(cancel_futures=True)

    def _there(
        self, keys: Sequence[str], contents: Iterator[bytes | None]
    ) -> Iterator[tuple[str, bytes]]:
        for key, content in zip(keys, contents, strict=True):
            self._alive()
            if content is not None:
                yield key, content

    def _content(self, key: str, scan: Scan) -> bytes | None:
        """A small file, unless it has vanished since it was listed, or may not be read."""
        try:
            return self._storage.read(key)
        except MissingError:
            return None
        except DeniedError as error:  # somebody's umask must not blind us to everything else
            scan.skipped.append(Skipped(key, error))
            return None


class Scanner:
    """A thread that scans when asked to.

    Args:
        reader: does the scanning.
        deliver: takes each scan, or what stopped it; called from the thread.
    """

    def __init__(
        self, reader: FolderReader, deliver: Callable[[Scan | StorageError], None]
    ) -> None:
        self._reader = reader
        self._deliver = deliver
        self._wanted = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="scanner", daemon=True)
        self._thread.start()

    def request(self) -> None:
        """Ask for a scan; several requests before it begins are one."""
        self._wanted.set()

    def close(self) -> None:
        """End the thread. A scan that hangs in a dead mount is left behind, not waited for."""
        self._closed = True
        self._wanted.set()
        self._thread.join(timeout=5.0)

    def _loop(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._closed:
                return
            try:
                result: Scan | StorageError = self._reader.scan()
            except StorageError as error:
                result = error
            self._deliver(result)
