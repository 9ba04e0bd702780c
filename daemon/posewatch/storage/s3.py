"""A watched folder that is a bucket, or a part of one.

How each promise of the contract is kept is told in `docs/semantics.md`. All of it is made of the
requests of `posewatch.storage.s3_objects`; nothing here knows how they are sent.
"""

from __future__ import annotations

import posixpath
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    FencedError,
    MissingError,
    UnavailableError,
)
from posewatch.storage.contract import (
    SMALL_FILE_LIMIT,
    STAGING_PREFIX,
    Entry,
    Seen,
    Sighting,
    Skipped,
    Version,
    is_hidden,
)
from posewatch.storage.s3_fence import Sight, close_areas, look, open_area, sight_of
from posewatch.storage.s3_fetch import S3Fetch, discard
from posewatch.storage.s3_scan import S3Scan
from posewatch.storage.s3_staging import S3Staging
from posewatch.storage.s3_sure import SureObjects, body_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from posewatch.base.clock import Clock
    from posewatch.storage.s3_objects import ObjectStore

KEY_LIMIT: Final = 1024
"""Bytes in the key of an object, as S3 has it."""

REMEMBERED: Final = 1024
"""Small files whose ETag is remembered, so that a beat costs one request: one for each claim."""


class S3Storage:
    """See `Storage`.

    Args:
        store: the bucket.
        prefix: how all keys of the folder begin: empty, or with a `/` at its end.
        clock: the time.
        commit_key: the key of an input's receipt: it is what the fence of an input is made of.
        md5: whether ETags are what the probe found them to be in most buckets.
    """

    conditional = True
    readers = 16  # each takes a round trip

    def __init__(
        self,
        store: ObjectStore,
        prefix: str,
        clock: Clock,
        commit_key: Callable[[str], str],
        *,
        md5: bool = True,
    ) -> None:
        self.tags_stay = md5
        self._objects = SureObjects(store, clock)
        self._prefix = prefix
        self._commit_key = commit_key
        self._written = _Recent()
        self._tokens: set[str] = set()
        self._hidden_folders: set[str] = set()
        self._lock = threading.Lock()

    def scan(
        self,
        wants_version: Callable[[str], bool],  # noqa: ARG002 -- each comes with its key
        on_skipped: Callable[[Skipped], None] | None = None,
    ) -> Iterator[Entry]:
        """See `Storage`. Costs one request for each 1,000 objects, whose versions come with it."""
        scan = S3Scan(self._objects, self._prefix, on_skipped)
        yield from scan.entries()
        self._hidden_folders = scan.hidden_folders

    def stat(self, key: str) -> Entry | None:
        """See `Storage`."""
        found = self._objects.head(self._path(key))
        return Entry(key, Version(found.size, found.etag)) if found is not None else None

    def read(self, key: str) -> bytes:
        """See `Storage`."""
        content = self._objects.get(self._path(key), SMALL_FILE_LIMIT)
        if content is None:
            raise MissingError(f"there is no {key!r}")
        return content.data

    def look(self, key: str) -> Seen | None:
        """See `Storage`. Costs one request."""
        return _seen(look(self._objects, self._path(key)))

    def create(self, key: str, data: bytes) -> None:
        """See `Storage`."""
        self._write(key, data, None)

    def overwrite(self, key: str, old: bytes, new: bytes) -> None:
        """See `Storage`. Costs one request, where `old` was written by this very storage."""
        if len(old) != len(new):
            raise ValueError(f"{key!r} has {len(old)} bytes, its new content {len(new)}")
        known = self._written.pop(key)
        etag = known[1] if known is not None and known[0] == old else None
        if etag is not None:
            try:
                self._write(key, new, etag)
            except ChangedError:  # told apart below: it may be gone
                pass
            else:
                return
        etag = self._expect_content(key, old)
        if etag is None:
            raise MissingError(f"{key!r} was removed")
        self._write(key, new, etag)

    def remove(self, key: str, old: bytes, *, sure: bool = False) -> None:
        """See `Storage`. Costs two requests, or one: a deletion has no condition."""
        retries = self._objects.retries()
        while sure or self._expect_content(key, old) is not None:
            sure = False
            try:
                self._objects.store.delete(self._path(key))
            except UnavailableError as error:
                # Looked at again before it is tried again: it may be another one's by then.
                self._objects.pause(retries, error)
            else:
                return

    def fetch(self, key: str, version: Version, target: Path, moved: Callable[[int], None]) -> str:
        """See `Storage`."""
        path = self._path(key)
        try:
            fetch = S3Fetch(self._objects, path, version)
            digest = fetch.into(target, moved)
            if not fetch.asked:  # it was there already, or has no bytes
                self._expect_version(key, version)
        except (MissingError, ChangedError):
            discard(target)
            raise
        return digest

    def stage(self, token: str, beside: str, sighting: Sighting | None = None) -> S3Staging:
        """See `Storage`. Costs one request, and one more without a sighting of the receipt."""
        commit = self._commit_key(beside)
        with self._lock:
            if token in self._tokens:
                raise FencedError(f"the results of {beside!r} are being staged already")
            self._tokens.add(token)
        try:
            last = None
            if sighting is not None and sighting.key == commit:
                last = sight_of(sighting.seen)
            before, stamp = open_area(self._objects, self._path(commit), token, beside, last)
        except BaseException:
            self._tokens.discard(token)
            raise
        return S3Staging(
            self._objects,
            self._path,
            commit=commit,
            token=token,
            before=before,
            stamp=stamp.version.tag if stamp.version is not None else "",
            end=lambda: self._tokens.discard(token),
        )

    def fence(self, tokens: Iterable[str], beside: str) -> Sighting:
        """See `Storage`. Costs one request, and one more where there is something to close."""
        commit = self._commit_key(beside)
        sight = close_areas(self._objects, self._path(commit), tokens, beside)
        return Sighting(commit, _seen(sight))

    def sweep(self, key: str) -> None:
        """See `Storage`.

        Costs nothing for staging areas: a bucket has some only where they were copied to it.
        """
        if not is_hidden(key):
            raise ValueError(f"{key!r} is not a leftover of posewatch")
        path = self._path(key)
        if key in self._hidden_folders:  # copied here from a file system
            while (page := self._objects.list(f"{path}/")).objects:
                for listed in page.objects:
                    self._objects.delete(listed.key)
        elif not posixpath.basename(key).startswith(STAGING_PREFIX):
            self._objects.delete(path)

    def _path(self, key: str) -> str:
        """The object's key.

        Raises:
            DeniedError: no object can have it.
        """
        path = self._prefix + key
        try:
            size = len(path.encode())
        except UnicodeEncodeError:
            raise DeniedError(
                f"a bucket takes no names like {key!r}", hint="Give it a name in UTF-8"
            ) from None
        if size > KEY_LIMIT:
            raise DeniedError(
                f"the key {path!r} has {size} bytes; a bucket takes {KEY_LIMIT}",
                hint="Give the video a shorter name, or put it into fewer folders",
            )
        return path

    def _expect_content(self, key: str, old: bytes) -> str | None:
        """The ETag of a small file that is `old`; None where there is none."""
        content = self._objects.get(self._path(key), len(old) + 1)
        if content is None:
            return None
        if content.data != old:
            raise ChangedError(f"{key!r} was changed by somebody else")
        return content.found.etag

    def _expect_version(self, key: str, version: Version) -> None:
        entry = self.stat(key)
        if entry is None:
            raise MissingError(f"{key!r} was removed while it was read")
        if entry.version != version:
            raise ChangedError(f"{key!r} was changed")

    def _write(self, key: str, data: bytes, expected: str | None) -> None:
        etag = self._objects.put(self._path(key), body_of(data), expected)
        self._written.put(key, (data, etag))


class _Recent:
    """What was written last to the `REMEMBERED` keys that were written last: content and ETag."""

    def __init__(self) -> None:
        self._values: OrderedDict[str, tuple[bytes, str]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, key: str, value: tuple[bytes, str]) -> None:
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > REMEMBERED:
                self._values.popitem(last=False)

    def pop(self, key: str) -> tuple[bytes, str] | None:
        with self._lock:
            return self._values.pop(key, None)


def _seen(sight: Sight) -> Seen | None:
    if sight.version is None or sight.data is None:
        return None
    return Seen(sight.version, sight.data)
