"""What posewatch.service promises, tried one by one."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from container import VIDEOS
from trial import CONFIG, FOLDER, PORT, SETTINGS, UNIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from trial import Trial

WHO = ("--reuid=posewatch", "--regid=posewatch", "--clear-groups")
"""The service's user, for setpriv."""


def unit_file(t: Trial) -> None:
    """The unit is what systemd expects, and gives little away."""
    units = t.run("sh", "-c", "ls /usr/lib/systemd/system/posewatch*").split()
    named = [unit.replace("@.", "@srv-posewatch.") for unit in units]
    said = t.run("systemd-analyze", "verify", "--recursive-errors=yes", "--man=no", *named)
    t.check("systemd-analyze verify says nothing", not said, said)
    command = ("systemd-analyze", "security", "--no-pager", "--threshold=20", UNIT)
    t.check("systemd-analyze security: at most 2.0", t.works(*command), t.run(*command)[-70:])


def work(t: Trial) -> None:
    """It starts with the settings that come with it, and works."""
    t.run("cp", "/root/posewatch.toml", CONFIG)
    began = time.monotonic()
    t.check("it starts and says READY", t.start(), f"{time.monotonic() - began:.1f} s; {t.state()}")
    status = t.run("systemctl", "status", "--no-pager", UNIT)
    line = next((x.strip() for x in status.splitlines() if "Status:" in x), "")
    t.check("systemctl status shows its STATUS", "in flight" in line, line)
    t.put("short", "talks")
    took = t.until(lambda: t.done("talks"), 30)
    t.check("a copied video gets results", took is not None, f"{took} s; {t.files()}")
    listing = t.run("ls", "-l", FOLDER)
    t.check("others may read them", "-rw-r--r--" in listing or "-rw-rw-r--" in listing, listing)
    entries = t.journal("POSEWATCH_VIDEO=talks.mp4")
    found = [(e["MESSAGE"], e["PRIORITY"], e["LOGGER"]) for e in entries]
    t.check("the journal finds it by POSEWATCH_VIDEO", len(found) >= 2, found)
    odd = [e["MESSAGE"] for e in t.journal() if e.get("_TRANSPORT") == "stdout"]
    t.check("nothing is written past the log", not odd, odd)
    t.check("it is healthy", t.get("/healthz").startswith("ok"), t.get("/readyz"))
    pid = t.show("MainPID")
    confined = t.run("grep", "-E", "^(Uid|CapBnd|NoNewPrivs|Seccomp):", f"/proc/{pid}/status")
    t.check("it is confined", "CapBnd:\t0000000000000000" in confined, " ".join(confined.split()))


def wild_name(t: Trial) -> None:
    """Names with newlines and escapes reach the journal on one line."""
    t.start()
    t.run("cp", f"{VIDEOS}/short.mp4", f"{FOLDER}/ö\n\x1b[31m.mp4")
    took = t.until(lambda: any("posewatch.json" in name for name in t.files()), 20)
    found = t.journal("POSEWATCH_VIDEO=ö\\n\\x1b[31m.mp4")
    t.check("a wild name is found by its escapes", found, f"{took} s; {t.files()}")


def reload(t: Trial) -> None:
    """A changed setting is taken over while it runs; a wrong one is refused."""
    t.start()
    pid = t.show("MainPID")
    t.put("short", "talks")
    t.until(lambda: t.done("talks"), 30)
    before = t.recipe("talks")
    t.configure('recipe.mode = "tracking"\nhttp.port = 9999\n')
    t.check("systemctl reload works", t.works("systemctl", "reload", UNIT), t.state())
    took = t.until(lambda: t.recipe("talks") not in {"", before}, 20)
    t.check("the new recipe is used", took is not None, f"{took} s: {t.recipe('talks')}")
    t.check("what needs a restart is said", t.said("a restart is needed"))
    t.check(
        "it is the same process", t.show("MainPID") == pid and t.get("/healthz").startswith("ok")
    )
    t.configure("watch.nonsense = 1\n")
    t.run("systemctl", "reload", UNIT)
    took = t.until(lambda: t.said("the settings stay as they were"), 5)
    t.check("a wrong setting changes nothing", took is not None, t.said("stay as they were"))
    t.check(
        "and it goes on", t.show("ActiveState") == "active" and t.get("/healthz").startswith("ok")
    )
    t.put("short", "later")
    t.check("and works", t.until(lambda: t.done("later"), 20) is not None)


def notify_reload(t: Trial) -> None:
    """Type=notify-reload, which systemd knows since 253, is understood as well."""
    if int(t.run("systemctl", "--version").split()[1]) < 253:
        return
    t.configure(unit="[Service]\nType=notify-reload\nExecReload=\n")
    t.start()
    t.configure("http.port = 9999\n")
    t.check("systemctl reload works", t.works("systemctl", "reload", UNIT), t.state())
    t.check("and waits until it is done", t.said("the settings were read again"))


def stop(t: Trial) -> None:
    """Stopping takes no longer than the grace, and leaves nothing behind."""
    t.configure("work.grace = 2.0\n")
    t.start()
    t.put("long", "long")
    t.check("it works on a long video", t.until(lambda: t.working_on("long"), 20) is not None)
    began = time.monotonic()
    t.run("systemctl", "stop", UNIT)
    took = time.monotonic() - began
    t.check("it stops after the grace of 2 s", 1.5 < took < 6, f"{took:.1f} s; {t.state()}")
    clean = t.show("Result") == "success" and t.show("ExecMainStatus") == "0"
    t.check("with status 0", clean)
    t.check("no lock is left", t.nothing_left(), t.files())
    t.check("the video was given back", t.said("given back"))
    t.check("its copy is kept for the next start", len(t.copies()) == 1, t.copies())

    t.fresh()
    t.configure("work.grace = 60.0\n", "[Service]\nTimeoutStopSec=2\n")
    t.start()
    t.put("medium", "medium")
    t.until(lambda: t.working_on("medium"), 20)
    t.put("medium", "other")
    began = time.monotonic()
    t.run("systemctl", "stop", UNIT)
    took = time.monotonic() - began
    t.check("a running video may finish", t.done("medium"), f"{took:.1f} s; {t.files()}")
    t.check("which may take longer than TimeoutStopSec", t.show("Result") == "success", t.state())
    t.check("no lock is left", t.nothing_left(), t.files())


def crash(t: Trial) -> None:
    """After kill -9 the next life finishes the video."""
    t.start()
    t.put("medium", "medium")
    t.check("it works on a video", t.until(lambda: t.working_on("medium"), 20) is not None)
    old = t.show("MainPID")
    t.run("kill", "-9", old)
    took = t.until(lambda: t.show("NRestarts") == "1" and t.show("ActiveState") == "active", 20)
    t.check("it is started again", took is not None, f"{took} s; {t.state()}")
    left = t.run("pgrep", "-f", "decoder_process", "--older", "8")
    t.check("no decoder of the first life is left", not left, left)
    took = t.until(lambda: t.done("medium"), 60)
    attempt = (t.receipt("medium") or {}).get("attempt")
    t.check("the video is finished", attempt == 2, f"{took} s later, by attempt {attempt}")
    took = t.until(lambda: "medium.mp4.lock" not in " ".join(t.files()), 20)
    t.check("and its locks are swept", took is not None, f"{took} s; {t.files()}")
    t.run("systemctl", "stop", UNIT)
    t.check("nothing is left after a stop", t.nothing_left() and not t.copies(), t.files())


def hang(t: Trial) -> None:
    """A daemon that hangs is aborted, says where it was, and is started again."""
    t.configure(unit="[Service]\nWatchdogSec=4\nRestartSec=1\n")
    t.start()
    pid = t.show("MainPID")
    time.sleep(10)
    t.check("it is fed", t.show("MainPID") == pid and t.show("ActiveState") == "active", t.state())
    t.put("medium", "medium")
    t.until(lambda: t.working_on("medium"), 20)
    t.run("kill", "-STOP", pid)
    took = t.until(lambda: t.show("NRestarts") == "1" and t.show("ActiveState") == "active", 30)
    t.check("a frozen one is started again", took is not None, f"{took} s; {t.state()}")
    t.check("because of the watchdog", t.said("Watchdog timeout"), t.said("Watchdog timeout"))
    t.check("it says where its threads were", t.said("in _sleep"), t.said("in _sleep"))
    t.check("and the video is finished", t.until(lambda: t.done("medium"), 60) is not None)


def stuck_loop(t: Trial) -> None:
    """A loop that stands still is not fed any more, although other threads live."""
    t.spoil(
        "import time, posewatch.service.build as b\n"
        "b.PATIENCE = 3.0\n"
        "def turn(self, turn=b.Daemon.turn):\n"
        "    if os.path.exists('/etc/posewatch/hang'): time.sleep(3600)\n"
        "    turn(self)\n"
        "b.Daemon.turn = turn\n",
        "WatchdogSec=4\nRestartSec=1\n",
    )
    t.start()
    t.write("/etc/posewatch/hang", "")
    took = t.until(lambda: t.said("Watchdog timeout"), 20)
    t.run("rm", "/etc/posewatch/hang")
    t.check("it is aborted", took is not None, f"after {took} s; {t.said('the watchdog starves')}")
    t.check("the log says where it stood", t.said("in turn"), t.said("in turn"))
    took = t.until(lambda: t.show("ActiveState") == "active", 20)
    t.check("it is started again", took is not None, f"{took} s; {t.state()}")


def crash_loop(t: Trial) -> None:
    """What crashes again and again is left alone in the end."""
    t.configure(unit="[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=100ms\n")
    t.start()
    took = t.until(lambda: t.show("ActiveState") == "failed", 30)
    restarts = int(t.show("NRestarts"))
    t.check("it is given up", took is not None and restarts == 20, f"{took} s; {t.state()}")


def dead_thread(t: Trial) -> None:
    """A part that dies of a bug ends the process, which is started again."""
    t.spoil(
        "import posewatch.watch.scan as s\n"
        "if not os.path.exists('/var/cache/posewatch/broken'):\n"
        "    open('/var/cache/posewatch/broken', 'w').close()\n"
        "    def scan(self): raise ZeroDivisionError('planted')\n"
        "    s.FolderReader.scan = scan\n",
        "RestartSec=1\n",
    )
    t.start()
    took = t.until(lambda: t.show("NRestarts") == "1" and t.show("ActiveState") == "active", 20)
    t.check("it is started again", took is not None, f"{took} s; {t.state()}")
    t.check("the bug is in the log", "planted" in t.said("a thread died"), t.said("a thread died"))
    t.put("short", "talks")
    t.check("and it works", t.until(lambda: t.done("talks"), 20) is not None)


def wrong_setting(t: Trial) -> None:
    """What trying again cannot mend is not tried again, and says what it is."""

    def fails(why: str, text: str) -> None:
        t.check(f"{why}: it does not start", not t.start())
        time.sleep(6)  # longer than RestartSec
        final = (t.show("ActiveState"), t.show("NRestarts"), t.show("ExecMainStatus"))
        t.check(f"{why}: status 2, never restarted", final == ("failed", "0", "2"), t.state())
        errors = [e["MESSAGE"] for e in t.journal("-p", "err") if text in str(e.get("MESSAGE"))]
        t.check(f"{why}: it is said, as an error", errors, errors or t.journal()[-3:])
        t.check(f"{why}: systemctl status shows it", text in t.show("StatusText"))

    t.run("rm", CONFIG)
    fails("no settings file", "cannot read the settings file")
    t.fresh()
    t.configure("watch.nonsense = 1\n")
    fails("an unknown setting", "there is no setting watch.nonsense")
    t.fresh()
    t.configure(unit="[Service]\nEnvironment=POSEWATCH_MODELS=/nowhere\n")
    fails("no model", "posewatch models pull")
    t.fresh()
    t.run("systemd-run", "--unit=rival", "python3", "-m", "http.server", str(PORT))
    t.until(lambda: t.get("/").startswith("<!DOCTYPE"), 5)
    fails("a port that is taken", f"port {PORT}")
    t.run("systemctl", "stop", "rival")


def late_folder(t: Trial) -> None:
    """A folder that is mounted late is waited for, for longer than starting may take."""
    t.configure(unit="[Unit]\nRequiresMountsFor=\n[Service]\nTimeoutStartSec=10\n")
    t.write(CONFIG, SETTINGS.replace(FOLDER, "/srv/late/videos"))
    t.run("mkdir", "-p", "/srv/late")
    t.run("systemctl", "start", "--no-block", UNIT)
    time.sleep(20)
    waiting = t.show("ActiveState") == "activating" and t.show("NRestarts") == "0"
    t.check("it waits, for longer than TimeoutStartSec", waiting, t.state())
    t.check("and says so", "/srv/late/videos" in t.show("StatusText"), t.show("StatusText"))
    t.check("also over HTTP", "/srv/late/videos" in t.get("/readyz"), t.get("/readyz"))
    t.run("systemctl", "stop", UNIT)
    t.check("it can be stopped meanwhile", t.show("Result") == "success", t.state())
    t.run("systemctl", "start", "--no-block", UNIT)
    time.sleep(2)
    t.run("mount", "-t", "tmpfs", "tmpfs", "/srv/late")
    t.run("install", "-d", "-o", "posewatch", "/srv/late/videos")
    took = t.until(lambda: t.show("ActiveState") == "active", 30)
    begun = took is not None and t.show("NRestarts") == "0"
    t.check("it begins when the folder is there", begun, f"{took} s; {t.state()}")
    t.put("short", "talks", "/srv/late/videos")
    took = t.until(lambda: t.done("talks", "/srv/late/videos"), 20)
    t.check("and works", took is not None, f"{took} s")


def lost_mount(t: Trial) -> None:
    """A mount that goes away under it is noticed, waited for, and used again."""
    t.run("mkdir", "-p", "/srv/late")
    mount = ("mount", "-t", "tmpfs", "-o", "uid=posewatch", "late", "/srv/late")
    t.run(*mount)
    t.write(CONFIG, SETTINGS.replace(FOLDER, "/srv/late"))
    t.start()
    t.put("short", "talks", "/srv/late")
    t.check("it works", t.until(lambda: t.done("talks", "/srv/late"), 20) is not None, t.state())
    t.check("its mount can be taken away", t.works("umount", "/srv/late"))
    took = t.until(lambda: "not the folder" in t.show("StatusText"), 20)
    t.check("it says that the mount is gone", took is not None, f"{took} s; {t.state()}")
    t.check("and writes nothing where it was", not t.files("/srv/late"), t.files("/srv/late"))
    t.run(*mount)
    t.put("short", "again", "/srv/late")
    took = t.until(lambda: t.done("again", "/srv/late"), 60)
    t.check("it goes on when it is back", took is not None, f"{took} s; {t.state()}")


def mount_unit(t: Trial) -> None:
    """The mount that the folder needs is brought up first, and takes the service down with it."""
    where = "[Mount]\nWhat=tmpfs\nWhere=/srv/posewatch\nType=tmpfs\nOptions=uid=posewatch\n"
    t.write("/etc/systemd/system/srv-posewatch.mount", where)
    t.run("systemctl", "daemon-reload")
    t.check("it starts", t.start(), t.state())
    mounted = t.show("ActiveState", "srv-posewatch.mount")
    t.check("with its mount", mounted == "active" and t.works("mountpoint", FOLDER))
    t.put("short", "talks")
    t.check("it works", t.until(lambda: t.done("talks"), 20) is not None)
    t.run("systemctl", "stop", "srv-posewatch.mount")
    t.check("stopping the mount stops it first", t.show("Result") == "success", t.state())
    t.run("rm", "/etc/systemd/system/srv-posewatch.mount")
    t.run("systemctl", "daemon-reload")


def read_only(t: Trial) -> None:
    """A folder outside of what the unit allows says that it is read-only."""
    t.write(CONFIG, SETTINGS.replace(FOLDER, "/data"))
    t.run("install", "-d", "-o", "posewatch", "/data")
    t.run("systemctl", "start", "--no-block", UNIT)
    t.until(lambda: "waiting" in t.show("StatusText"), 20)
    t.check("it says so", "waiting for /data" in t.show("StatusText"), t.state())
    t.configure(unit="[Service]\nReadWritePaths=/data\n")
    t.write(CONFIG, SETTINGS.replace(FOLDER, "/data"))
    t.run("systemctl", "restart", "--no-block", UNIT)
    took = t.until(lambda: t.show("ActiveState") == "active", 20)
    t.check("ReadWritePaths= opens it", took is not None, t.state())


def doctor(t: Trial) -> None:
    """`posewatch doctor`, as the service's user and without a word, looks at the service."""

    def found() -> dict[str, dict[str, str]]:
        told = t.run("setpriv", *WHO, "posewatch", "doctor", "--json")
        findings, _ = json.JSONDecoder().raw_decode(told, told.index("["))
        return {it["about"]: it for it in findings}

    t.start()
    about = found()
    wrong = [it for it in about.values() if it["level"] == "error"]
    t.check("nothing is an error", not wrong, wrong or sorted(about))
    t.check("it finds the folder", FOLDER in about["folder"]["said"], about["folder"]["said"])
    t.check("it loads the model of the service", "the CPU" in about["networks"]["said"])
    t.check("the service is active", about["systemd"]["level"] == "ok", about["systemd"]["said"])
    t.run("systemctl", "stop", UNIT)
    level = found()["systemd"]["level"]
    t.check("when it is stopped, that is a warning", level == "warning", level)
    t.configure('idle.action = "poweroff"\n')
    idle = found()["idle"]
    t.check("a power-off that nobody listens to is an error", idle["level"] == "error", idle)
    t.configure("watch.nonsense = 1\n")
    t.check("a wrong setting is an error", found()["settings"]["level"] == "error")


SCENARIOS: tuple[Callable[[Trial], None], ...] = (
    *(unit_file, work, wild_name, reload, notify_reload, stop, crash, hang, stuck_loop),
    *(dead_thread, crash_loop, wrong_setting, late_folder, lost_mount, mount_unit, read_only),
    doctor,
)
