"""Requests that are tried again, until it is known what became of them.

A server that answers 500, that answers `409 Conflict`, or whose answer gets lost, may have done a
write or not. Each write carries a mark of its own; so whoever looks at the object afterwards knows
whether that write was done, and tries it again only where it was not. The condition makes trying
again safe: a first try that is only late finds that the object is not what it was.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from random import Random
from typing import TYPE_CHECKING, Final, TypeVar

from posewatch.base.backoff import Backoff, Retries
from posewatch.base.errors import ChangedError, ExistsError, StorageError, UnavailableError
from posewatch.storage.s3_objects import Body

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from posewatch.base.clock import Clock
    from posewatch.storage.s3_objects import Content, Found, ObjectStore, Page

Value = TypeVar("Value")

TRIES: Final = 5
"""How often a request is sent before its failure is told: enough for a server that asks to slow
down, or one that is restarted, and few enough for a beat not to be late by much."""

LONGEST: Final = 30.0
"""Seconds after which a failure is told, after however few tries: from a server that accepts
everything and answers nothing, a try takes as long as a connection may be silent, which is 20 s."""

PATIENCE: Final = Backoff(first=0.1, limit=2.0)
"""The waits between them: 1.5 s together on average."""


class MisconfiguredError(UnavailableError):
    """Asking again is of no use: the key, the region, the clock or another setting is wrong.

    While the program runs it is waited for like any other trouble: somebody may mend it.
    """


def body_of(source: bytes | Path) -> Body:
    """A write that did not happen yet.

    Raises:
        OSError: the local file could not be read.
    """
    if isinstance(source, bytes):
        digest, size = hashlib.md5(source, usedforsecurity=False), len(source)
    else:
        with source.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
            size = file.tell()
    return Body(source, size, digest.digest(), secrets.token_hex(16))


class Tries(Retries):
    """Counts the failures of one thing, and knows when that was enough.

    Args:
        clock: the time.
        random: where the jitter comes from.
    """

    def __init__(self, clock: Clock, random: Random) -> None:
        super().__init__(PATIENCE, random)
        self._clock = clock
        self._began = clock.monotonic()

    def succeeded(self) -> None:
        """Begin again."""
        super().succeeded()
        self._began = self._clock.monotonic()

    @property
    def enough(self) -> bool:
        """Whether to give up."""
        late = self._clock.monotonic() >= self._began + LONGEST
        return late or self.failures >= TRIES


class SureObjects:
    """Sends requests to one bucket, and tries again what failed. Safe to use from several threads.

    Args:
        store: sends each once.
        clock: the time.
    """

    def __init__(self, store: ObjectStore, clock: Clock) -> None:
        self.store = store
        self._clock = clock
        self._random = Random()  # noqa: S311 -- only jitter

    def retries(self) -> Tries:
        """Counts the failures of one thing, which begins now."""
        return Tries(self._clock, self._random)

    def pause(self, retries: Tries, error: StorageError) -> None:
        """Wait before another try.

        Raises:
            StorageError: `error`, when that was enough.
        """
        wait = retries.failed()
        if isinstance(error, MisconfiguredError) or retries.enough:
            raise error
        self._clock.wait(threading.Event(), wait)

    def get(self, key: str, limit: int) -> Content | None:
        """See `ObjectStore`."""
        return self._again(lambda: self.store.get(key, limit))

    def head(self, key: str) -> Found | None:
        """See `ObjectStore`."""
        return self._again(lambda: self.store.head(key))

    def list(self, prefix: str, page: str | None = None) -> Page:
        """See `ObjectStore`."""
        return self._again(lambda: self.store.list(prefix, page))

    def delete(self, key: str) -> None:
        """See `ObjectStore`; only for what nobody else will write: it may come late, and twice."""
        self._again(lambda: self.store.delete(key))

    def put(self, key: str, body: Body, expected: str | None) -> str:
        """See `ObjectStore`; `UnavailableError` is raised only after many tries."""
        retries = self.retries()
        while True:
            try:
                return self.store.put(key, body, expected)
            except (ExistsError, ChangedError):
                # An earlier try may have been done; or somebody on the way has sent it twice.
                found = self.head(key)
                if found is not None and found.mark == body.mark:
                    return found.etag
                raise
            except UnavailableError as error:
                found = self.head(key)
                if found is not None and found.mark == body.mark:
                    return found.etag
                if found is not None and found.etag != expected:
                    kind = ExistsError if expected is None else ChangedError
                    raise kind(f"{key!r} was written by somebody else") from error
                self.pause(retries, error)

    def _again(self, request: Callable[[], Value]) -> Value:
        retries = self.retries()
        while True:
            try:
                return request()
            except UnavailableError as error:
                self.pause(retries, error)
