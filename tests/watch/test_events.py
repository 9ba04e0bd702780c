"""Events of a bucket, in all shapes that they come in, and the thread that waits for them."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewatch.base.clock import ManualClock
from posewatch.base.errors import UnavailableError
from posewatch.storage.contract import QueueMessage
from posewatch.watch.events import BucketEvents, keys

if TYPE_CHECKING:
    from collections.abc import Sequence


def record(key: str, event: str = "ObjectCreated:Put", bucket: str = "clips") -> dict[str, Any]:
    where = {"bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": {"key": key}}
    return {"eventSource": "aws:s3", "eventName": event, "s3": where}


def notification(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": records})


def bridged(key: str, kind: str = "Object Created", bucket: str = "clips") -> str:
    detail = {"version": "0", "bucket": {"name": bucket}, "object": {"key": key, "size": 5}}
    return json.dumps({"source": "aws.s3", "detail-type": kind, "detail": detail})


def sns(message: str) -> str:
    return json.dumps({"Type": "Notification", "TopicArn": "arn", "Message": message})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (notification(record("talks/a.mp4")), ["talks/a.mp4"]),
        (notification(record("a+b%2Bc%C3%A4.mp4")), ["a b+cä.mp4"]),
        (notification(record("a.mp4", "s3:ObjectCreated:CompleteMultipartUpload")), ["a.mp4"]),
        (notification(record("a.mp4"), record("b.mp4", "ObjectCreated:Copy")), ["a.mp4", "b.mp4"]),
        (notification(record("a.mp4", "ObjectRemoved:Delete")), []),
        (notification(record("a.mp4", bucket="others")), []),
        (notification(), []),
        (bridged("talks/a b+c%20.mp4"), ["talks/a b+c%20.mp4"]),
        (bridged("a.mp4", "Object Deleted"), []),
        (bridged("a.mp4", bucket="others"), []),
        (sns(notification(record("a.mp4"))), ["a.mp4"]),
        (sns(bridged("a.mp4")), ["a.mp4"]),
        (json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "clips"}), []),
    ],
)
def test_the_keys_of_what_was_written(body: str, expected: list[str]) -> None:
    assert keys(body, "clips") == expected


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "[]",
        "{}",
        "[" * 100_000,
        '{"Records": [5]}',
        '{"Records": {}}',
        notification({"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": "clips"}}}),
        notification(record(5)),  # type: ignore[arg-type]
        notification(record("a.mp4"), {"eventName": "ObjectCreated:Put"}),
        sns(sns(sns(sns(notification(record("a.mp4")))))),
        sns("hello"),
    ],
)
def test_what_is_no_event_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        keys(body, "clips")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["Records", "s3", "detail", "detail-type", "object", "key"]), inner
        )
    ),
    max_leaves=9,
)


@given(json_values)
def test_nothing_else_is_ever_raised(value: object) -> None:
    with contextlib.suppress(ValueError):
        keys(json.dumps(value), "clips")


class MemoryQueue:
    """Hands out what it has; the last call that finds nothing says so, and closes."""

    def __init__(self, *answers: list[str] | UnavailableError) -> None:
        self.answers = list(answers)
        self.removed: list[str] = []
        self.empty = threading.Event()

    def receive(self) -> Sequence[QueueMessage]:
        if not self.answers:
            self.empty.set()
            threading.Event().wait(0.01)
            return []
        answer = self.answers.pop(0)
        if isinstance(answer, UnavailableError):
            raise answer
        return [QueueMessage(body, f"{len(self.answers)}/{n}") for n, body in enumerate(answer)]

    def remove(self, messages: Sequence[QueueMessage]) -> None:
        self.removed += [message.handle for message in messages]


def told(queue: MemoryQueue, prefix: str = "") -> list[str]:
    hints: list[str] = []
    events = BucketEvents(queue, "clips", prefix, hints.append, ManualClock())
    assert queue.empty.wait(10)
    events.close()
    events._thread.join(10)
    assert not events._thread.is_alive()
    return hints


def test_what_is_told_is_removed_also_where_it_is_about_nothing() -> None:
    strange = notification(record("others/b.mp4"))
    queue = MemoryQueue([notification(record("talks/a.mp4")), strange], [], ["hello"])
    assert told(queue, prefix="talks/") == ["a.mp4"]
    assert queue.removed == ["2/0", "2/1", "0/0"]


def test_a_message_that_is_no_event_is_told_and_hides_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert told(MemoryQueue(["hello", notification(record("a.mp4"))])) == ["a.mp4"]
    assert caplog.messages == ["a message in the queue is left out"]


def test_a_queue_that_does_not_answer_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    gone = UnavailableError("no answer")
    assert told(MemoryQueue(gone, gone, [notification(record("a.mp4"))])) == ["a.mp4"]
    assert caplog.messages == [
        "no events of the bucket; scans find new videos meanwhile",
        "events of the bucket arrive again",
    ]
