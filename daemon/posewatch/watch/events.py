"""Hints from a bucket: its event notifications, as they arrive in a queue.

Threads: one, which waits for messages and hands keys to `hint`; it ends with `close`, after the
long poll that it is in has been left behind. A message is removed from the queue as soon as it was
read, by whichever daemon got it: events only wake somebody up, and what they miss, or tell twice or
too late, the next scan puts right.
"""

from __future__ import annotations

import json
import logging
import threading
from random import Random
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from posewatch.base.backoff import Backoff, Retries
from posewatch.base.errors import StorageError
from posewatch.base.logs import fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posewatch.base.clock import Clock
    from posewatch.storage.contract import Queue, QueueMessage

log = logging.getLogger(__name__)

DEEPEST: Final = 3
"""How many envelopes a message may be in: SNS puts one around it."""


def keys(body: str, bucket: str) -> list[str]:
    """The keys of a bucket that a message says were written.

    Understood are S3 event notifications, also inside of a notification of SNS, and the events of
    EventBridge. In the first kind keys are encoded as in a query, in the last they are plain.

    Raises:
        ValueError: it is none of these.
    """
    return list(_keys(body, bucket, DEEPEST))


def _keys(body: str, bucket: str, depth: int) -> Iterator[str]:
    try:
        content = json.loads(body)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    match content:
        case {"Records": list(records)}:
            for record in records:
                yield from _record(record, bucket)
        case {"Event": "s3:TestEvent"}:
            return  # what S3 sends when notifications are set up
        case {"detail-type": str(kind), "detail": {"bucket": {"name": name}, "object": thing}}:
            if kind == "Object Created" and name == bucket:
                yield _text(thing)
        case {"Type": "Notification", "Message": str(inner)} if depth:
            yield from _keys(inner, bucket, depth - 1)
        case _:
            raise ValueError("it is no event of a bucket")


def _record(record: Any, bucket: str) -> Iterator[str]:  # noqa: ANN401 -- whatever was sent
    match record:
        case {"eventName": str(event), "s3": {"bucket": {"name": name}, "object": thing}}:
            # AWS writes "ObjectCreated:Put", other servers "s3:ObjectCreated:Put".
            if event.removeprefix("s3:").startswith("ObjectCreated:") and name == bucket:
                yield unquote_plus(_text(thing), errors="surrogateescape")
        case _:
            raise ValueError("it has a record of another kind")


def _text(thing: Any) -> str:  # noqa: ANN401 -- whatever was sent
    if isinstance(thing, dict) and isinstance(key := thing.get("key"), str):
        return key
    raise ValueError("it names no object")


class BucketEvents:
    """Calls `hint` with the key of each object that was written, as the folder has it.

    Args:
        queue: where the events arrive.
        bucket: the bucket that is watched.
        prefix: of the keys that belong to the folder.
        hint: called from the thread.
        clock: the time.
    """

    def __init__(
        self, queue: Queue, bucket: str, prefix: str, hint: Callable[[str], None], clock: Clock
    ) -> None:
        self._queue = queue
        self._bucket = bucket
        self._prefix = prefix
        self._hint = hint
        self._clock = clock
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End. A poll that waits for messages is left behind."""
        self._closed.set()

    def _loop(self) -> None:
        retries = Retries(Backoff(first=1.0, limit=60.0), Random())  # noqa: S311 -- only jitter
        while not self._closed.is_set():
            try:
                messages = self._queue.receive()
                for message in messages:
                    self._tell(message)
                if messages:
                    self._queue.remove(messages)
            except StorageError:
                wait = retries.failed()
                if retries.failures == 1:
                    log.exception("no events of the bucket; scans find new videos meanwhile")
                self._clock.wait(self._closed, wait)
            else:
                if retries.failures:
                    log.info("events of the bucket arrive again")
                retries.succeeded()

    def _tell(self, message: QueueMessage) -> None:
        try:
            found = keys(message.body, self._bucket)
        except ValueError as error:
            log.warning("a message in the queue is left out", extra=fields(reason=str(error)))
            return
        for key in found:
            if key.startswith(self._prefix):
                self._hint(key.removeprefix(self._prefix))
