"""The facts that the doctor judges, gathered on this machine, whatever it is."""

from __future__ import annotations

import os
import resource
import shutil
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import ManualClock
from posewatch.base.errors import ModelError
from posewatch.config import Settings
from posewatch.service import machine
from posewatch.service.checkup import CODECS
from posewatch.storage.s3_place import S3Place
from posewatch.vision.decode import decoders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from posewatch.models.cache import InstalledModel

NOW = 1_700_000_000


class _Late(BaseHTTPRequestHandler):
    """Refuses everything, and has a clock of its own."""

    def do_HEAD(self) -> None:
        self.send_response_only(403)
        self.send_header("Date", formatdate(NOW - 100, usegmt=True))
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def late() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Late) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        thread.join(10)


def test_the_clock_is_compared_with_that_of_the_bucket(late: str) -> None:
    place = S3Place("bucket", endpoint=late)
    found = machine.clocks(place, ManualClock(wall=NOW))
    assert found.ahead == 99.5


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "https://nowhere.invalid"])
def test_a_bucket_that_does_not_answer_has_no_clock(endpoint: str) -> None:
    place = S3Place("bucket", endpoint=endpoint)
    assert machine.clocks(place, ManualClock()).ahead is None


def test_the_kernel_says_whether_its_clock_is_kept_right() -> None:
    found = machine.clocks(None, ManualClock())
    assert found.ahead is None
    assert found.synchronised in {True, False, None}


@pytest.mark.parametrize(("status", "kept"), [(0x40, False), (0x2041, False), (0x2001, True)])
def test_the_status_is_found_in_what_the_kernel_tells(
    monkeypatch: pytest.MonkeyPatch, status: int, *, kept: bool
) -> None:
    class Library:
        @staticmethod
        def adjtimex(data: object) -> int:
            # modes, offset, freq, maxerror, esterror, status: adjtimex(2)
            machine._MODES_AND_STATUS.pack_into(data, 0, 0, -1, -1, 2**40, 2**40, status)  # type: ignore[arg-type]
            return 0

    monkeypatch.setattr("ctypes.CDLL", lambda _name: Library)
    assert machine.clocks(None, ManualClock()).synchronised == kept


def test_a_kernel_that_says_nothing_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sandbox:
        @staticmethod
        def adjtimex(_data: object) -> int:
            return -1

    monkeypatch.setattr("ctypes.CDLL", lambda _name: Sandbox)
    assert machine.clocks(None, ManualClock()).synchronised is None


def test_the_networks_are_loaded_as_the_daemon_would(
    holistic_model: InstalledModel,
) -> None:
    environ = {"POSEWATCH_MODELS": os.fspath(holistic_model.folder.parent)}
    found = machine.graphics(Settings.model_validate({"work": {"device": "cpu"}}), environ)
    assert (found.provider, found.gpus) == ("CPUExecutionProvider", "")


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        machine.graphics(Settings(), {"POSEWATCH_MODELS": os.fspath(tmp_path)})


@pytest.mark.parametrize(
    ("vendor", "kind", "there"),
    [
        ("0x10de\n", "0x030200\n", True),
        ("0x10de\n", "0x040300\n", False),  # the sound of its HDMI
        ("0x1002\n", "0x030000\n", False),
    ],
)
def test_a_card_of_nvidia_is_known_without_its_driver(
    tmp_path: Path, vendor: str, kind: str, *, there: bool
) -> None:
    device = tmp_path / "0000:01:00.0"
    device.mkdir()
    (tmp_path / "empty").mkdir()
    (device / "vendor").write_text(vendor)
    (device / "class").write_text(kind)
    assert machine._has_nvidia(tmp_path) is there


def test_the_codecs_of_today_are_there() -> None:
    assert decoders((*CODECS, "nonsense")) == {**dict.fromkeys(CODECS, True), "nonsense": False}


def test_the_disk_of_a_cache_that_is_there_and_of_one_that_is_not(tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"x" * 100_000)
    found = machine.disk(tmp_path)
    free = shutil.disk_usage(tmp_path).free
    assert found.used >= 100_000
    assert found.free == pytest.approx(free, rel=0.1)
    assert found.refusal == ""
    later = machine.disk(tmp_path / "not" / "yet")
    assert (later.path, later.used, later.refusal) == (tmp_path / "not" / "yet", 0, "")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "copy"]


def test_a_disk_that_cannot_be_written() -> None:
    assert machine.disk(Path("/proc/posewatch")).refusal != ""


def test_limits_are_those_of_this_process() -> None:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert machine.limits().files == files


def test_how_many_folders_inotify_can_watch() -> None:
    found = machine.watches(3)
    if found is None:
        pytest.skip("this kernel has no inotify")
    assert found.folders == 3
    assert found.allowed > 0


def test_a_machine_without_systemd_has_no_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_BOOTED", tmp_path / "nothing")
    assert machine.unit(machine.SERVICE) is None


def test_a_unit_tells_how_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "systemctl"
    program.write_text(
        "#!/bin/sh\necho LoadState=loaded; echo StatusText=a=b; echo ActiveState=active\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine, "_BOOTED", tmp_path)
    found = machine.unit("posewatch.service")
    assert found is not None
    assert found.there
    assert (found.state, found.properties["StatusText"]) == ("active", "a=b")
    program.write_text("#!/bin/sh\nexit 1\n")
    assert machine.unit("posewatch.service") is None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 -- the test
        ("192.0.2.1", False),
        ("nowhere.invalid", False),
    ],
)
def test_which_hosts_are_this_machine_alone(host: str, *, loopback: bool) -> None:
    assert machine.is_loopback(host) is loopback
