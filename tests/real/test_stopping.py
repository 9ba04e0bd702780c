"""Signals: finishing, giving back, reading the settings again; and exit statuses."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from real.daemons import assert_whole, finished, leftovers, put_video, receipt_of, until

if TYPE_CHECKING:
    from real.daemons import Daemon, Fleet

LONG = 1500
"""Frames of a video that takes longer than any test waits for it."""

PATIENT = {"claims": {"ttl": 60.0}}
"""A lease so long that only a claim that was given back can be had by another daemon."""


def _working(daemon: Daemon, video: Path) -> None:
    """Wait until the video has its turn, not only its claim."""
    daemon.says("claimed", video=video.name)
    until(
        lambda: daemon.metric("posewatch_frames_total", recipe="mediapipe") > 0,
        "frames come",
        every=0.2,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_can_be_finished_in_time_is_finished(
    folder: Path, fleet: Fleet, number: signal.Signals
) -> None:
    video = put_video(folder / "short.mp4", frames=80)
    daemon = fleet.daemon(folder, {**PATIENT, "work": {"grace": 60.0}}).start()
    _working(daemon, video)
    daemon.send(number)
    assert daemon.ended() == 0
    assert assert_whole(video, 80).attempt == 1
    assert leftovers(folder) == []
    assert daemon.said("stopped")


def test_what_cannot_be_finished_is_given_back_to_the_next_daemon(
    folder: Path, fleet: Fleet
) -> None:
    video = put_video(folder / "long.mp4", frames=LONG)
    daemon = fleet.daemon(folder, {**PATIENT, "work": {"grace": 0.5, "videos_in_flight": 1}})
    other = fleet.daemon(folder, {**PATIENT, "work": {"grace": 0.5}})
    _working(daemon.start(), video)
    other.start().ready()
    begun = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - begun < 10.0
    assert daemon.said("given back", video=video.name)
    # At once, and not as a second attempt: nothing had gone wrong.
    assert other.says("claimed", video=video.name, seconds=20.0)["attempt"] == 1
    assert other.stop() == 0


def test_a_video_that_had_not_begun_is_given_back_at_once(folder: Path, fleet: Fleet) -> None:
    begun = put_video(folder / "a.mp4", frames=100)
    late = put_video(folder.parent / "b.mp4", frames=LONG)
    settings = {**PATIENT, "work": {"videos_in_flight": 1, "prefetch": 1, "grace": 60.0}}
    daemon = fleet.daemon(folder, settings).start()
    _working(daemon, begun)
    waiting = late.rename(folder / late.name)
    daemon.says("claimed", video=waiting.name)
    daemon.send(signal.SIGTERM)
    daemon.says("given back", video=waiting.name)
    assert daemon.ended() == 0
    assert_whole(begun, 100)
    assert receipt_of(waiting) is None
    assert leftovers(folder) == []


def test_a_second_signal_does_not_wait(folder: Path, fleet: Fleet) -> None:
    video = put_video(folder / "long.mp4", frames=LONG)
    daemon = fleet.daemon(folder, {**PATIENT, "work": {"grace": 600.0}}).start()
    _working(daemon, video)
    daemon.send(signal.SIGTERM)
    daemon.says("stopping")
    daemon.send(signal.SIGTERM)
    assert daemon.ended(20.0) == 0
    assert receipt_of(video) is None
    assert leftovers(folder) == []


def test_no_decoder_outlives_its_daemon(folder: Path, fleet: Fleet) -> None:
    video = put_video(folder / "long.mp4", frames=LONG)
    daemon = fleet.daemon(folder).start()
    _working(daemon, video)
    decoders = daemon.decoders()
    assert decoders
    daemon.kill()
    until(lambda: not any(_lives(pid) for pid in decoders), "the decoders end")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_changed_settings_file_is_taken_over(folder: Path, fleet: Fleet) -> None:
    daemon = fleet.daemon(folder).start().ready()
    video = put_video(folder / "a.mp4")
    until(lambda: finished([video]), "it is done")
    static = receipt_of(video)
    daemon.configure({"recipe": {"mode": "tracking"}, "http": {"port": 1}})
    daemon.send(signal.SIGHUP)
    daemon.says("the settings were read again")
    assert daemon.said("a restart is needed to change it", setting="http")
    later = put_video(folder / "b.mp4")
    until(lambda: finished([later]), "it is done")
    tracked = receipt_of(later)
    assert static is not None
    assert tracked is not None
    assert tracked.recipe.settings["mode"] == "tracking"
    assert tracked.recipe.hash != static.recipe.hash
    assert daemon.stop() == 0


def test_a_broken_settings_file_changes_nothing(folder: Path, fleet: Fleet) -> None:
    daemon = fleet.daemon(folder).start().ready()
    daemon.settings_file.write_text("[watch]\nscan_interval = 'often'\n")
    daemon.send(signal.SIGHUP)
    line = daemon.says("the settings stay as they were")
    assert "watch.scan_interval" in line["message"]
    video = put_video(folder / "a.mp4")
    until(lambda: finished([video]), "it works on")
    assert daemon.get("/readyz")[0] == 200
    assert daemon.stop() == 0


def test_a_reload_while_it_starts_does_not_end_it(folder: Path, fleet: Fleet) -> None:
    daemon = fleet.daemon(folder).start()
    # Its first sign of life: the networks are still to be loaded.
    daemon.says("metrics and health are served")
    daemon.send(signal.SIGHUP)
    daemon.says("the settings were read again")
    assert daemon.stop() == 0


# -- exit statuses ----------------------------------------------------------------------------


def test_until_idle_tells_by_its_status_whether_all_went_well(folder: Path, fleet: Fleet) -> None:
    run = fleet.home.command
    video = put_video(folder / "good.mp4")
    assert run("run", folder, "--until-idle").returncode == 0
    assert_whole(video, 4)
    (folder / "bad.mp4").write_text("not a video")
    assert run("run", folder, "--until-idle").returncode == 1
    assert run("run", folder, "--until-idle").returncode == 1, "an old failure is one, too"
    (folder / "bad.mp4").unlink()
    assert run("run", folder, "--until-idle").returncode == 0
    assert leftovers(folder) == []


def test_until_idle_waits_for_what_others_work_on(folder: Path, fleet: Fleet) -> None:
    video = put_video(folder / "long.mp4", frames=150)
    _working(fleet.daemon(folder).start(), video)
    assert fleet.home.command("run", folder, "--until-idle").returncode == 0
    assert_whole(video, 150)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run"], "no folder to watch"),
        (["run", "nowhere"], "is not a folder"),
        (["run", ".", "--config", "none.toml"], "none.toml"),
        (["run", ".", "--config", "wrong.toml"], "watch.scan_interval"),
        (["run", ".", "--config", "unknown.toml"], "there is no setting watch.colour"),
        (["run", ".", "--config", "text.toml"], "not valid TOML"),
        (["run", ".", "--mode", "dreaming"], "dreaming"),
        (["run", ".", "--until-tea"], "until-tea"),
        (["dance"], "dance"),
        (["status", "nowhere"], "is not a folder"),
    ],
)
def test_wrong_usage_and_settings_are_status_two(
    fleet: Fleet, arguments: list[str], complaint: str
) -> None:
    home = fleet.home
    (home.path / "wrong.toml").write_text("[watch]\nscan_interval = -1\n")
    (home.path / "unknown.toml").write_text("[watch]\ncolour = 'blue'\n")
    (home.path / "text.toml").write_text("Not TOML, but a letter.\n")
    ended = home.command(*arguments)
    assert ended.returncode == 2
    assert complaint in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_status_two(folder: Path, fleet: Fleet) -> None:
    first = fleet.daemon(folder).start()
    port = first.says("metrics and health are served")["address"].rstrip("/").rpartition(":")[2]
    second = fleet.daemon(folder, {"http": {"port": int(port)}}).start()
    assert second.ended() == 2
    assert "http.port" in second.told()
