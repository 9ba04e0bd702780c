"""An idle machine is stopped, and only then: the loop, the files in the way, and the acts."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from posewatch.base.clock import ManualClock, SystemClock
from posewatch.base.errors import DeniedError, PosewatchError, SettingsError, UnmountedError
from posewatch.base.metrics import Outcome
from posewatch.config import IdleSettings, load
from posewatch.service.idler import REQUEST, act, forget_request
from posewatch.service.inbox import Ask
from service.doubles import House

if TYPE_CHECKING:
    from pathlib import Path

MINUTE = 60


class Idle(House):
    """A loop that stops its machine after ten minutes, and scans every ten seconds."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.stay = folder / "stay"
        about: dict[str, Any] = {
            "action": "command",
            "command": ["true"],
            "minutes": 10.0,
            "grace": 30.0,
            "stay": self.stay,
        }
        super().__init__(idle=about | settings)
        self.on_request = lambda: self.inbox.put(self.reader.scan())

    def minutes(self, count: float) -> None:
        """Time passes, a second in each turn; what the act leads to is taken in."""
        for _ in range(round(count * MINUTE)):
            self.turn(1.0)
            for thread in threading.enumerate():
                if thread.name == "idle-act":
                    thread.join(10)


@pytest.fixture
def idle(tmp_path: Path) -> Idle:
    return Idle(tmp_path)


def test_it_acts_once_after_its_time(idle: Idle) -> None:
    idle.put("a.mp4")
    idle.minutes(1)
    idle.finish("a.mp4")
    idle.minutes(9.9)
    assert idle.acts_done == []
    assert "in 3" in idle.daemon.idle
    idle.minutes(1)
    assert idle.acts_done == ["command"]
    idle.minutes(120)
    assert idle.acts_done == ["command"]
    idle.put("b.mp4")
    idle.minutes(1)
    idle.finish("b.mp4")
    idle.minutes(11)
    assert idle.acts_done == ["command", "command"]


def test_an_empty_folder_is_nothing_to_do(idle: Idle) -> None:
    idle.minutes(11)
    assert idle.acts_done == ["command"]


def test_it_is_told_in_the_log_in_words_and_in_numbers(
    idle: Idle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    idle.minutes(5)
    assert idle.daemon.idle == (
        "Nothing to do: the command of [idle] is run in 6 min, "
        f"unless a video comes or {idle.stay} is made."
    )
    assert idle.notifier.lines[-1] == idle.daemon.idle
    assert 295 <= idle.metric("posewatch_idle_seconds") <= 300
    idle.minutes(5.1)
    assert "nothing to do; the machine will be stopped" in caplog.text
    idle.minutes(1)
    assert "the machine was told to stop" in caplog.text


def test_a_video_calls_it_off(idle: Idle, caplog: pytest.LogCaptureFixture) -> None:
    idle.minutes(10.3)
    idle.put("a.mp4")
    idle.minutes(1)
    assert "the machine is not stopped after all" in caplog.text
    assert idle.working == ["a.mp4"]
    idle.minutes(60)
    assert idle.acts_done == []
    assert idle.metric("posewatch_idle_seconds") == 0


def test_a_video_that_only_the_last_look_finds_calls_it_off(idle: Idle) -> None:
    """A bucket is looked at rarely while there is nothing to do: before the end, once more."""
    rarely = idle.settings.watch.model_copy(update={"scan_interval": 7200.0})
    idle.daemon._schedule.watch = rarely
    idle.minutes(10.3)
    assert len(idle.requests) == 1
    idle.put("a.mp4")
    idle.minutes(30)
    assert len(idle.requests) >= 2
    assert idle.acts_done == []


def test_work_of_others_does_not_keep_it_up_until_it_is_left_behind(idle: Idle) -> None:
    idle.put("a.mp4")
    idle.memory.put("a.mp4.lock", b"somebody's first sign")
    idle.minutes(0.1)
    for beat in range(60):
        idle.memory.put("a.mp4.lock", b"sign %d" % beat)
        idle.minutes(0.2)
    assert idle.acts_done == ["command"]
    idle.minutes(3)  # longer than the ttl without a sign
    assert idle.working == ["a.mp4"]


@pytest.mark.parametrize("error", [UnmountedError("it is gone"), DeniedError("not yours")])
def test_never_while_the_folder_is_in_trouble(idle: Idle, error: Exception) -> None:
    idle.minutes(5)
    idle.on_request = lambda: idle.inbox.put(error)  # type: ignore[arg-type]
    idle.minutes(120)
    assert idle.acts_done == []


def test_never_before_the_folder_was_read(idle: Idle) -> None:
    idle.on_request = lambda: None
    idle.minutes(120)
    assert idle.acts_done == []


def test_never_while_a_part_of_the_folder_cannot_be_seen(idle: Idle) -> None:
    idle.memory.put("a.posewatch.json", b"{}")
    idle.fail("read", "a.posewatch.json", DeniedError("not yours"))
    idle.minutes(120)
    assert idle.acts_done == []


def test_never_while_this_machine_is_in_trouble(idle: Idle) -> None:
    idle.put("a.mp4")
    idle.minutes(1)
    idle.end("a.mp4", Outcome.RETRIED, error=OSError("the disk is full"), gone=True)
    idle.memory.delete("a.mp4")
    idle.minutes(120)
    assert idle.acts_done == []


def test_never_while_it_is_stopping(idle: Idle) -> None:
    idle.minutes(9)
    idle.inbox.put(Ask.STOP)
    idle.minutes(30)
    assert idle.acts_done == []


def test_not_unless_it_is_asked_for(tmp_path: Path) -> None:
    idle = Idle(tmp_path, action="none")
    idle.minutes(120)
    assert idle.acts_done == []
    assert idle.daemon.idle == ""


def test_a_file_in_its_way_keeps_the_machine_on(
    idle: Idle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    idle.minutes(10.3)
    idle.stay.touch()
    idle.minutes(60)
    assert idle.acts_done == []
    assert idle.daemon.idle.startswith(f"Nothing to do, but {idle.stay} is there")
    assert caplog.text.count("the machine stays on") == 1
    idle.stay.unlink()
    idle.minutes(0.2)
    assert idle.acts_done == []  # the whole grace
    idle.minutes(1)
    assert idle.acts_done == ["command"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
def test_a_file_that_cannot_be_looked_for_keeps_the_machine_on(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir(mode=0)
    idle = Idle(secret)
    idle.minutes(60)
    assert idle.acts_done == []


def test_another_daemon_of_this_machine_keeps_it_on_while_it_has_something_to_do(
    tmp_path: Path,
) -> None:
    idle, other = Idle(tmp_path), Idle(tmp_path, action="none")
    other.put("a.mp4")
    other.minutes(1)
    idle.minutes(60)
    assert idle.acts_done == []
    other.finish("a.mp4")
    other.minutes(0.1)
    idle.minutes(2)
    assert idle.acts_done == ["command"]


def test_what_fails_is_told_and_tried_again(idle: Idle, caplog: pytest.LogCaptureFixture) -> None:
    idle.act_fails = PosewatchError("no rights", hint="Give it some")
    idle.minutes(11)
    assert "the machine could not be told to stop" in caplog.text
    idle.minutes(9)
    assert idle.acts_done == ["command"]
    idle.minutes(2)
    assert idle.acts_done == ["command"] * 2


def test_a_machine_that_runs_on_is_told_again(tmp_path: Path) -> None:
    idle = Idle(tmp_path, action="poweroff", minutes=1.0)
    idle.minutes(2)
    assert idle.acts_done == ["poweroff"]
    idle.minutes(9)
    assert idle.acts_done == ["poweroff"]
    idle.minutes(4)
    assert idle.acts_done == ["poweroff"] * 2


# The acts


def test_a_command_is_run_without_a_shell(tmp_path: Path) -> None:
    done = tmp_path / "done $(echo no) & *"
    script = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"
    command = (sys.executable, "-c", script, os.fspath(done))
    act(IdleSettings(action="command", command=command), {}, SystemClock())
    assert done.exists()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("/nowhere/program",), "/nowhere/program cannot be run: No such file"),
        (
            (sys.executable, "-c", "print('a', flush=True); exit('no rights')"),
            "ended with 1 and said: no rig",
        ),
        ((sys.executable, "-c", "exit(3)"), "ended with 3 and said: nothing"),
    ],
)
def test_a_command_that_fails_says_why(command: tuple[str, ...], told: str) -> None:
    with pytest.raises(PosewatchError, match=told):
        act(IdleSettings(action="command", command=command), {}, SystemClock())


def test_a_command_must_be_given(tmp_path: Path) -> None:
    file = tmp_path / "posewatch.toml"
    file.write_text('[idle]\naction = "command"\n')
    with pytest.raises(SettingsError, match="command should be a program"):
        load(file)


def test_a_service_asks_for_the_power_to_be_cut(tmp_path: Path) -> None:
    request = tmp_path / REQUEST

    class Taken(ManualClock):
        def wait(self, event: threading.Event, seconds: float) -> bool:
            request.unlink()
            return super().wait(event, seconds)

    act(IdleSettings(action="poweroff"), {"RUNTIME_DIRECTORY": f"{tmp_path}:/else"}, Taken())
    assert not request.exists()


def test_a_request_that_nobody_takes_is_taken_back(tmp_path: Path) -> None:
    with pytest.raises(PosewatchError, match="nobody has taken") as told:
        act(IdleSettings(action="poweroff"), {"RUNTIME_DIRECTORY": str(tmp_path)}, ManualClock())
    assert "posewatch-poweroff.path" in told.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_request_of_an_earlier_life_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / REQUEST).touch()
    forget_request({"RUNTIME_DIRECTORY": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []
    forget_request({"RUNTIME_DIRECTORY": str(tmp_path)})
    forget_request({})


def test_without_a_service_manager_systemctl_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "systemctl"
    program.write_text('#!/bin/sh\necho "$@" >"${0%/*}/asked"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    act(IdleSettings(action="poweroff"), {}, SystemClock())
    assert (tmp_path / "asked").read_text() == "--check-inhibitors=yes poweroff\n"
