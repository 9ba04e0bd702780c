"""`status` and `retry`, from the files alone."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from real.daemons import failure_of, finished, put_video, until

if TYPE_CHECKING:
    from pathlib import Path

    from real.daemons import Fleet, Home


def _status(home: Home, folder: Path) -> dict[str, Any]:
    ended = home.command("status", folder, "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert isinstance(found, dict)
    return found


def test_status_tells_from_the_files_alone(folder: Path, fleet: Fleet) -> None:
    (folder / "sub").mkdir()
    done = put_video(folder / "sub" / "done.mp4")
    bad = folder / "bad.mp4"
    bad.write_text("not a video")
    daemon = fleet.daemon(folder, {"claims": {"ttl": 60.0}}).start()
    until(lambda: finished([done, bad]), "two are finished")
    working = put_video(folder / "working.mp4", frames=1500)
    daemon.says("claimed", video=working.name)
    pid = daemon.pid
    daemon.kill()
    put_video(folder / "waiting.mp4")

    found = _status(fleet.home, folder)
    assert found["counts"] == {"waiting": 1, "claimed": 1, "done": 1, "failed": 1}
    assert found["waiting"] == ["waiting.mp4"]
    assert found["done"] == ["sub/done.mp4"]
    assert found["frames"] == 4
    (claim,) = found["claimed"]
    assert (claim["name"], claim["pid"], claim["attempt"]) == ("working.mp4", pid, 1)
    assert claim["host"] == os.uname().nodename
    assert 0.0 <= claim["beat_seconds"] <= claim["held_seconds"] < 60.0
    (failed,) = found["failed"]
    assert (failed["name"], failed["fault"]) == ("bad.mp4", "not-a-video")
    assert failed["message"]

    text = fleet.home.command("status", folder, "--all")
    assert text.returncode == 0
    for name in ("sub/done.mp4", "bad.mp4", "working.mp4", "waiting.mp4", failed["message"]):
        assert name in " ".join(text.stdout.split())


def test_retry_forgets_what_is_asked_for(folder: Path, fleet: Fleet) -> None:
    home = fleet.home
    bad = [folder / f"{name}.mp4" for name in "abc"]
    for path in bad:
        path.write_text("not a video")
    assert home.command("run", folder, "--until-idle").returncode == 1

    assert home.command("retry", folder, "a.mp4").returncode == 0
    assert [failure_of(path) is None for path in bad] == [True, False, False]
    assert _status(home, folder)["waiting"] == ["a.mp4"]
    assert home.command("retry", folder, bad[1]).returncode == 0, "a path will do, too"
    assert [failure_of(path) is None for path in bad] == [True, True, False]

    unknown = home.command("retry", folder, "a.mp4")
    assert unknown.returncode == 1
    assert "no failure is recorded for a.mp4" in unknown.stderr
    assert home.command("retry", folder).returncode == 0
    assert _status(home, folder)["counts"] == {"waiting": 3, "claimed": 0, "done": 0, "failed": 0}

    put_video(bad[0], frames=2)
    assert home.command("run", folder, "--until-idle").returncode == 1
    assert _status(home, folder)["counts"] == {"waiting": 0, "claimed": 0, "done": 1, "failed": 2}


def test_a_running_daemon_notices_a_retry(folder: Path, fleet: Fleet) -> None:
    bad = folder / "bad.mp4"
    bad.write_text("not a video")
    daemon = fleet.daemon(folder).start()
    until(lambda: finished([bad]), "it fails")
    assert fleet.home.command("retry", folder).returncode == 0
    until(lambda: len(daemon.said("failed", video="bad.mp4")) == 2, "it fails again")
    assert daemon.stop() == 0
