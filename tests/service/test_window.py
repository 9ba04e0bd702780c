"""Looking at what stands in the folder costs the loop little, however many look."""

from __future__ import annotations

import threading
from dataclasses import replace

from posewatch.base.clock import ManualClock, SystemClock
from posewatch.claims.record import LockRecord
from posewatch.service.inspect import Failed, FolderStatus, folder_status
from posewatch.service.window import PATIENCE, View, Window
from service.doubles import House


class Loop:
    """Answers at once, and takes some time for it."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.clock = ManualClock()
        self.window = Window(self.clock, self.wake)
        self.seconds = seconds
        self.asked = 0

    def wake(self) -> None:
        self.asked += 1
        began = self.clock.monotonic()
        self.clock.advance(self.seconds)
        self.window.show(View(FolderStatus(waiting=[str(self.asked)]), began, self.seconds))


def test_the_loop_is_asked_only_when_somebody_looks() -> None:
    loop = Loop()
    view = loop.window.look()
    assert view is not None
    assert view.status.waiting == ["1"]
    assert loop.asked == 1


def test_who_looks_often_sees_the_same_again() -> None:
    loop = Loop(seconds=0.3)
    first = loop.window.look()
    loop.clock.advance(5.6)
    assert loop.window.look() is first
    loop.clock.advance(0.5)  # 0.3 s are 5 % of 6 s
    assert loop.window.look() is not first
    assert loop.asked == 2


def test_a_loop_that_hangs_is_waited_for_only_a_moment() -> None:
    clock = ManualClock()
    window = Window(clock, lambda: None)
    began = clock.monotonic()
    assert window.look() is None
    assert clock.monotonic() == began + PATIENCE


def test_a_loop_that_hangs_leaves_what_was_seen_before() -> None:
    loop = Loop()
    seen = loop.window.look()
    loop.wake = lambda: None  # type: ignore[method-assign]
    loop.window._wake = lambda: None
    loop.clock.advance(100.0)
    assert loop.window.look() is seen


def test_many_who_look_at_once_are_one() -> None:
    asked = threading.Event()
    window = Window(SystemClock(), asked.set)
    views: list[View | None] = []
    threads = [threading.Thread(target=lambda: views.append(window.look())) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert asked.wait(10)
    view = View(FolderStatus(), SystemClock().monotonic(), 0.0)
    window.show(view)
    for thread in threads:
        thread.join(10)
    assert views == [view] * 8


# What the loop shows


def shown(house: House) -> FolderStatus | None:
    """What somebody sees who looks now."""
    house.clock.advance(60.0)
    house.inbox.put(house.reader.scan())
    house.turn()
    seen: list[View | None] = []
    thread = threading.Thread(target=lambda: seen.append(house.window.look()))
    house.window._wake = lambda: None
    house.daemon._take_look()
    thread.start()
    thread.join(10)
    assert seen[0] is not None
    return seen[0].status


def test_before_the_first_scan_there_is_nothing_to_see() -> None:
    house = House()
    house.daemon._take_look()
    assert house.window._view is None


def test_the_loop_shows_what_posewatch_status_finds() -> None:
    house = House()
    house.put("a.mp4", "b.mp4", "c.mp4", "d.mp4", "x" * 240 + ".mp4")
    house.settle()
    house.finish("a.mp4")
    house.finish("b.mp4", failed=True)
    house.turn(1.0)
    record = LockRecord("c.mp4", "j", 1, "0" * 32, "here", 7, "", "", 60.0, "", done=3, total=4)
    house.heart.records = {"c.mp4": record}
    found = shown(house)
    assert found is not None
    assert (found.done, found.waiting) == (["a.mp4"], ["d.mp4"])
    assert [failed.name for failed in found.failed] == ["b.mp4", "x" * 240 + ".mp4"]
    assert [(c.name, c.host, c.frames, c.total) for c in found.claimed] == [("c.mp4", "here", 3, 4)]
    suffixes = house.settings.watch.suffixes
    alone = folder_status(house.memory, suffixes, house.clock, lambda: None)
    # Nobody has written the lock file in this test: to files alone, it is waiting.
    assert replace(found, claimed=[], waiting=["c.mp4", "d.mp4"]) == alone


def test_what_was_given_back_is_waiting_at_once() -> None:
    house = House()
    house.put("a.mp4")
    house.settle()
    house.daemon._holders = {"a.mp4": None}
    house.end("a.mp4", None)
    house.turn(1.0)
    house.daemon._take_look()
    assert house.window._view is not None
    assert house.window._view.status.waiting == ["a.mp4"]


def test_a_failure_without_words_is_told_as_such() -> None:
    house = House()
    house.put("b.mp4")
    house.settle()
    house.finish("b.mp4", failed=True)
    house.turn(1.0)
    found = shown(house)
    assert found is not None
    assert found.failed == [Failed("b.mp4", "", "its receipt does not say why", "", None)]
