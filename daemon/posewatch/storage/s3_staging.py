"""Staging for a bucket: local files, each of which becomes an object by a single write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posewatch.base.errors import ChangedError, ExistsError, FencedError
from posewatch.storage.contract import Version
from posewatch.storage.s3_fence import Fence, Sight, is_foreign, look, stamped
from posewatch.storage.s3_sure import body_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from posewatch.storage.s3_objects import Body
    from posewatch.storage.s3_sure import SureObjects


@dataclass(slots=True)
class _Staged:
    body: Body
    published: Version | None = None


class S3Staging:
    """See `Staging`; made by `S3Storage.stage`. To be used by one thread.

    A source file is not copied: it must stay as it is until it is published or discarded. The
    server compares its digest with the one that was taken when it was added.

    Args:
        objects: the bucket.
        path: the object's key for a key of the folder.
        commit: key of the receipt.
        token: of the attempt.
        before: what stood at the receipt's key before this attempt stamped it.
        stamp: ETag of that stamp.
        end: called once, when this is discarded.
    """

    def __init__(
        self,
        objects: SureObjects,
        path: Callable[[str], str],
        *,
        commit: str,
        token: str,
        before: Sight,
        stamp: str,
        end: Callable[[], None],
    ) -> None:
        self._objects = objects
        self._path = path
        self._commit = commit
        self._token = token
        self._closed = before.fence.closed
        self._before = before.version
        self._foreign = is_foreign(before.data)
        self._stamp = stamp
        self._end = end
        self._fenced = False
        self._staged: dict[str, _Staged] = {}

    def add(self, key: str, source: Path | bytes) -> Version:
        """See `Staging`."""
        if self._fenced:
            raise self._taken_over(key)
        if key == self._commit and isinstance(source, bytes) and self._closed:
            source = stamped(source, Fence(closed=self._closed))
        staged = self._staged[key] = _Staged(body_of(source))
        return Version(staged.body.size, staged.body.md5.hex())

    def publish(self, key: str, expected: Version | None) -> Version:
        """See `Staging`."""
        staged = self._staged[key]
        if staged.published is None:
            if key == self._commit:
                etag = self._publish_commit(staged.body, expected)
            else:
                self._check()
                tag = expected.tag if expected is not None else None
                etag = self._objects.put(self._path(key), staged.body, tag)
            staged.published = Version(staged.body.size, etag)
        return staged.published

    def discard(self) -> None:
        """See `Staging`. The stamp stays, and harms nobody; to remove it would."""
        self._staged.clear()
        self._end()

    def _publish_commit(self, body: Body, expected: Version | None) -> str:
        if expected != self._before or self._foreign:
            self._check()
            raise self._conflict(expected)
        try:
            etag = self._objects.put(self._path(self._commit), body, self._stamp)
        except ChangedError:
            self._check()
            raise self._conflict(expected) from None
        self._before, self._stamp = Version(body.size, etag), etag
        return etag

    def _conflict(self, expected: Version | None) -> ExistsError | ChangedError:
        if expected is None:
            return ExistsError(f"{self._commit!r} is there already")
        return ChangedError(f"{self._commit!r} was changed by somebody else")

    def _check(self) -> None:
        """Raise `FencedError` if this attempt was taken over.

        For the receipt this only tells why it could not be written; for a result it saves others
        the trouble of replacing it.
        """
        path = self._path(self._commit)
        found = self._objects.head(path)
        if found is None or found.etag == self._stamp:
            return
        if self._token in look(self._objects, path).fence.closed:
            self._fenced = True
            raise self._taken_over(self._commit)

    def _taken_over(self, key: str) -> FencedError:
        return FencedError(f"could not publish {key!r}: the work was taken over")
