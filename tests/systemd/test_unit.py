"""What can be said of the unit without a systemd; `live.py` tries it on a real one."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from posewatch import config
from posewatch.service.idler import REQUEST

FOLDER = Path(__file__).parents[2] / "systemd"
UNIT = FOLDER / "posewatch.service"


def directive(name: str) -> str:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    (value,) = (line.partition("=")[2] for line in lines if line.startswith(f"{name}="))
    return value


def test_its_settings_are_the_defaults_and_name_the_folder_that_it_waits_for() -> None:
    settings = config.load(FOLDER / "posewatch.toml")
    folder = directive("RequiresMountsFor").replace("%i", "").rstrip("/")
    assert settings == config.Settings(folder=config.FolderSettings(path=folder))


def test_an_instance_is_the_same_unit_with_settings_of_its_own() -> None:
    assert (FOLDER / "posewatch@.service").readlink() == Path(UNIT.name)
    assert directive("ExecStart").endswith("--config /etc/posewatch/%N.toml")


def test_local_copies_are_in_its_cache_directory() -> None:
    told = dict(pair.split("=") for pair in shlex.split(directive("Environment")))
    cache = told["XDG_CACHE_HOME"].replace("%C", "/var/cache")
    copies = config.user_cache("inputs", environ={"XDG_CACHE_HOME": cache})
    assert copies == Path("/var/cache", directive("CacheDirectory"), "inputs")


def test_wrong_settings_are_not_tried_again() -> None:
    # 2 is the status of `SettingsError` and `ModelError`: see `posewatch.cli.main`.
    assert directive("RestartPreventExitStatus") == "2"


def test_a_request_for_power_off_is_waited_for_where_the_service_leaves_it() -> None:
    requests = (FOLDER / "posewatch-poweroff.path").read_text(encoding="utf-8")
    taken = (FOLDER / "posewatch-poweroff.service").read_text(encoding="utf-8")
    request = Path("/run", directive("RuntimeDirectory"), REQUEST)
    assert f"PathExists={request}" in requests
    assert f"ExecStartPre=/bin/rm -f {request}" in taken
    assert config.IdleSettings().stay.parent == request.parent


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("unit", [UNIT.name, "posewatch-poweroff.service"])
def test_it_gives_little_away(unit: str) -> None:
    done = subprocess.run(  # noqa: S603 -- systemd's own tool and our own file
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", FOLDER / unit],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
