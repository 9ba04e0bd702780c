"""A queue of SQS, on a real server."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import SettingsError, UnavailableError
from posewatch.storage.aws import connect
from posewatch.storage.s3_place import S3Place
from posewatch.storage.sqs import SqsQueue

if TYPE_CHECKING:
    from s3.servers import Server


@pytest.fixture
def url(moto_server: Server) -> str:
    """A new queue."""
    client = connect("sqs", moto_server.place("any"), endpoint=moto_server.endpoint)
    made: str = client.create_queue(QueueName=f"posewatch-{secrets.token_hex(8)}")["QueueUrl"]
    return made


def test_messages_come_at_once_and_go_when_they_are_removed(moto_server: Server, url: str) -> None:
    place = moto_server.place("any")
    client = connect("sqs", place, endpoint=moto_server.endpoint)
    for number in range(3):
        client.send_message(QueueUrl=url, MessageBody=f"message {number}")
    queue = SqsQueue(url, place)
    began, bodies = time.monotonic(), []
    while len(bodies) < 3:
        found = queue.receive()
        bodies += [message.body for message in found]
        queue.remove(found)
    assert sorted(bodies) == ["message 0", "message 1", "message 2"]
    assert time.monotonic() - began < 10
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    left = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    assert left == dict.fromkeys(names, "0")


def test_a_queue_that_is_not_there_is_told(moto_server: Server) -> None:
    queue = SqsQueue(f"{moto_server.endpoint}/123456789012/nothing", moto_server.place("any"))
    with pytest.raises(UnavailableError, match=r"the queue .* does not answer") as caught:
        queue.receive()
    assert "watch] sqs" in caught.value.hint


@pytest.mark.parametrize("url", ["videos", "arn:aws:sqs:eu-west-1:1:videos", "https://host"])
def test_what_is_no_url_of_a_queue_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="no URL of a queue"):
        SqsQueue(url, S3Place("clips"))


def test_the_region_of_a_queue_of_aws_is_in_its_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    place = S3Place("clips", region="us-east-2")
    queue = SqsQueue("https://sqs.eu-west-1.amazonaws.com/123456789012/videos", place)
    assert queue._client.meta.region_name == "eu-west-1"
