"""What the loop is told, in which order."""

from __future__ import annotations

import threading

from posewatch.service.inbox import Ask, Hint, Inbox


def test_messages_come_out_in_the_order_in_which_they_went_in() -> None:
    inbox = Inbox()
    inbox.put(Hint("a.mp4"))
    inbox.put(Hint("b.mp4"))
    assert [inbox.get(0.0) for _ in range(3)] == [Hint("a.mp4"), Hint("b.mp4"), None]


def test_what_is_asked_comes_first_and_hides_nothing() -> None:
    inbox = Inbox()
    for message in (Hint("a.mp4"), Ask.RELOAD, Hint("b.mp4"), Ask.STOP, Hint("c.mp4")):
        inbox.put(message)
    assert [inbox.get(0.0) for _ in range(6)] == [
        Ask.RELOAD,
        Ask.STOP,
        Hint("a.mp4"),
        Hint("b.mp4"),
        Hint("c.mp4"),
        None,
    ]


def test_what_is_asked_wakes_whoever_waits() -> None:
    inbox = Inbox()
    asking = threading.Timer(0.05, inbox.put, [Ask.STOP])
    asking.start()
    assert inbox.get(60.0) is Ask.STOP
    asking.join()
