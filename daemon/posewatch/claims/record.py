"""The content of a lock file: JSON that a person can read.

The fields that stay the same for the whole life of a claim come first, the others last, and the
whole is padded with spaces, so that each beat has the same length and changes only the tail: even a
beat of which only a part was written still tells whose claim it is.

A record of an unknown future version is read as far as it goes. What is no record at all is None:
such a lock can be taken over like any other that does not change for a whole `ttl`.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = 1
"""Bumped when a reader of today could misunderstand the file."""

TAIL_ROOM: Final = 320
"""Bytes for the fields that change, at their longest (four integers of 64 bits, one time)."""

BLOCK: Final = 512
"""The length of a lock file is a multiple of this many bytes."""

NONCE: Final = re.compile(rb'"nonce": "([0-9a-f]{32})"')


@dataclass(frozen=True, slots=True)
class LockRecord:
    """What a lock file says.

    Attributes:
        key: the input, as its holder calls it.
        job: which version of the input and which recipe, in the caller's words.
        attempt: 1, or more after earlier holders died.
        nonce: names this claim: 32 hexadecimal digits.
        host: the machine of the holder.
        pid: its process.
        boot: the machine's boot id.
        since: when it was claimed (UTC, ISO 8601); for people.
        ttl: seconds without a beat after which others may take over.
        version: of posewatch.
        beat: counts the beats.
        beat_at: when the last beat was (UTC, ISO 8601); for people.
        done: frames that are done.
        total: frames that there are; None where that is not known.
    """

    key: str
    job: str
    attempt: int
    nonce: str
    host: str
    pid: int
    boot: str
    since: str
    ttl: float
    version: str
    beat: int = 0
    beat_at: str = ""
    done: int | None = None
    total: int | None = None

    def head(self) -> bytes:
        """The bytes that all records of this claim begin with."""
        fields: dict[str, str | float | None] = {
            "posewatch": FORMAT,
            "input": self.key,
            "job": self.job,
            "attempt": self.attempt,
            "nonce": self.nonce,
            "host": self.host,
            "pid": self.pid,
            "boot": self.boot,
            "since": self.since,
            "ttl": self.ttl,
            "version": self.version,
        }
        return b"{\n" + _lines(fields) + b",\n"


def encode(record: LockRecord) -> bytes:
    """The content of the lock file; as long for each record of one claim.

    Raises:
        ValueError: a changing field is longer than there is room for.
    """
    head = record.head()
    length = -(-(len(head) + TAIL_ROOM) // BLOCK) * BLOCK
    tail: dict[str, str | float | None] = {
        "beat": record.beat,
        "beat_at": record.beat_at,
        "frames_done": record.done,
        "frames_total": record.total,
    }
    data = head + _lines(tail) + b"\n}"
    if len(data) >= length:
        raise ValueError(f"the tail of a lock record has no room: {len(data)} of {length} bytes")
    return data.ljust(length - 1) + b"\n"


def _lines(fields: Mapping[str, str | float | None]) -> bytes:
    # ASCII, with escapes: also for the lone surrogates that stand for undecodable names.
    return ",\n".join(f'  "{name}": {json.dumps(value)}' for name, value in fields.items()).encode()


def decode(data: bytes) -> LockRecord | None:
    """The record in `data`, or None when it is none. Never raises."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        return None
    nonce = nonce_of(data)
    if not isinstance(fields, dict) or nonce is None or fields.get("nonce") != nonce:
        return None
    return LockRecord(
        key=_text(fields, "input"),
        job=_text(fields, "job"),
        attempt=_count(fields, "attempt") or 1,
        nonce=nonce,
        host=_text(fields, "host"),
        pid=_count(fields, "pid") or 0,
        boot=_text(fields, "boot"),
        since=_text(fields, "since"),
        ttl=_seconds(fields, "ttl"),
        version=_text(fields, "version"),
        beat=_count(fields, "beat") or 0,
        beat_at=_text(fields, "beat_at"),
        done=_count(fields, "frames_done"),
        total=_count(fields, "frames_total"),
    )


def nonce_of(data: bytes) -> str | None:
    """The nonce of the claim, also where the rest of the record is damaged."""
    match = NONCE.search(data)
    return match[1].decode() if match else None


def same_claim(one: bytes, other: bytes) -> bool:
    """Whether two contents of a lock file are from one claim, perhaps from different beats."""
    nonce = nonce_of(one)
    return one == other if nonce is None else nonce == nonce_of(other)


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _count(fields: Mapping[str, object], name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) and value >= 0 else None


def _seconds(fields: Mapping[str, object], name: str) -> float:
    value = fields.get(name)
    number = isinstance(value, int | float) and abs(value) < 1e9 and math.isfinite(value)
    return max(float(value), 0.0) if number and isinstance(value, int | float) else 0.0
