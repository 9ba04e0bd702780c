"""What the locks of a folder tell: who holds what, and what can be swept away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from posewatch.claims.names import parse_lock
from posewatch.claims.record import LockRecord, decode
from posewatch.storage.contract import staging_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from posewatch.claims.observer import Observer

MAX_TTL: Final = 86_400.0
"""Seconds. No lock is respected for longer without a change, whatever its record says."""


@dataclass(frozen=True, slots=True)
class SeenLock:
    """A lock file, as it was seen.

    Attributes:
        lock: its key.
        key: the input.
        attempt: which.
        content: of the file.
        record: what that says; None where it is no record.
        stale: whether it has been unchanged for a whole `ttl`: its holder is dead, or has stopped.
    """

    lock: str
    key: str
    attempt: int
    content: bytes
    record: LockRecord | None
    stale: bool


def see(
    observer: Observer, lock: str, content: bytes, *, began: float, ended: float, ttl: float
) -> SeenLock:
    """Judge a lock that was just read.

    Args:
        observer: what was seen before.
        lock: the key.
        content: what was read.
        began: monotonic time before it was read.
        ended: monotonic time after it was read.
        ttl: of this process, in seconds; that of the record counts where it is longer.

    Raises:
        ValueError: `lock` is not the name of a lock.
    """
    parsed = parse_lock(lock)
    if parsed is None:
        raise ValueError(f"{lock!r} is not the name of a lock")
    record = decode(content)
    patience = max(ttl, min(record.ttl, MAX_TTL)) if record is not None else ttl
    stale = observer.see(lock, content, began, ended) >= patience
    return SeenLock(lock, *parsed, content, record, stale)


def survey(
    observer: Observer, locks: Mapping[str, bytes], *, began: float, ended: float, ttl: float
) -> dict[str, list[SeenLock]]:
    """Judge all locks of a listing; forgets those that are not in it.

    Args:
        observer: what was seen before.
        locks: key and content of each.
        began: monotonic time before the first was read.
        ended: monotonic time after the last was read.
        ttl: as in `see`.

    Returns:
        For each input its locks, the lowest attempt first. The job is held unless the last one is
        stale.
    """
    observer.forget_all_but(locks)
    seen = [
        see(observer, lock, content, began=began, ended=ended, ttl=ttl)
        for lock, content in locks.items()
    ]
    by_input: dict[str, list[SeenLock]] = {}
    for lock in sorted(seen, key=lambda lock: lock.attempt):
        by_input.setdefault(lock.key, []).append(lock)
    return by_input


def locks_to_sweep(
    held: Mapping[str, list[SeenLock]],
    finished: Callable[[str, LockRecord | None], bool],
    exists: Callable[[str], bool],
) -> list[SeenLock]:
    """The lock files that nobody needs any more, in the order in which to remove them.

    Nobody holds a job whose newest lock is stale. Its locks go when the job is finished (its owner
    died, or paused, before it had removed them), or when its input is gone. A lock without that of
    the attempt before it is no valid claim, and goes too.

    Args:
        held: from `survey`.
        finished: whether the job that a record of this input tells of is finished; the record is
            None where it cannot be read.
        exists: whether the input is there.
    """
    found = []
    for key, locks in held.items():
        if not locks[-1].stale:
            continue
        for place, lock in enumerate(locks, start=1):
            gap = lock.attempt != place
            if lock.stale and (gap or not exists(key) or finished(key, lock.record)):
                found.append(lock)
    return found


def hidden_to_sweep(
    hidden: Mapping[str, object],
    held: Iterable[str],
    observer: Observer,
    *,
    began: float,
    ended: float,
    ttl: float,
) -> list[str]:
    """The hidden leftovers that nobody needs any more.

    Args:
        hidden: key and version of each hidden file and directory of a listing.
        held: the inputs that have a lock: their staging directories are needed.
        observer: what was seen before; one that is not used for locks.
        began: monotonic time before the listing.
        ended: monotonic time after it.
        ttl: seconds for which a leftover must have been unchanged.
    """
    needed = {staging_key(key) for key in held}
    observer.forget_all_but(hidden)
    return [
        key
        for key, version in hidden.items()
        if observer.see(key, version, began, ended) >= ttl and key not in needed
    ]
