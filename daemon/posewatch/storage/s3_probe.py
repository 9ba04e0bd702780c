"""Whether a bucket really does what sharing it safely needs: asked once at start, not believed."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from posewatch.base.errors import (
    ChangedError,
    DeniedError,
    ExistsError,
    ReadOnlyError,
    SettingsError,
    StorageError,
    UnmountedError,
    UnsupportedError,
)
from posewatch.storage.contract import HIDDEN_PREFIX
from posewatch.storage.s3_objects import ObjectStore
from posewatch.storage.s3_sure import MisconfiguredError, SureObjects, body_of

if TYPE_CHECKING:
    from posewatch.base.clock import Clock

LASTING: Final = (
    MisconfiguredError,
    UnmountedError,
    ReadOnlyError,
    DeniedError,
    UnsupportedError,
)
"""What does not pass by itself while somebody waits for the start."""


class Probed(ObjectStore, Protocol):
    """A bucket whose conditions can be put in two ways."""

    quoted: bool
    """Whether the ETag in a condition of `put` is quoted; set by `probe`."""


@dataclass(frozen=True, slots=True)
class Promises:
    """What a server was seen to keep.

    Attributes:
        unsafe: why several daemons cannot share the bucket; empty where they can.
        md5: whether the ETag of an object that was written at once is the MD5 of its content, so
            that it can be told before it is written. It is not where the bucket is encrypted with
            keys of KMS.
    """

    unsafe: str
    md5: bool


def probe(store: Probed, prefix: str, clock: Clock) -> Promises:
    """Try out what claims and publishing rest on, with a hidden object that is removed again.

    Costs 8 requests, and 2 more where a server wants ETags without quotes.

    Args:
        store: the bucket.
        prefix: of the folder in it.
        clock: the time.

    Raises:
        SettingsError: the bucket cannot be used with these settings; says why.
        StorageError: there is no telling now; to be tried again.
    """
    objects, key = SureObjects(store, clock), f"{prefix}{HIDDEN_PREFIX}probe-{secrets.token_hex(8)}"
    try:
        try:
            unsafe, etag, md5 = _try_out(store, objects, key)
            listed = {item.key: item.etag for item in objects.list(key).objects}
            if not unsafe and listed.get(key) != etag:
                unsafe = "a listing does not show what has just been written"
        except StorageError:
            with suppress(StorageError):  # which says less
                objects.delete(key)
            raise
        objects.delete(key)
        return Promises(unsafe, md5)
    except LASTING as error:
        raise SettingsError(error.message, hint=error.hint) from error


def _try_out(store: Probed, objects: SureObjects, key: str) -> tuple[str, str, bool]:
    """Why it is unsafe, the last ETag, and whether it is the MD5."""
    bodies = [body_of(secrets.token_bytes(16)) for _ in range(4)]
    first = objects.put(key, bodies[0], None)
    md5 = first == bodies[0].md5.hex()
    try:
        second = objects.put(key, bodies[1], None)
    except ExistsError:
        pass
    else:
        return "the server ignores If-None-Match: the same object was created twice", second, md5
    try:
        current = objects.put(key, bodies[2], first)
    except ChangedError:
        store.quoted = not store.quoted
        try:
            current = objects.put(key, bodies[2], first)
        except ChangedError:
            return "the server refuses If-Match, even where it holds", first, md5
    try:
        last = objects.put(key, bodies[3], first)
    except ChangedError:
        return "", current, md5
    return "the server ignores If-Match: an object was overwritten that had changed", last, md5


def check_safe(promises: Promises, place: str) -> None:
    """Refuse a bucket that several daemons cannot share.

    Raises:
        SettingsError: it is one; names the alternatives.
    """
    if promises.unsafe:
        raise SettingsError(
            f"{place} cannot be shared by several daemons: {promises.unsafe}",
            hint="Run one daemon with --single-writer, or give each of n daemons a fixed share of "
            "the videos with --share 1/n, --share 2/n, ...",
        )
