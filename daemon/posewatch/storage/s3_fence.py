"""The fence of a bucket: a stamp on the one object whose writing commits a job, its receipt.

A bucket has no second names and no directories that could be closed. What it has is a write on
condition, for one key at a time. So every attempt, before it publishes anything, writes a stamp of
its own to the receipt's key, and writes its receipt only over that very stamp. Whoever takes the
job over writes another stamp there: from then on the condition of the older attempt's write never
holds again, wherever that write is, in a paused process or on its way, since each stamp has a
nonce and no ETag ever comes back.

A stamp is JSON like the receipt. Where a receipt stands already, it keeps all its fields and gets
one more, which readers of receipts ignore; else what stands there looks like a damaged receipt. A
JSON file of another program is never stamped: while it stands there, nobody commits.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from posewatch.base.errors import ChangedError, ExistsError, FencedError, UnavailableError
from posewatch.base.own import OURS, fields_of
from posewatch.storage.contract import SMALL_FILE_LIMIT, Seen, Version
from posewatch.storage.s3_sure import body_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from posewatch.storage.s3_sure import SureObjects

FIELD: Final = "fence"
"""The field of the stamp."""

ABOUT: Final = (
    "No receipt yet: posewatch writes it here when the results are there. "
    "It is safe to delete this file while no video of this name is worked on."
)
"""What a stamp without a receipt says to people."""

TRIES: Final = 100
"""How often a stamp is tried when rivals write theirs at the same time: each does so a few times
at most."""

CLOSED_LIMIT: Final = 200
"""Closed attempts that a stamp remembers; far more than ever follow each other before one ends."""


@dataclass(frozen=True, slots=True)
class Fence:
    """What a stamp says.

    Attributes:
        token: of the attempt that may commit; None if there is none.
        beside: the input of that attempt: `0042.mp4` and `0042.mov` have one receipt.
        closed: tokens of attempts that were taken over, the last one last.
    """

    token: str | None = None
    beside: str | None = None
    closed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sight:
    """What stands at the receipt's key.

    Attributes:
        data: the content; None where nothing stands.
        version: of the object; None where nothing stands.
        fence: what the stamp in it says.
    """

    data: bytes | None
    version: Version | None
    fence: Fence


def fence_of(data: bytes | None) -> Fence:
    """What the stamp in a content says; of nobody, where there is none. Never raises."""
    found = _object(data).get(FIELD)
    if not isinstance(found, dict):
        return Fence()
    token, beside, closed = (found.get(name) for name in ("token", "input", "closed"))
    return Fence(
        token if isinstance(token, str) else None,
        beside if isinstance(beside, str) else None,
        tuple(item for item in closed if isinstance(item, str)) if isinstance(closed, list) else (),
    )


def stamped(data: bytes | None, fence: Fence) -> bytes:
    """A content with a new stamp in the place of an old one; no two are ever equal."""
    stamp = {
        "token": fence.token,
        "input": fence.beside,
        "closed": list(fence.closed[-CLOSED_LIMIT:]),
        "nonce": secrets.token_hex(16),
    }
    fields = _object(data) or {OURS: 1, "about": ABOUT}
    return (json.dumps({**fields, FIELD: stamp}, indent=2) + "\n").encode()


def is_bare(data: bytes) -> bool:
    """Whether a content is a stamp and nothing else."""
    return _object(data).keys() == {OURS, "about", FIELD}


def is_foreign(data: bytes | None) -> bool:
    """Whether another program wrote it: whole JSON, and no receipt. What is damaged may be ours."""
    try:
        return fields_of(data or b"") is None
    except ValueError:
        return False


def _object(data: bytes | None) -> dict[str, Any]:
    try:
        fields = json.loads(data or b"")
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def look(objects: SureObjects, key: str) -> Sight:
    """What stands at the receipt's key."""
    there = objects.get(key, SMALL_FILE_LIMIT)
    if there is None:
        return sight_of(None)
    return sight_of(Seen(Version(there.found.size, there.found.etag), there.data))


def sight_of(seen: Seen | None) -> Sight:
    """What was seen at the receipt's key."""
    if seen is None:
        return Sight(None, None, Fence())
    return Sight(seen.data, seen.version, fence_of(seen.data))


def open_area(
    objects: SureObjects, key: str, token: str, beside: str, last: Sight | None = None
) -> tuple[Sight, Sight]:
    """Stamp the receipt for one attempt.

    Args:
        objects: the bucket.
        key: of the receipt.
        token: of the attempt.
        beside: the input.
        last: what the attempt has seen there, and decided by; None where it is to be looked at now.
            The condition of the write tells whether it still stands there.

    Returns:
        What stood there before, and the stamp. A file of another program is left as it is, and is
        both of them: nobody commits there.

    Raises:
        FencedError: the attempt was taken over.
        ChangedError: what stands there is not `last`.
    """
    sight = last or look(objects, key)
    for _ in range(TRIES):
        if token in sight.fence.closed:
            raise FencedError(f"the work on {beside!r} was taken over")
        if last is not None and sight.version != last.version:
            raise ChangedError(f"{key!r} was written since it was looked at")
        if is_foreign(sight.data):
            return sight, sight
        stamp = _stamp(objects, key, sight, Fence(token, beside, sight.fence.closed))
        if stamp is not None:
            return sight, stamp
        sight = look(objects, key)
    raise UnavailableError(f"could not stage results of {beside!r}: its receipt keeps changing")


def close_areas(objects: SureObjects, key: str, tokens: Iterable[str], beside: str) -> Sight:
    """Make sure that no attempt that has stamped the receipt so far, or one of `tokens`, commits.

    Args:
        objects: the bucket.
        key: of the receipt.
        tokens: of attempts that may not have stamped it yet.
        beside: the input.

    Returns:
        What stood there when all were closed.
    """
    wanted = tuple(tokens)
    for _ in range(TRIES):
        sight = look(objects, key)
        if is_foreign(sight.data):  # no older attempt can have found less
            return sight
        fence = sight.fence
        stamper = (fence.token,) if fence.token is not None and fence.beside == beside else ()
        closing = [t for t in (*wanted, *stamper) if t not in fence.closed]
        if not closing:
            return sight
        closed = Fence(closed=tuple(dict.fromkeys((*fence.closed, *closing))))
        stamp = _stamp(objects, key, sight, closed)
        if stamp is not None:
            return stamp
    raise UnavailableError(f"could not take over {beside!r}: its receipt keeps changing")


def _stamp(objects: SureObjects, key: str, sight: Sight, fence: Fence) -> Sight | None:
    """Write a stamp over what was seen; None when that is not there any more."""
    data = stamped(sight.data, fence)
    expected = sight.version.tag if sight.version is not None else None
    try:
        etag = objects.put(key, body_of(data), expected)
    except (ChangedError, ExistsError):
        return None
    return Sight(data, Version(len(data), etag), fence_of(data))
