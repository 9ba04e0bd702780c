"""Listing a bucket: one request for each 1,000 objects, none for any single one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from posewatch.storage.contract import HIDDEN_PREFIX, Entry, Skipped, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posewatch.storage.s3_objects import Listed
    from posewatch.storage.s3_sure import SureObjects

ODD: Final = re.compile(r"(^|/)(\.|/|$)|[\0\ud800-\udfff]")
"""Any key that is not simply a name in folders: few are looked at closely."""

NO_NAME: Final = re.compile(r"(^|/)(/|$|\.\.?(/|$))|[\0\ud800-\udfff]")
"""A key that no mount can show as a file: `a//b`, `/a`, `a/../b`, with a NUL; or that is no UTF-8,
as which alone it could be asked for."""


class S3Scan:
    """One listing, see `Storage.scan`.

    Args:
        objects: the bucket.
        prefix: of the keys that belong to the folder.
        on_skipped: see `Storage.scan`.
    """

    def __init__(
        self,
        objects: SureObjects,
        prefix: str,
        on_skipped: Callable[[Skipped], None] | None,
    ) -> None:
        self._objects = objects
        self._prefix = prefix
        self._on_skipped = on_skipped
        self.hidden_folders: set[str] = set()

    def entries(self) -> Iterator[Entry]:
        """All of them."""
        begin, odd = len(self._prefix), ODD.search
        following: str | None = None
        while True:
            page = self._objects.list(self._prefix, following)
            for listed in page.objects:
                key = listed.key[begin:]
                if odd(key):
                    yield from self._odd(key, listed)
                else:
                    yield Entry(key, Version(listed.size, listed.etag))
            following = page.following
            if following is None:
                return

    def _odd(self, key: str, listed: Listed) -> Iterator[Entry]:
        if not key or key.endswith("/"):  # s3fs, rclone and consoles mark a folder like this
            return
        if NO_NAME.search(key):
            if self._on_skipped is not None:
                self._on_skipped(Skipped(key, None))
            return
        parts = key.split("/")
        if any(part.startswith(".") and not part.startswith(HIDDEN_PREFIX) for part in parts):
            return
        for count, part in enumerate(parts[:-1], start=1):
            if part.startswith(HIDDEN_PREFIX):
                folder = "/".join(parts[:count])
                if folder not in self.hidden_folders:
                    self.hidden_folders.add(folder)
                    yield Entry(folder, Version(0, listed.etag), regular=False)
                return
        yield Entry(key, Version(listed.size, listed.etag))
