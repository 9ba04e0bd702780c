from __future__ import annotations

import faulthandler
import logging
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from posewatch.service import crashes

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _hooks_of_pytest(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(faulthandler, "enable", lambda _file: None)
    return


def run_in_thread(error: BaseException) -> None:
    def fail() -> None:
        raise error

    thread = threading.Thread(target=fail, name="scanner")
    thread.start()
    thread.join()


def test_a_thread_that_dies_is_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    died: list[str] = []
    before = threading.excepthook
    with crashes.told(lambda: died.append(threading.current_thread().name)):
        run_in_thread(ValueError("a bug"))
    assert threading.excepthook is before
    assert died == ["scanner"]
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "a bug"


def test_a_thread_may_end_itself(caplog: pytest.LogCaptureFixture) -> None:
    died: list[None] = []
    with crashes.told(lambda: died.append(None)):
        run_in_thread(SystemExit())
    assert not died
    assert not caplog.records


def test_the_end_of_the_process_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with crashes.told(lambda: None):
        pass
    error = ValueError("a bug")
    sys.excepthook(ValueError, error, None)
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_ctrl_c_is_no_bug(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with crashes.told(lambda: None):
        pass
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert not caplog.records
    assert "KeyboardInterrupt" in capsys.readouterr().err


HANG = """
import os, signal, threading
from posewatch.service import crashes
def hanging_in_a_mount(ready):
    ready.set()
    threading.Event().wait()
ready = threading.Event()
with crashes.told(lambda: None):
    threading.Thread(target=hanging_in_a_mount, args=[ready], daemon=True).start()
    ready.wait()
    os.kill(os.getpid(), signal.SIGABRT)
"""


def test_an_abort_shows_where_each_thread_was() -> None:
    done = subprocess.run(  # noqa: S603 -- our own interpreter and code
        [sys.executable, "-c", HANG], capture_output=True, text=True, check=False
    )
    assert done.returncode == -6
    assert "Fatal Python error: Aborted" in done.stderr
    assert "in hanging_in_a_mount" in done.stderr
