"""One container with posewatch in it, and what can be asked of it."""

# ruff: noqa: T201 -- it talks to the person at the terminal
from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from container import VIDEOS

if TYPE_CHECKING:
    from collections.abc import Callable

    from container import Container

UNIT = "posewatch.service"
FOLDER = "/srv/posewatch"
CONFIG = "/etc/posewatch/posewatch.toml"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/test.conf"
CACHE = "/var/cache/posewatch/inputs"
PORT = 9477

SETTINGS = f"""
folder = "{FOLDER}"
watch.scan_interval = 1.0
claims.ttl = 2.0
"""


class Trial:
    """One container, and what is asked of it."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._began = time.monotonic()
        self.failed: list[str] = []

    def check(self, what: str, holds: object, seen: object = "") -> None:
        """Tell whether something holds, and what was seen."""
        if not holds:
            self.failed.append(what)
        mark = "ok  " if holds else "FAIL"
        shown = f"\n        {seen}" if seen else ""
        print(f"{time.monotonic() - self._began:6.1f}s {mark} {what}{shown}", flush=True)

    def run(self, *command: str) -> str:
        """Run a command; its output, whatever became of it."""
        done = self._container.run(*command)
        return (done.stdout + done.stderr).strip()

    def works(self, *command: str) -> bool:
        """Run a command; whether it said that it worked."""
        return self._container.run(*command).returncode == 0

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        self.run("mkdir", "-p", os.path.dirname(path))  # noqa: PTH120 -- a path over there
        self.run("sh", "-c", 'printf %s "$2" >"$1"', "sh", path, text)

    def show(self, name: str, unit: str = UNIT) -> str:
        """A property of the unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit)

    def journal(self, *match: str) -> list[dict[str, Any]]:
        """The messages of the service, or those that match."""
        lines = self.run("journalctl", "-o", "json", "--no-pager", "-u", UNIT, *match)
        return [json.loads(line) for line in lines.splitlines() if line.startswith("{")]

    def said(self, text: str) -> str:
        """The first message of the service that contains a text."""
        messages = (str(entry.get("MESSAGE")) for entry in self.journal())
        return next((message for message in messages if text in message), "")

    def until(self, holds: Callable[[], object], seconds: float) -> float | None:
        """The seconds until something holds; None if it does not within `seconds`."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if holds():
                return round(time.monotonic() - began, 1)
            time.sleep(0.1)
        return None

    def state(self) -> str:
        """The unit's state in one line."""
        names = "ActiveState,SubState,Result,NRestarts,ExecMainCode,ExecMainStatus,StatusText"
        lines = self.run("systemctl", "show", "-p", names, UNIT).splitlines()
        return " ".join(sorted(lines))

    def mount(self, unit: str) -> str:
        """The state of a service that mounts, in one line."""
        names = "ActiveState,SubState,Result,NRestarts"
        return " ".join(sorted(self.run("systemctl", "show", "-p", names, unit).splitlines()))

    def start(self) -> bool:
        """Start the service, and wait until it is ready or has failed."""
        return self.works("systemctl", "start", UNIT)

    def put(self, video: str, name: str, folder: str = FOLDER) -> None:
        """Copy one of the videos into the folder."""
        self.run("cp", f"{VIDEOS}/{video}.mp4", f"{folder}/{name}.mp4")

    def receipt(self, name: str, folder: str = FOLDER) -> dict[str, Any] | None:
        """The receipt of a video, once it is there and whole.

        s3fs shows a file that was just replaced with its old size, for as long as it believes it.
        """
        text = self.run("cat", f"{folder}/{name}.posewatch.json")
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:
            return None
        return found

    def done(self, name: str, folder: str = FOLDER) -> bool:
        """Whether a video has results."""
        receipt = self.receipt(name, folder)
        return receipt is not None and receipt.get("outcome") == "done"

    def recipe(self, name: str) -> str:
        """What the receipt of a video says about the recipe; empty without one."""
        receipt = self.receipt(name)
        return "" if receipt is None else json.dumps(receipt["recipe"])

    def working_on(self, name: str, frames: int = 50) -> bool:
        """Whether some frames of a video have been worked on."""
        return f"{name}.mp4.lock" in self.files() and self.metric("frames_total") > frames

    def metric(self, name: str) -> float:
        """A metric's value, over all of its labels; 0 where nobody answers."""
        page = self.get("/metrics").splitlines()
        return sum(float(x.split()[-1]) for x in page if x.startswith(f"posewatch_{name}"))

    def get(self, path: str) -> str:
        """An HTTP answer of the service."""
        code = (
            "import sys, urllib.request as u, urllib.error as e\n"
            "try: r = u.urlopen(sys.argv[1], timeout=5)\n"
            "except e.HTTPError as x: r = x\n"
            "print(r.read().decode())"
        )
        return self.run("python3", "-c", code, f"http://127.0.0.1:{PORT}{path}")

    def files(self, folder: str = FOLDER) -> list[str]:
        """Everything in the watched folder, hidden or not."""
        return self.run("find", folder, "-mindepth", "1", "-printf", r"%P\n").splitlines()

    def nothing_left(self) -> bool:
        """Whether neither locks nor hidden files are left in the watched folder."""
        return not [name for name in self.files() if ".lock" in name or name.startswith(".")]

    def copies(self) -> list[str]:
        """The local copies of videos."""
        depth = ("-mindepth", "1", "-maxdepth", "1")
        return self.run("find", CACHE, *depth, "-type", "d").splitlines()

    def fresh(self) -> None:
        """Bring everything back to where a scenario begins."""
        self.run("systemctl", "stop", UNIT)
        self.run("systemctl", "reset-failed", UNIT)
        self.run("sh", "-c", "while umount -q /srv/late || umount -q /srv/posewatch; do :; done")
        self.run("rm", "-rf", DROP_IN, "/srv/late", "/var/cache/posewatch")
        self.run("find", FOLDER, "-mindepth", "1", "-delete")
        self.run("journalctl", "--rotate")
        self.run("journalctl", "--vacuum-time=1s")
        self.configure()

    def configure(self, settings: str = "", unit: str = "") -> None:
        """Write the settings, and a drop-in for the unit."""
        self.write(CONFIG, SETTINGS + settings)
        if unit:
            self.write(DROP_IN, unit)
        self.run("systemctl", "daemon-reload")

    def spoil(self, code: str, unit: str) -> None:
        """Run a posewatch with a planted fault."""
        run = "from posewatch.cli.main import main\nmain()\n"
        self.write("/opt/spoilt.py", f"import os\n{code}{run}")
        command = f"/opt/posewatch/bin/python /opt/spoilt.py run --config {CONFIG}"
        self.configure(unit=f"[Service]\nExecStart=\nExecStart={command}\n{unit}")
