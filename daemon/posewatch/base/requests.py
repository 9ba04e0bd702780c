"""What requests to a bucket ask for, and what becomes of them: the labels of their metric."""

from __future__ import annotations

from enum import StrEnum


class Request(StrEnum):
    """What a request asks for."""

    PUT = "put"
    GET = "get"
    HEAD = "head"
    LIST = "list"
    DELETE = "delete"


class Answer(StrEnum):
    """What became of a request."""

    OK = "ok"
    MISSING = "missing"  # there is no such object
    REFUSED = "refused"  # the condition did not hold
    DENIED = "denied"  # credentials, permissions, region, clock
    THROTTLED = "throttled"  # 429, or 503 SlowDown
    FAILED = "failed"  # any other answer that is an error
    LOST = "lost"  # no answer, or only a part of one
