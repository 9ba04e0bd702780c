"""Each check of the doctor, on its own: facts in, a finding out."""

from __future__ import annotations

from pathlib import Path

import pytest

from posewatch.config import HttpSettings, IdleSettings, WorkSettings
from posewatch.service import checkup
from posewatch.service.checkup import (
    GIB,
    Clocks,
    Disk,
    Finding,
    Graphics,
    Keys,
    Level,
    Limits,
    Unit,
    Watches,
)

OK, WARNING, ERROR = Level.OK, Level.WARNING, Level.ERROR
CACHE = Path("/var/cache/posewatch/inputs")


def judged(finding: Finding, level: Level, said: str, hint: str = "") -> None:
    assert finding.level is level
    assert said in finding.said
    assert hint in finding.hint
    assert bool(finding.hint) == (level is not OK), "what is not well has a hint"


@pytest.mark.parametrize(
    ("clocks", "level", "said"),
    [
        (Clocks(synchronised=True), OK, "kept right"),
        (Clocks(synchronised=None), OK, "cannot be seen"),
        (Clocks(synchronised=False), WARNING, "nothing keeps it right"),
        (Clocks(synchronised=False, ahead=1.0), OK, "agrees with the bucket"),
        (Clocks(synchronised=True, ahead=-31.0), WARNING, "31 s behind the bucket"),
        (Clocks(synchronised=True, ahead=3600.0), ERROR, "3600 s ahead of the bucket, which will"),
    ],
)
def test_clock(clocks: Clocks, level: Level, said: str) -> None:
    judged(checkup.clock(clocks), level, said)


@pytest.mark.parametrize(
    ("found", "device", "level", "said"),
    [
        (Graphics("CUDA", "1 H100", "", nvidia=True), "auto", OK, "run on 1 H100 (CUDA)"),
        (
            Graphics("CUDA", "1 H100", "", nvidia=True, left="pose: MaxPool 3"),
            "auto",
            WARNING,
            "run on 1 H100 (CUDA), but the CPU does a part: pose: MaxPool 3",
        ),
        (Graphics("CPU", "", "no driver", nvidia=False), "auto", OK, "the CPU (CPU): no driver"),
        (
            Graphics("CPU", "", "no driver", nvidia=True),
            "auto",
            WARNING,
            "the CPU (CPU): no driver",
        ),
        (Graphics("CPU", "", "", nvidia=True), "cpu", OK, "as work.device says"),
    ],
)
def test_networks(found: Graphics, device: str, level: Level, said: str) -> None:
    work = WorkSettings.model_validate({"device": device})
    judged(checkup.networks(found, work), level, said)


def test_codecs() -> None:
    judged(checkup.codecs({"h264": True, "av1": True}), OK, "h264, av1 can be decoded")
    judged(checkup.codecs({"h264": True, "av1": False}), ERROR, "no decoder for av1", "pip install")


@pytest.mark.parametrize(
    ("disk", "level", "said"),
    [
        (Disk(CACHE, free=30 * GIB, used=0), OK, "30.0 GiB free; copies may take 20.0 GiB"),
        (Disk(CACHE, free=15 * GIB, used=6 * GIB), OK, "15.0 GiB free"),
        (Disk(CACHE, free=15 * GIB, used=0), WARNING, "copies may take 20.0 GiB"),
        (Disk(CACHE, free=GIB // 2, used=30 * GIB), ERROR, "too little"),
        (Disk(CACHE, 30 * GIB, 0, "Permission denied"), ERROR, "be written to: Permission denied"),
    ],
)
def test_cache(disk: Disk, level: Level, said: str) -> None:
    judged(checkup.cache(disk, 20 * GIB), level, said)


@pytest.mark.parametrize(
    ("limits", "level", "said"),
    [
        (Limits(files=None, memory=None), OK, "any number of files"),
        (Limits(files=1024, memory=8 * GIB), OK, "1,024 files"),
        (Limits(files=512, memory=None), WARNING, "512 files"),
        (Limits(files=64, memory=None), ERROR, "64 files"),
        (Limits(files=1024, memory=GIB), ERROR, "1.0 GiB of address space"),
    ],
)
def test_limits(limits: Limits, level: Level, said: str) -> None:
    judged(checkup.limits(limits, 4 * GIB), level, said)


@pytest.mark.parametrize(
    ("folders", "level", "hint"),
    [
        (1, OK, ""),
        (6553, OK, ""),
        (8000, WARNING, "max_user_watches=65536"),
        (50_000, WARNING, "max_user_watches=100000"),
    ],
)
def test_inotify(folders: int, level: Level, hint: str) -> None:
    judged(checkup.inotify(Watches(8192, folders)), level, f"{folders:,} folders of 8,192", hint)


@pytest.mark.parametrize(
    ("properties", "level", "said"),
    [
        ({"ActiveState": "active", "StatusText": "3 done"}, OK, "is active: 3 done"),
        ({"ActiveState": "active", "NRestarts": "0"}, OK, "is active"),
        ({"ActiveState": "active", "NRestarts": "7"}, WARNING, "started again 7 times"),
        ({"ActiveState": "failed", "Result": "watchdog"}, ERROR, "failed (watchdog)"),
        ({"ActiveState": "activating", "StatusText": "waiting for /x"}, WARNING, "waiting for /x"),
        ({"ActiveState": "inactive"}, WARNING, "inactive"),
    ],
)
def test_unit(properties: dict[str, str], level: Level, said: str) -> None:
    judged(checkup.unit(Unit("posewatch.service", properties)), level, said)


def test_services() -> None:
    def unit(name: str, state: str, load: str = "loaded") -> Unit:
        return Unit(name, {"LoadState": load, "ActiveState": state})

    missing = unit("posewatch.service", "inactive", "not-found")
    plain, talks = unit("posewatch.service", "inactive"), unit("posewatch@talks.service", "active")
    assert checkup.services([missing]) == []
    (found,) = checkup.services([plain])
    judged(found, WARNING, "posewatch.service is inactive", "systemctl enable --now")
    (found,) = checkup.services([plain, talks])
    judged(found, OK, "posewatch@talks.service is active")
    failed = unit("posewatch.service", "failed")
    assert [it.level for it in checkup.services([failed, talks])] == [ERROR, OK]


@pytest.mark.parametrize(
    ("told", "environment"),
    [
        ("", {}),
        ('A=1 \'B=two words\' "C=\\"" D', {"A": "1", "B": "two words", "C": '"'}),
        ("A='", {}),
    ],
)
def test_the_environment_of_a_unit(told: str, environment: dict[str, str]) -> None:
    assert Unit("posewatch.service", {"Environment": told}).environment == environment


@pytest.mark.parametrize(
    ("action", "state", "level", "said"),
    [
        ("none", "inactive", OK, "stays on"),
        ("poweroff", "active", OK, "after 15 minutes without anything to do: poweroff; /run/p"),
        ("poweroff", "inactive", ERROR, "nobody listens"),
        ("poweroff", None, OK, "poweroff"),
        ("ec2-stop", "inactive", OK, "ec2-stop"),
    ],
)
def test_idle(action: str, state: str | None, level: Level, said: str) -> None:
    settings = IdleSettings.model_validate({"action": action})
    unit = None if state is None else Unit("posewatch-poweroff.path", {"ActiveState": state})
    judged(checkup.poweroff(settings, unit), level, said)


@pytest.mark.parametrize(
    ("settings", "loopback", "level", "said"),
    [
        ({"enabled": False}, True, OK, "nothing is served"),
        ({}, True, OK, "for this machine only"),
        ({"host": "0.0.0.0"}, False, OK, "for everybody who can reach it"),  # noqa: S104 -- the test
        ({"host": "gpu1", "page": "always"}, False, WARNING, "names of videos are shown"),
    ],
)
def test_http(settings: dict[str, object], level: Level, said: str, *, loopback: bool) -> None:
    judged(checkup.http(HttpSettings.model_validate(settings), loopback=loopback), level, said)


@pytest.mark.parametrize(
    ("keys", "level", "said"),
    [
        (Keys(""), ERROR, "there are none"),
        (Keys("those of /p", Path("/p"), 0o100600), OK, "those of /p"),
        (Keys("those of /p", Path("/p"), 0o100644), WARNING, "others may read (mode 644)"),
        (Keys("those of a role", encrypted=False), WARNING, "over http"),
        (Keys("those of a role"), OK, "a role"),
    ],
)
def test_credentials(keys: Keys, level: Level, said: str) -> None:
    judged(checkup.credentials(keys), level, said)
