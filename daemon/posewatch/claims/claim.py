"""A claim on one input: renewing it, noticing that it is lost, and ending it."""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from posewatch.base.errors import ChangedError, MissingError, StorageError
from posewatch.claims.names import lock_key
from posewatch.claims.record import LockRecord, encode, same_claim
from posewatch.storage.contract import staging_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posewatch.base.clock import Clock
    from posewatch.storage.contract import Sighting, Storage

BEATS_PER_TTL: Final = 6
"""How often a holder beats in the time after which others may take over."""

WARN_SHARE: Final = 1 / 3
"""Share of the `ttl` without a beat after which its holder should worry."""

LOST_SHARE: Final = 2 / 3
"""Share of the `ttl` without a beat after which a claim is lost. The rest is the margin in which
the holder stops, before anybody may take over, even if the clocks do not run equally fast."""


class Reason(StrEnum):
    """Why a claim is lost."""

    SUPERSEDED = "superseded"  # there is a newer attempt
    REMOVED = "removed"  # the lock file is gone
    REPLACED = "replaced"  # the lock file, or that of an older attempt, is somebody else's
    SILENT = "silent"  # no beat for most of a ttl


@dataclass(frozen=True, slots=True)
class Lost:
    """A claim that is not held any more.

    Attributes:
        reason: the kind.
        detail: what was seen, in words.
    """

    reason: Reason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True, slots=True)
class LowerLock:
    """The lock of an earlier attempt, whose holder is believed to be dead.

    Attributes:
        lock: its key.
        content: what it was when it was taken over.
    """

    lock: str
    content: bytes


class Claim:
    """A claim that was acquired; made by `Claims.acquire`. Safe to use from several threads.

    A claim saves work; it does not protect results by itself. Before anything is published, stage
    all of it, then call `check`; see `docs/semantics.md`.

    Attributes:
        key: the input.
        attempt: 1, or more after earlier holders died: the newest attempt owns the job.
        tries: how many holders, this one included, tried this very job (the same version of the
            input and recipe); all but this one died of it, or were killed.
        token: names this claim; for `Storage.stage`.
        interval: seconds between two beats.
        sighting: what stood under the receipt's name when all earlier attempts were closed, where
            the storage tells (see `Storage.fence`).
    """

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        record: LockRecord,
        *,
        lower: Sequence[LowerLock],
        tries: int,
        begun: float,
    ) -> None:
        self.key = record.key
        self.attempt = record.attempt
        self.tries = tries
        self.token = record.nonce
        self.interval = record.ttl / BEATS_PER_TTL
        self.sighting: Sighting | None = None
        self._storage = storage
        self._clock = clock
        self._record = record
        self._content = encode(record)
        self._own = lock_key(record.key, record.attempt)
        self._lower = lower
        self._last_beat = begun
        self._lost: Lost | None = None
        self._ended = False
        self._trouble: StorageError | None = None
        self._lock = threading.RLock()

    @property
    def record(self) -> LockRecord:
        """What the lock file said after the last beat that worked."""
        return self._record

    @property
    def lost(self) -> Lost | None:
        """Why the claim is not held any more, as far as is known without looking.

        Never waits, also while a beat hangs in a dead mount.
        """
        silent, ttl = self._silent(), self._record.ttl
        if self._lost is None and silent >= LOST_SHARE * ttl:
            cause = f"; {self._trouble.message}" if self._trouble is not None else ""
            detail = f"no beat for {silent:.1f} s of a ttl of {ttl:g} s{cause}"
            self._lost = Lost(Reason.SILENT, detail)
        return self._lost

    @property
    def trouble(self) -> StorageError | None:
        """What the last beat failed with, if it did."""
        return self._trouble

    @property
    def worrying(self) -> bool:
        """Whether the last beat that worked is so long ago that the claim may be lost soon."""
        return not self._ended and not self._young

    @property
    def _young(self) -> bool:
        """Whether the last beat that worked is so fresh that nobody can have taken over since."""
        return self._silent() < WARN_SHARE * self._record.ttl

    def beat(self, done: int | None = None, total: int | None = None) -> Lost | None:
        """Renew the claim, and look whether it still is one; to be called every `interval`.

        A beat that fails is no loss yet: see `trouble` and `worrying`.

        Args:
            done: frames that are done.
            total: frames that there are.

        Returns:
            None while the claim is held, and after it was released or given back.
        """
        with self._lock:
            if self._ended:
                return None
            try:
                return self._renew(replace(self._record, done=done, total=total))
            except StorageError as error:
                self._trouble = error
                return self.lost

    def check(self, *, young: bool = False) -> Lost | None:
        """Whether results may be published now.

        To be called when everything is staged, right before the first result is published. It
        renews the claim, so no rival that keeps time will take over for most of a `ttl`.

        Args:
            young: whether a beat of the last third of a `ttl` is enough.

        Raises:
            StorageError: there is no telling; nothing must be published.
        """
        with self._lock:
            if self._ended:
                raise RuntimeError(f"the claim on {self.key!r} has ended")
            if young and self._young:
                return self.lost
            return self._renew(self._record) or self.lost

    def release(self) -> bool:
        """End the claim after its job was finished, and everything else that its attempts left.

        Returns:
            False when something was left to the sweep: the claim is lost, nobody removes a lock
            after such a pause; or the storage failed.
        """
        with self._lock:
            self._ended, ended = True, self._ended
            try:
                # The lowest first, and the own one last: while it is there, everybody else who
                # gets a lower one steps back.
                return (
                    not ended
                    and all(self._remove(lower.lock, lower.content) for lower in self._lower)
                    and self._sweep()
                    and self._remove_own(sure=self._young and self._trouble is None)
                )
            except StorageError as error:
                self._trouble = error
                return False

    def give_back(self) -> bool:
        """End the claim before its job was finished, so that somebody else can begin at once.

        The locks of earlier attempts stay: they count how often the job has killed its worker.

        Returns:
            As `release`.
        """
        with self._lock:
            self._ended, ended = True, self._ended
            try:
                return not ended and self._remove_own()
            except StorageError as error:
                self._trouble = error
                return False

    def find_higher(self) -> str | None:
        """The lock of the next attempt, if there is one."""
        higher = lock_key(self.key, self.attempt + 1)
        return higher if self._storage.stat(higher) is not None else None

    def _silent(self) -> float:
        return self._clock.monotonic() - self._last_beat

    def _renew(self, record: LockRecord) -> Lost | None:
        if self.lost is None:
            began = self._clock.monotonic()
            self._lost = self._write(record) or self._look_lower()
            if self._lost is None:
                self._last_beat = began
                higher = self.find_higher()
                if higher is not None:
                    self._lost = Lost(Reason.SUPERSEDED, f"there is {higher!r}")
            self._trouble = None
        return self._lost

    def _write(self, record: LockRecord) -> Lost | None:
        record = replace(record, beat=record.beat + 1, beat_at=utc(self._clock.wall()))
        content = encode(record)
        try:
            try:
                self._storage.overwrite(self._own, self._content, content)
            except ChangedError:
                # A beat that failed may have been written all the same, in part or as a whole.
                found = self._storage.read(self._own)
                if not found.startswith(record.head()):
                    return Lost(Reason.REPLACED, f"{self._own!r} is somebody else's")
                self._storage.overwrite(self._own, found, content)
        except MissingError:
            return Lost(Reason.REMOVED, f"{self._own!r} is gone")
        self._record, self._content = record, content
        return None

    def _look_lower(self) -> Lost | None:
        for lower in self._lower:
            try:
                found = self._storage.read(lower.lock)
            except MissingError:
                return Lost(Reason.REPLACED, f"{lower.lock!r} is gone")
            if not same_claim(found, lower.content):
                return Lost(Reason.REPLACED, f"{lower.lock!r} is another one")
        return None

    def _remove_own(self, *, sure: bool = False) -> bool:
        """As `_remove`; what is in it is known, unless a beat has failed.

        Args:
            sure: see `Storage.remove`: while it beats, only a user's hand takes a holder's lock.
        """
        if self.lost is None:
            try:
                self._storage.remove(self._own, self._content, sure=sure)
            except ChangedError:
                pass
            else:
                return True
        return self._remove(self._own, self._content)

    def _remove(self, lock: str, content: bytes) -> bool:
        """Remove a lock file, unless it is another claim's or we have paused for long."""
        try:
            found = self._storage.read(lock)
        except MissingError:
            return True
        if not same_claim(found, content) or self.lost is not None:
            return False
        self._storage.remove(lock, found)
        return True

    def _sweep(self) -> bool:
        if self.lost is None:
            self._storage.sweep(staging_key(self.key))
        return self.lost is None


def utc(wall: float) -> str:
    """A time for people: UTC, ISO 8601, milliseconds."""
    moment = dt.datetime.fromtimestamp(wall, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
