"""What the files alone tell about a folder, and forgetting failures. Needs no running daemon."""

from __future__ import annotations

import os
import posixpath
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from posewatch.base.errors import ChangedError, DeniedError, MissingError
from posewatch.catalog import Catalog, Held, Rules, State
from posewatch.claims.names import parse_lock
from posewatch.claims.record import LockRecord, decode
from posewatch.formats import names, receipt
from posewatch.formats.receipt import Receipt
from posewatch.watch.scan import FolderReader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from posewatch.base.clock import Clock
    from posewatch.catalog import ReceiptFacts
    from posewatch.storage.contract import Storage
    from posewatch.watch.scan import Scan


@dataclass(frozen=True, slots=True)
class Claimed:
    """A video that somebody holds.

    Attributes:
        name: the input.
        host: the machine of the holder.
        pid: its process.
        attempt: 1, or more when earlier holders died.
        since: when it was claimed (UTC, ISO 8601).
        held_seconds: how long ago that was, by this machine's clock.
        beat_seconds: how long ago the holder last gave a sign, by this machine's clock.
        frames: how far it is; None while it is being fetched.
        total: frames of the video, where its container says.
    """

    name: str
    host: str
    pid: int
    attempt: int
    since: str
    held_seconds: float
    beat_seconds: float
    frames: int | None
    total: int | None


@dataclass(frozen=True, slots=True)
class Failed:
    """A video without results, and why."""

    name: str
    fault: str
    message: str
    hint: str
    readable_frames: int | None


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """Where every video of a folder stands.

    Attributes:
        waiting: not claimed, without results, or with outdated ones.
        claimed: worked on somewhere.
        done: with results.
        failed: with a failure.
        unlisted: folders and files that could not be looked at: there may be more videos.
        frames: frames in all results.
        footage_seconds: playing time of all videos that are done.
    """

    waiting: list[str] = field(default_factory=list)
    claimed: list[Claimed] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    unlisted: list[str] = field(default_factory=list)
    frames: int = 0
    footage_seconds: float = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """How many videos stand where."""
        return {name: len(getattr(self, name)) for name in ("waiting", "claimed", "done", "failed")}

    def to_json(self) -> dict[str, object]:
        """For programs; described in `docs/formats.md`."""
        return {"counts": self.counts, **asdict(self)}


def folder_status(
    storage: Storage, suffixes: tuple[str, ...], clock: Clock, alive: Callable[[], None]
) -> FolderStatus:
    """Read the whole folder once.

    Args:
        storage: the folder.
        suffixes: name endings of videos.
        clock: the time.
        alive: called now and then while it goes on.

    Raises:
        StorageError: the folder could not be read as a whole.
    """
    scan = FolderReader(storage, suffixes, clock, alive).scan()
    holders = newest_holders(scan)
    # No recipe is wanted here, so none of them is outdated.
    rules = Rules(suffixes, recipe_hash=None, settle=0.0, scans=1, tags=storage.tags_stay)
    catalog = Catalog(rules)
    now = clock.monotonic()
    catalog.scanned(scan.listing, now)
    for key, told in scan.receipts.items():
        catalog.receipt_read(key, told)
    catalog.settle_up(dict.fromkeys(holders, Held.ELSEWHERE), now)
    return standing(catalog, holders, unlisted_keys(scan), clock)


def standing(
    catalog: Catalog,
    holders: Mapping[str, LockRecord | None],
    unlisted: list[str],
    clock: Clock,
) -> FolderStatus:
    """Where every video stands, as a catalog has it.

    Args:
        catalog: what is known of the folder.
        holders: the newest lock of each input that has one; None where it cannot be read.
        unlisted: what could not be looked at.
        clock: the time.
    """
    now, wall = clock.monotonic(), clock.wall()
    found = FolderStatus(unlisted=unlisted)
    frames, footage = 0, 0.0
    for key in sorted(catalog.keys()):
        state = catalog.verdict(key, now).state
        facts = catalog.facts(key)
        if state is State.DONE and facts is not None:
            found.done.append(key)
            frames += facts.frames
            footage += facts.footage_seconds
        elif state is State.FAILED:
            found.failed.append(_failed(key, facts))
        elif key in holders:
            found.claimed.append(_claimed(key, holders[key], wall))
        else:
            found.waiting.append(key)
    return replace(found, frames=frames, footage_seconds=footage)


def unlisted_keys(scan: Scan) -> list[str]:
    """What a scan could not look at, in order."""
    return sorted(skipped.key for skipped in scan.skipped if skipped.error is not None)


def _claimed(key: str, holder: LockRecord | None, now: float) -> Claimed:
    if holder is None:  # not to be read; it is taken over like any silent one
        return Claimed(key, "?", 0, 1, "", 0.0, 0.0, None, None)
    return Claimed(
        name=key,
        host=holder.host,
        pid=holder.pid,
        attempt=holder.attempt,
        since=holder.since,
        held_seconds=_seconds_since(holder.since, now),
        beat_seconds=_seconds_since(holder.beat_at, now),
        frames=holder.done,
        total=holder.total,
    )


def _seconds_since(moment: str, now: float) -> float:
    try:
        return round(now - datetime.fromisoformat(moment).timestamp(), 1)
    except (ValueError, OverflowError):  # somebody's hands
        return 0.0


def _failed(key: str, facts: ReceiptFacts | None) -> Failed:
    if facts is None:  # nothing can be written beside it, not even this
        error = names.too_long_error(key)
        return Failed(key, error.fault.value, error.message, error.hint, None)
    failure = facts.failure
    if failure is None:
        return Failed(key, "", "its receipt does not say why", "", None)
    return Failed(key, failure.fault.value, failure.message, failure.hint, failure.readable_frames)


def newest_holders(scan: Scan) -> dict[str, LockRecord | None]:
    """The record of the newest attempt for each input that has a lock; None for a damaged one."""
    newest: dict[str, tuple[int, bytes]] = {}
    for lock_key, content in scan.locks.items():
        parsed = parse_lock(lock_key)
        if parsed is not None and parsed[1] >= newest.get(parsed[0], (0, b""))[0]:
            newest[parsed[0]] = parsed[1], content
    return {key: decode(content) for key, (_, content) in newest.items()}


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What came of forgetting failures.

    Attributes:
        names: the inputs whose failure was removed.
        missing: what was asked for and has no failure.
        refused: receipts that may not be read or removed, and why.
    """

    names: list[str]
    missing: list[str]
    refused: list[DeniedError]


def forget_failures(storage: Storage, asked: Mapping[str, Sequence[str]] | None) -> Forgotten:
    """Remove recorded failures, so that the videos are tried again.

    Args:
        storage: the folder.
        asked: for each name that was given the inputs that it may mean, the likeliest first
            (`meant`); None for every failure in the folder.

    Raises:
        StorageError: the folder could not be read.
    """
    forgotten: list[str] = []
    refused: list[DeniedError] = []
    missing: list[str] = []
    if asked is None:
        # A list, since what is removed while the folder is listed may confuse the listing.
        for key in [e.key for e in storage.scan(lambda _key: False) if names.is_receipt(e.key)]:
            _forget(storage, key, None, forgotten, refused)
    for name, keys in (asked or {}).items():
        places = [(k, at) for k in keys for at in (names.receipt_key(k), names.refusal_key(k))]
        if not any(_forget(storage, at, key, forgotten, refused) for key, at in places):
            missing.append(name)
    return Forgotten(sorted(forgotten), missing, refused)


def _forget(
    storage: Storage,
    receipt_key: str,
    key: str | None,
    forgotten: list[str],
    refused: list[DeniedError],
) -> bool:
    """Remove a failure, if there is one and it is about `key`; whether there was."""
    try:
        content = storage.read(receipt_key)
        found = receipt.decode(content)
        if not isinstance(found, Receipt) or found.outcome != "failed":
            return False
        about = names.split(receipt_key)[0] + found.input.name
        if key not in {None, about}:
            return False
        storage.remove(receipt_key, content)
    except (MissingError, ChangedError):  # a daemon was quicker: it is another receipt now
        return False
    except DeniedError as error:
        refused.append(error)
        return True
    forgotten.append(about)
    return True


def meant(folder: Path, name: str, cwd: Path) -> list[str]:
    """The inputs that a name on a command line may mean.

    Args:
        folder: the watched one.
        name: as `posewatch status` tells it, or a path to the file.
        cwd: what that path is relative to.
    """
    found = []
    told = posixpath.normpath(name)
    if not told.startswith(("/", "..")):
        found.append(told)
    path, root = cwd / name, folder.resolve()
    parent = path.parent.resolve()  # not the file itself, which may be a link
    if parent.is_relative_to(root):
        found.append(os.fspath((parent / path.name).relative_to(root)))
    return list(dict.fromkeys(found))
