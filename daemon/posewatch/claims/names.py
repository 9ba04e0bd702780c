"""What the lock files of an input are called: `X.lock`, then `X.lock.2`, `X.lock.3`, ..."""

from __future__ import annotations

import re
from typing import Final

PATTERN: Final = re.compile(
    r"(?P<input>.*[^/])\.lock(\.(?P<attempt>[2-9]|[1-9][0-9]{1,8}))?", re.DOTALL
)


def lock_key(key: str, attempt: int) -> str:
    """The lock of one attempt, counted from 1, at an input."""
    return f"{key}.lock" if attempt == 1 else f"{key}.lock.{attempt}"


def parse_lock(lock: str) -> tuple[str, int] | None:
    """The input and the attempt that a lock is for; None for any other name."""
    match = PATTERN.fullmatch(lock)
    return (match["input"], int(match["attempt"] or 1)) if match else None


def input_of_lock(lock: str) -> str | None:
    """The input that a lock is for; None for any other name."""
    parsed = parse_lock(lock)
    return parsed[0] if parsed else None
