from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import ManualClock, SystemClock
from posewatch.service.notify import (
    Notifier,
    SilentNotifier,
    SystemdNotifier,
    Watchdog,
    notifier,
    watchdog_interval,
)
from posewatch.service.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """What systemd listens on."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield listener


def received(listener: socket.socket) -> str:
    return listener.recv(4096).decode()


def use_all(notifier: Notifier) -> None:
    notifier.ready()
    notifier.reloading()
    notifier.stopping()
    notifier.status("3 videos in flight")
    notifier.extend_timeout(90.5)
    notifier.feed_watchdog()


ALL = [
    "READY=1",
    "RELOADING=1\nMONOTONIC_USEC=1000250000",
    "STOPPING=1",
    "STATUS=3 videos in flight",
    "EXTEND_TIMEOUT_USEC=90500000",
    "WATCHDOG=1",
]


class Sent(list[str]):
    def send(self, message: str) -> None:
        self.append(message)


def test_every_report_is_written_as_systemd_expects() -> None:
    sent = Sent()
    use_all(SystemdNotifier(sent.send, ManualClock(start=1000.25)))
    assert sent == ALL


def test_every_report_arrives(systemd: socket.socket) -> None:
    pytest.importorskip("systemd.daemon")
    use_all(notifier(os.environ, ManualClock(start=1000.25)))
    assert [received(systemd) for _ in ALL] == ALL


def test_the_moment_of_a_reload_is_on_systemds_clock() -> None:
    sent = Sent()
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    SystemdNotifier(sent.send, SystemClock()).reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert before <= int(sent[0].rpartition("=")[2]) <= after


def test_a_status_is_one_line_and_sent_when_it_changes() -> None:
    sent = Sent()
    reports = SystemdNotifier(sent.send, ManualClock())
    for text in ("idle", "idle", "a\nREADY=1\x1b\udcff", "idle", "x" * 5000):
        reports.status(text)
    assert sent[:3] == ["STATUS=idle", r"STATUS=a\nREADY=1\x1b\udcff", "STATUS=idle"]
    assert len(sent) == 4
    assert len(sent[3]) < 300


def test_a_report_that_cannot_be_sent_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    broken = True

    def send(message: str) -> None:
        if broken:
            raise ConnectionRefusedError(111, "Connection refused", message)

    reports = SystemdNotifier(send, ManualClock())
    reports.ready()
    reports.feed_watchdog()
    assert len(caplog.records) == 1
    broken = False
    reports.feed_watchdog()
    broken = True
    reports.feed_watchdog()
    assert len(caplog.records) == 2


def test_a_socket_that_is_gone_does_not_stop_the_service(
    systemd: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("systemd.daemon")
    reports = notifier(os.environ, SystemClock())
    Path(systemd.getsockname()).unlink()
    reports.ready()
    assert "cannot be told" in caplog.text


def test_nobody_is_told_where_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    silent = notifier({}, ManualClock())
    assert isinstance(silent, SilentNotifier)
    use_all(silent)
    assert not caplog.records


def test_a_missing_library_is_told_where_systemd_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "systemd", None)
    silent = notifier({"NOTIFY_SOCKET": "/run/systemd/notify"}, ManualClock())
    assert isinstance(silent, SilentNotifier)
    assert "posewatch[systemd]" in caplog.text


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "me"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_in_its_time(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_interval(environ, pid=42) == seconds


def test_the_watchdog_is_this_process_by_default() -> None:
    environ = {"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}
    assert watchdog_interval(environ) == 1.0


def test_the_watchdog_is_fed_only_while_the_loop_makes_progress(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock = ManualClock()
    sent = Sent()
    progress = Progress(clock, patience=30)
    watchdog = Watchdog(SystemdNotifier(sent.send, clock), progress, clock, 15)
    told = []
    for _ in range(6):  # at 15, 30 s: in time; then silent
        clock.advance(15)
        told.append(watchdog.check())
    assert told == [True, True, False, False, False, False]
    assert sent == ["WATCHDOG=1"] * 2
    assert [r.levelname for r in caplog.records] == ["ERROR"]
    assert "no progress for 45 s" in caplog.text
    progress.mark()
    assert watchdog.check()
    assert "goes on" in caplog.text
    with progress.during("loading the networks", 300):
        clock.advance(290)
        assert watchdog.check()
        clock.advance(20)
        assert not watchdog.check()
    assert "while loading the networks" in caplog.text


class SteppedClock(ManualClock):
    """Its `wait` returns when the test says so, or when the event is set."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = threading.Semaphore(0)
        self.waits: list[float] = []

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        while not event.is_set():
            if self.steps.acquire(timeout=0.01):
                return False
        return True


def test_the_thread_feeds_and_ends(systemd: socket.socket) -> None:
    """The whole of it: a real thread, a real socket."""
    clock = SteppedClock()
    progress = Progress(clock, patience=30)

    def send(message: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(message.encode(), os.environ["NOTIFY_SOCKET"])

    watchdog = Watchdog(SystemdNotifier(send, clock), progress, clock, 15)
    watchdog.start()
    for _ in range(3):
        clock.steps.release()
        assert received(systemd) == "WATCHDOG=1"
    clock.advance(31)
    clock.steps.release()
    watchdog.close()
    watchdog.close()
    assert set(clock.waits) == {15}
    systemd.settimeout(0)
    with pytest.raises(BlockingIOError):
        systemd.recv(4096)
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}


def test_a_watchdog_that_was_never_started_can_be_closed() -> None:
    clock = ManualClock()
    Watchdog(SilentNotifier(), Progress(clock, 30), clock, 15).close()
