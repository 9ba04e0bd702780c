"""A queue of SQS, or of a server that speaks like it; see `posewatch.watch.events`."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from posewatch.base.errors import SettingsError, UnavailableError
from posewatch.storage.aws import connect
from posewatch.storage.contract import QueueMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from posewatch.storage.s3_place import S3Place

LONG_POLL: Final = 20
"""Seconds that one request waits for messages: the longest that SQS allows, and the cheapest."""

AT_ONCE: Final = 10
"""Messages in one answer: the most that SQS gives."""

AWS_HOST: Final = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?")


class SqsQueue:
    """See `Queue`.

    Args:
        url: of the queue.
        place: the bucket, whose credentials count here, too.

    Raises:
        SettingsError: it is no URL, or the settings of AWS contradict themselves.
    """

    def __init__(self, url: str, place: S3Place) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or not parts.path.strip("/"):
            raise SettingsError(
                f"watch.sqs: {url!r} is no URL of a queue",
                hint="It looks like https://sqs.eu-west-1.amazonaws.com/123456789012/videos",
            )
        match = AWS_HOST.fullmatch(parts.hostname)
        self._url = url
        self._client = connect(
            "sqs",
            place,
            endpoint=f"{parts.scheme}://{parts.netloc}",
            region=match[1] if match else None,
            read_timeout=LONG_POLL + 10,
        )

    def receive(self) -> Sequence[QueueMessage]:
        """See `Queue`."""
        with self._answers():
            answer = self._client.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=AT_ONCE, WaitTimeSeconds=LONG_POLL
            )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return [QueueMessage(item["Body"], item["ReceiptHandle"]) for item in found]

    def remove(self, messages: Sequence[QueueMessage]) -> None:
        """See `Queue`."""
        entries = [
            {"Id": str(number), "ReceiptHandle": message.handle}
            for number, message in enumerate(messages)
        ]
        with self._answers():
            self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)

    @contextmanager
    def _answers(self) -> Iterator[None]:
        from botocore import exceptions  # noqa: PLC0415 -- only where a queue is listened to

        try:
            yield
        except (exceptions.ClientError, exceptions.BotoCoreError) as error:
            raise UnavailableError(
                f"the queue {self._url} does not answer: {error}",
                hint="Check [watch] sqs, and that the credentials allow sqs:ReceiveMessage and "
                "sqs:DeleteMessage",
            ) from error
