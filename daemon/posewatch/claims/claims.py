"""Acquiring claims: by the first attempt, or by taking over from an attempt that died."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from posewatch import __version__
from posewatch.base.errors import ExistsError, MissingError, StorageError
from posewatch.claims.claim import Claim, LowerLock, utc
from posewatch.claims.names import lock_key
from posewatch.claims.record import LockRecord, encode, nonce_of
from posewatch.claims.survey import SeenLock, see

if TYPE_CHECKING:
    from posewatch.base.clock import Clock
    from posewatch.claims.observer import Observer
    from posewatch.storage.contract import Storage


@dataclass(frozen=True, slots=True)
class Owner:
    """Who claims; for people, and to tell claims of one machine apart.

    Attributes:
        host: name of the machine.
        pid: number of the process.
        boot: the machine's boot id; empty where it has none.
    """

    host: str
    pid: int
    boot: str


@dataclass(frozen=True, slots=True)
class Busy:
    """An input that is not to be had now.

    Attributes:
        lock: the lock that is in the way.
        record: what it says, where that was read.
    """

    lock: str
    record: LockRecord | None = None

    def __str__(self) -> str:
        if self.record is None:
            return f"{self.lock!r} is there"
        return f"{self.lock!r} is held by {self.record.host}, process {self.record.pid}"


class Claims:
    """Acquires the claims of one process. Safe to use from several threads.

    Args:
        storage: the watched folder.
        clock: the time.
        owner: this process.
        ttl: seconds without a beat after which others may take over.
        observer: how long locks have been unchanged; shared with whoever reads them in scans.
    """

    def __init__(
        self, storage: Storage, clock: Clock, owner: Owner, ttl: float, observer: Observer
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._owner = owner
        self._ttl = ttl
        self._observer = observer

    def acquire(self, key: str, job: str) -> Claim | Busy:
        """Try to get the claim on an input.

        Whoever gets it must read the receipt *after* this returned, or take it from
        `Claim.sighting`: the job may have been finished in between. From then on `Claim.beat` is
        due every `Claim.interval`.

        Args:
            key: the input.
            job: names its version and the recipe; for `Claim.tries`.

        Raises:
            StorageError: nothing was claimed.
        """
        # Whose names were free in the last scan, that can be tried without a look.
        free = self._storage.conditional and all(
            self._observer.missed(lock_key(key, attempt)) for attempt in (1, 2)
        )
        held = [] if free else self._held(key)
        if held and not held[-1].stale:
            return Busy(held[-1].lock, held[-1].record)
        record = self._record(key, job, attempt=len(held) + 1)
        own, begun = lock_key(key, record.attempt), self._clock.monotonic()
        lower = [LowerLock(seen.lock, seen.content) for seen in held]
        tries = 1 + sum(seen.record is None or seen.record.job == job for seen in held)
        claim = Claim(self._storage, self._clock, record, lower=lower, tries=tries, begun=begun)
        try:
            self._storage.create(own, encode(record))
        except ExistsError:
            return Busy(own)
        except StorageError:
            claim.give_back()  # it may only seem to have failed
            raise
        try:
            higher = None if free else claim.find_higher()
            if higher is not None:
                claim.give_back()
                return Busy(higher)
            # From here on no older attempt can publish anything that it has staged.
            nonces = [nonce_of(seen.content) for seen in held]
            tokens = [nonce for nonce in nonces if nonce is not None]
            claim.sighting = self._storage.fence(tokens, key)
        except StorageError:
            claim.give_back()
            raise
        return claim

    def _held(self, key: str) -> list[SeenLock]:
        """The locks of an input, from attempt 1 on."""
        held: list[SeenLock] = []
        with suppress(MissingError):
            while True:
                lock = lock_key(key, len(held) + 1)
                began = self._clock.monotonic()
                content = self._storage.read(lock)
                ended = self._clock.monotonic()
                held.append(
                    see(self._observer, lock, content, began=began, ended=ended, ttl=self._ttl)
                )
        return held

    def _record(self, key: str, job: str, attempt: int) -> LockRecord:
        now = utc(self._clock.wall())
        return LockRecord(
            key=key,
            job=job,
            attempt=attempt,
            nonce=secrets.token_hex(16),
            host=self._owner.host,
            pid=self._owner.pid,
            boot=self._owner.boot,
            since=now,
            ttl=self._ttl,
            version=__version__,
            beat_at=now,
        )
