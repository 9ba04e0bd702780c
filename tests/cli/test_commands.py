"""The commands as somebody at a terminal, or a script, meets them."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from posewatch import __version__
from posewatch.base import logs
from posewatch.base.errors import Fault
from posewatch.claims.names import lock_key
from posewatch.claims.record import LockRecord, encode
from posewatch.cli import tables
from posewatch.config import PoseMode, Settings
from posewatch.formats import names, receipt
from posewatch.formats.receipt import (
    FailureRecord,
    InputRecord,
    Receipt,
    RecipeRecord,
    WorkRecord,
)
from posewatch.service import build, inspect
from posewatch.service.checkup import Unit
from posewatch.service.overview import Overview

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.terminal import Ran

HOSTILE = (
    "a\nb.mp4",
    "\x1b[2J\x1b[31mred.mp4",
    "[bold]markup[/].mp4",
    "\u202eevil.mp4",
    "\udcff.mp4",
)
COMMANDS = [
    [],
    ["run"],
    ["status"],
    ["retry"],
    ["show"],
    ["models"],
    ["models", "list"],
    ["models", "pull"],
    ["models", "show"],
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def put(folder: Path, key: str, outcome: str = "", message: str = "it ends early") -> None:
    """A video, and what has become of it."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"video")
    if outcome:
        found = path.stat()
        failure = FailureRecord(fault=Fault.TRUNCATED, message=message, hint="Copy it again")
        record = Receipt(
            outcome=outcome,
            input=InputRecord(name=path.name, size=found.st_size, tag=str(found.st_mtime_ns)),
            recipe=RecipeRecord(name="m", hash="h"),
            attempt=1,
            nonce="n",
            failure=failure if outcome == "failed" else None,
            work=WorkRecord(frames=1000, footage_seconds=3600.0),
        )
        Path(names.receipt_key(os.fspath(path))).write_bytes(receipt.encode(record))


def claim(folder: Path, key: str, host: str = "there", **about: object) -> None:
    """Somebody works on a video."""
    record = {
        "key": key,
        "job": "",
        "attempt": 1,
        "nonce": "0" * 32,
        "host": host,
        "pid": 42,
        "boot": "",
        "since": "2020-01-01T00:00:00Z",
        "ttl": 60.0,
        "version": "1",
        "beat_at": "2100-01-01T00:00:00Z",
    }
    content = encode(LockRecord(**(record | about)))  # type: ignore[arg-type]
    (folder / lock_key(key, 1)).write_bytes(content)


# Help and usage


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_fits(run: Callable[..., Ran], command: list[str]) -> None:
    ran = run(*command, "--help")
    assert ran.status == 0
    assert ran.err == ""
    for line in ran.out.splitlines():
        assert len(line) <= 80
        assert "…" not in line


@pytest.mark.parametrize("command", [[], ["models"]], ids=["posewatch", "models"])
def test_without_a_command_the_help_is_told(run: Callable[..., Ran], command: list[str]) -> None:
    ran = run(*command)
    assert ran.status == 2
    assert "Usage: posewatch" in ran.out + ran.err


def test_the_version(run: Callable[..., Ran]) -> None:
    ran = run("--version")
    assert (ran.status, ran.out) == (0, f"posewatch {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["bogus"], "bogus"),
        (["run", "--bogus"], "--bogus"),
        (["run", "--mode", "fast"], "'fast' is not one of 'static'"),
        (["status"], "FOLDER"),
        (["retry"], "FOLDER"),
        (["show"], "RESULT"),
        (["models", "show"], "NAME"),
        (["models", "show", "nope"], "called 'nope'\nKnown: dwpose, mediapipe-holistic"),
        (["run"], "no folder to watch\nName it: posewatch run FOLDER"),
        (["run", "/no/where", "--until-idle"], "/no/where is not a folder\nMake it, or mount it"),
        (["status", "/no/where"], "/no/where is not a folder"),
        (["retry", "/no/where"], "/no/where is not a folder"),
        (["run", "/", "--config", "/no/where.toml"], "settings file /no/where.toml: No such file"),
        (["status", "/tmp", "--config", "/no/where.toml"], "/no/where.toml"),  # noqa: S108
    ],
)
def test_wrong_usage_is_told_with_status_2(
    run: Callable[..., Ran], arguments: list[str], told: str
) -> None:
    ran = run(*arguments)
    assert ran.status == 2
    assert told in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err


def test_a_wrong_setting_is_told_with_its_name(run: Callable[..., Ran], tmp_path: Path) -> None:
    path = tmp_path / "posewatch.toml"
    path.write_text("[watch]\nscan_intervall = 5\n")
    ran = run("run", tmp_path, "--config", path)
    assert ran.status == 2
    assert f"error: in {path}: there is no setting watch.scan_intervall\n" in ran.err
    assert "docs/settings.md" in ran.err


def test_a_missing_model_is_told_with_what_to_do(
    run: Callable[..., Ran], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSEWATCH_MODELS", os.fspath(tmp_path / "models"))
    ran = run("run", folder, "--until-idle")
    assert ran.status == 2
    assert "models pull mediapipe-holistic" in ran.err


def test_messages_can_do_nothing_to_the_terminal(run: Callable[..., Ran], tmp_path: Path) -> None:
    ran = run("status", tmp_path / "\x1b[2J[bold]x[/]")
    assert ran.status == 2
    assert "\\x1b[2J[bold]x[/]" in ran.err
    assert "\x1b" not in ran.err


def test_under_systemd_an_end_goes_to_the_journal(
    run: Callable[..., Ran],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(logs, "leads_to_journal", lambda *_: True)
    monkeypatch.setattr(logs, "configure", lambda: None)
    ran = run("status", tmp_path / "nothing")
    assert (ran.status, ran.out, ran.err) == (2, "", "")
    (record,) = caplog.records
    assert (record.levelname, record.message) == ("CRITICAL", "posewatch ends")


# run


@pytest.mark.parametrize(
    ("overview", "status", "told"),
    [
        (Overview(videos=2, done=2, frames=100, frames_per_second=5.0), 0, "2 done, 0 failed"),
        (Overview(), 0, "0 done, 0 failed"),
        (Overview(videos=2, done=1, failed=1), 1, "posewatch status tells why"),
        (Overview(videos=1, done=1, unlisted=1), 1, "1 folder or file could not be looked at"),
        (Overview(videos=1, done=1, unlisted=2), 1, "2 folders or files could not be looked at"),
        (Overview(videos=2, done=1, refused=1), 1, "1 video is where nothing can be written"),
        (Overview(videos=3, done=1, interrupted=True), 130, "interrupted; 2 videos are left"),
        (Overview(videos=3, failed=3, interrupted=True), 130, "0 done, 3 failed"),
    ],
)
def test_how_working_off_ended(
    run: Callable[..., Ran],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    overview: Overview,
    status: int,
    told: str,
) -> None:
    def drain(_settings: Settings, given: Path, show: Callable[[Overview], None]) -> Overview:
        assert given == str(folder)
        show(Overview(videos=2))
        show(overview)
        return overview

    monkeypatch.setattr(build, "drain", drain)
    ran = run("run", folder, "--until-idle")
    assert ran.status == status
    assert told in ran.out


def test_a_summary_tells_the_pace(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overview = Overview(videos=1, done=1, frames=12_345, frames_per_second=24.56)
    monkeypatch.setattr(build, "drain", lambda *_: overview)
    assert (
        "1 done, 0 failed; 12,345 frames, 24.6 a second" in run("run", folder, "--until-idle").out
    )


def test_a_daemon_gets_its_settings_anew_each_time(
    run: Callable[..., Ran], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "posewatch.toml"
    path.write_text("[work]\ngrace = 1\n")

    def serve(load: Callable[[], Settings], given: Path | None) -> None:
        assert given == str(folder)
        assert (load().work.grace, load().recipe.mode) == (1, PoseMode.TRACKING)
        path.write_text("[work]\ngrace = 2\n[recipe]\nmode = 'static'\n")
        assert (load().work.grace, load().recipe.mode) == (2, PoseMode.TRACKING)

    monkeypatch.setattr(build, "serve", serve)
    assert run("run", folder, "--config", path, "--mode", "tracking").status == 0


@pytest.mark.parametrize("until_idle", [True, False])
def test_ctrl_c_while_it_starts_is_no_traceback(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch, *, until_idle: bool
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "drain", interrupted)
    monkeypatch.setattr(build, "serve", interrupted)
    ran = run("run", folder, *(["--until-idle"] if until_idle else []))
    assert ran.status == 130
    assert "Traceback" not in ran.err


# status


def test_status_tells_where_everything_stands(run: Callable[..., Ran], folder: Path) -> None:
    put(folder, "new.mp4")
    put(folder, "talks/done.mp4", "done")
    put(folder, "failed.mp4", "failed")
    put(folder, "claimed.mp4")
    claim(folder, "claimed.mp4", done=250, total=1000, attempt=2)
    put(folder, "fetched.mp4")
    claim(folder, "fetched.mp4")
    ran = run("status", folder)
    assert ran.status == 0
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines[0] == "waiting 1 claimed 2 done 1 failed 1"
    assert lines[1] == "1,000 frames, 60 min of video are done"
    text = " ".join(lines)
    assert "there, process 42 (attempt 2)" in text
    assert "250 of 1,000" in text
    assert "not begun" in text
    assert "0 s ago" in text, "a sign from the future was a moment ago"
    assert "it ends early" in text
    assert "Copy it again" in text
    assert "new.mp4" in text
    assert "talks/done.mp4" not in text
    assert "talks/done.mp4" in run("status", folder, "--all").out


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-5.0, "0 s"), (119.0, "119 s"), (120.0, "2 min"), (7199.0, "120 min"), (9000.0, "2.5 h")],
)
def test_durations_are_told_as_people_would(seconds: float, told: str) -> None:
    assert tables._span(seconds) == told


@pytest.mark.parametrize(
    ("done", "total", "told"),
    [(None, None, "not begun"), (1500, None, "1,500"), (1500, 3000, "1,500 of 3,000")],
)
def test_progress_is_told_as_far_as_it_is_known(
    done: int | None, total: int | None, told: str
) -> None:
    assert tables._frames(done, total) == told


def test_a_failure_without_a_hint_has_none() -> None:
    status = inspect.FolderStatus(failed=[inspect.Failed("a.mp4", "empty", "it is empty", "", 0)])
    console = Console(width=80, record=True, file=io.StringIO())
    tables.print_status(status, console, everything=False)
    assert console.export_text().splitlines()[-1].split() == ["a.mp4", "it", "is", "empty"]


def test_status_of_an_empty_folder(run: Callable[..., Ran], folder: Path) -> None:
    ran = run("status", folder)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.split() == ["waiting", "0", "claimed", "0", "done", "0", "failed", "0"]


def test_long_lists_are_cut_short_unless_all_is_asked_for(
    run: Callable[..., Ran], folder: Path
) -> None:
    for number in range(25):
        put(folder, f"{number:02}.mp4")
    ran = run("status", folder)
    assert "… and 5 more; --all lists them" in ran.out
    assert ran.out.count(".mp4") == 20
    assert run("status", folder, "--all").out.count(".mp4") == 25


def test_status_for_programs_holds_every_name(run: Callable[..., Ran], folder: Path) -> None:
    for name in HOSTILE:
        put(folder, name)
    put(folder, "f\x1b.mp4", "failed", message="\x1b[31mred")
    claim(folder, HOSTILE[0], host="\x1b]0;title\x07")
    ran = run("status", folder, "--json")
    assert ran.status == 0
    assert ran.out.isascii()
    told = json.loads(ran.out)
    assert set(told["waiting"]) == set(HOSTILE[1:])
    assert told["claimed"][0]["host"] == "\x1b]0;title\x07"
    assert told["failed"][0]["message"] == "\x1b[31mred"
    assert told["counts"] == {"waiting": 4, "claimed": 1, "done": 0, "failed": 1}


@pytest.mark.parametrize("columns", [20, 40, 80, 500])
def test_no_name_breaks_a_table(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in HOSTILE:
        put(folder, f"w{name}")
        put(folder, f"f{name}", "failed", message="evil \x1b[2J\nnew line [red]x[/]")
        put(folder, f"c{name}")
        claim(folder, f"c{name}", host="\x1b[31m[bold]host")
    ran = run("status", folder, "--all")
    assert ran.status == 0
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
    for line in ran.out.splitlines():
        assert len(line) <= columns
    if columns == 500:
        for shown in ("wa\\nb.mp4", "\\x1b[2J\\x1b[31mred.mp4", "w[bold]markup[/].mp4", "\\udcff"):
            assert shown in ran.out
        assert "evil \\x1b[2J\\nnew line [red]x[/]" in ran.out


def test_colours_are_for_terminals_and_can_be_switched_off(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "\x1b" not in run("status", folder).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[1;36m" in run("status", folder).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "36m" not in run("status", folder).out


# retry


def test_without_a_word_the_doctor_looks_at_the_service(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = tmp_path / "posewatch.toml"
    settings.write_text(f'folder = "{tmp_path}"\n')
    unit = Unit("posewatch.service", {"Environment": f"POSEWATCH_MODELS={tmp_path}/of-the-service"})
    monkeypatch.setattr("posewatch.service.machine.SETTINGS", settings)
    monkeypatch.setattr("posewatch.service.machine.units", lambda *_names: [unit])
    ran = run("doctor")
    assert ran.status == 1
    assert f"ok      folder: {tmp_path}" in ran.out
    assert f"{tmp_path}/of-the-service" in ran.out


def test_retry_forgets_all_failures(run: Callable[..., Ran], folder: Path) -> None:
    for key in ("a.mp4", "talks/b.mp4"):
        put(folder, key, "failed")
    put(folder, "done.mp4", "done")
    ran = run("retry", folder)
    assert (ran.status, ran.out) == (0, "a.mp4\ntalks/b.mp4\n2 failures forgotten\n")
    assert run("retry", folder).out == "0 failures forgotten\n"
    assert sorted(p.name for p in folder.rglob("*.json")) == ["done.posewatch.json"]


def test_retry_takes_names_and_paths(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a.mp4", "talks/b.mp4", "talks/c.mp4", "d.mp4"):
        put(folder, key, "failed")
    monkeypatch.chdir(folder / "talks")
    ran = run("retry", folder, "b.mp4", folder / "a.mp4", "talks/c.mp4")
    assert ran.status == 0
    assert ran.out.splitlines()[:3] == ["a.mp4", "talks/b.mp4", "talks/c.mp4"]
    monkeypatch.chdir(folder.parent)
    assert run("retry", "inbox", "inbox/d.mp4").out == "d.mp4\n1 failure forgotten\n"


def test_retry_says_what_has_no_failure(run: Callable[..., Ran], folder: Path) -> None:
    put(folder, "a.mp4", "failed")
    put(folder, "b.mp4")
    ran = run("retry", folder, "a.mp4", "b.mp4", "x\x1b.mp4")
    assert ran.status == 1
    assert ran.out == "a.mp4\n1 failure forgotten\n"
    assert "no failure is recorded for b.mp4, x\\x1b.mp4" in ran.err


def test_retry_says_what_it_may_not_touch(run: Callable[..., Ran], folder: Path) -> None:
    put(folder, "a.mp4", "failed")
    (folder / "b.posewatch.json").mkdir()
    ran = run("retry", folder)
    assert (ran.status, ran.out) == (0, "a.mp4\n1 failure forgotten\n")
    ran = run("retry", folder, "b.mp4")
    assert ran.status == 1
    assert "b.posewatch.json' is not a regular file" in ran.err


# models


def test_models_are_listed_and_shown(
    run: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSEWATCH_MODELS", os.fspath(tmp_path))
    ran = run("models", "list")
    assert ran.status == 0
    assert "mediapipe-holistic" in ran.out
    rows = json.loads(run("models", "list", "--json").out)
    assert [(row["name"], row["installed"], row["licence"]) for row in rows] == [
        ("dwpose", False, "Apache-2.0"),
        ("mediapipe-holistic", False, "Apache-2.0"),
    ]
    ran = run("models", "show", "mediapipe-holistic")
    assert ran.status == 0
    for word in ("Apache-2.0", "sha256", "installed", "pose 33", "left_wrist"):
        assert word.lower() in ran.out.lower(), word
    told = json.loads(run("models", "show", "mediapipe-holistic", "--json").out)
    assert told["name"] == "mediapipe-holistic"
    ran = run("models", "show", "dwpose")
    assert ran.status == 0
    for word in ("yzd-v/DWPose", "640x640 BGR", " 0..255", "288x384 RGB", "body 18", "neck"):
        assert word in ran.out, word


def test_a_pull_tells_where_the_model_is(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    from posewatch.cli import models  # noqa: PLC0415 -- patched below

    class Model:
        folder = Path("/models/[bold]x")

    def pull(name: str, _cache: object, tell: Callable[..., None], *, given: list[Path]) -> Model:
        assert (name, given) == ("dwpose", [Path("/a.onnx"), Path("/b")])
        for stage in models.Stage:
            tell(stage, 1, 2)
        return Model()

    monkeypatch.setattr(models, "pull", pull)
    ran = run("models", "pull", "dwpose", "--from", "/a.onnx", "--from", "/b")
    assert (ran.status, ran.out) == (0, "dwpose is ready in /models/[bold]x\n")


# A terminal, pipes and a full disk


def test_progress_is_shown_on_a_terminal(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    shown = (
        Overview(videos=3),
        Overview(videos=3, done=1, frames=100, frames_per_second=9.5, seconds_left=75.4),
        Overview(videos=3, done=1, failed=1, frames_per_second=9.5, seconds_left=4000.0),
    )

    def drain(_settings: Settings, _folder: Path, show: Callable[[Overview], None]) -> Overview:
        for overview in shown:
            show(overview)
        return shown[-1]

    monkeypatch.setattr(build, "drain", drain)
    monkeypatch.setenv("COLUMNS", "120")
    ran = run("run", folder, "--until-idle")
    for word in ("1 failed", "2/3", "9.5 frames/s", "1:06:40"):
        assert word in ran.err, word


def test_a_full_disk_is_told_without_a_traceback(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(inspect, "folder_status", full)
    ran = run("status", folder)
    assert (ran.status, ran.err) == (
        1,
        "error: could not write the output: No space left on device\n",
    )


def test_other_errors_of_the_system_are_bugs(
    run: Callable[..., Ran], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/some/file")

    monkeypatch.setattr(inspect, "folder_status", bug)
    with pytest.raises(OSError, match="/some/file"):
        run("status", folder)


@pytest.mark.parametrize("options", [["--all"], ["--json"]])
def test_whoever_stops_listening_gets_no_traceback(folder: Path, options: list[str]) -> None:
    for number in range(3000):
        (folder / f"a rather long name for a video, so that no pipe holds all {number}.mp4").touch()
    command = [sys.executable, "-m", "posewatch", "status", os.fspath(folder), *options]
    head = shutil.which("head")
    assert head is not None
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(  # noqa: S603 -- our own program
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as status:
        first = subprocess.run([head, "-n1"], stdin=status.stdout, capture_output=True, check=True)  # noqa: S603
        assert status.stdout is not None
        status.stdout.close()
        assert status.stderr is not None
        assert status.stderr.read() == b""
    assert first.stdout.startswith((b"waiting", b"{"))


def test_a_name_that_is_no_text_can_be_given(folder: Path) -> None:
    put(folder, "\udcff.mp4", "failed")
    command = [sys.executable, "-m", "posewatch", "retry", os.fspath(folder), b"\xff.mp4"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(command, capture_output=True, check=False, env=environment)  # noqa: S603
    assert (ran.returncode, ran.stdout) == (0, b"\\udcff.mp4\n1 failure forgotten\n")
