"""What the package promises to who installs, upgrades and removes it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from container import PACKAGE, UPGRADE
from trial import CONFIG, FOLDER, SETTINGS, UNIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from trial import Trial

INSTANCE = "posewatch@talks.service"
APT = ("apt-get", "-y", "-q", "-o", "Dpkg::Options::=--force-confold")
MINE = ("/srv/posewatch", "/var/cache/posewatch")
"""All that the user of the service may own, and what is below."""

COMPLETE = """
. /usr/share/bash-completion/completions/posewatch
COMP_WORDS=(posewatch ru) COMP_CWORD=1
_posewatch_completion posewatch
echo "${COMPREPLY[@]}"
"""


def install(t: Trial) -> None:
    """It installs on a fresh system, from a file and with no network, and waits to be enabled."""
    t.run("apt-get", "-q", "update")  # there is no network: only what is installed counts
    done = t.run(*APT, "install", PACKAGE)
    version = t.run("dpkg-query", "-W", "-f", "${Status} ${Version}", "posewatch")
    t.check("apt installs it", version.startswith("install ok installed"), version or done)
    t.check("the program is in the PATH", t.run("posewatch", "--version").startswith("posewatch "))
    t.check("completion", t.run("bash", "-c", COMPLETE) == "run", t.run("bash", "-c", COMPLETE))
    page = t.run("zcat", "/usr/share/man/man1/posewatch.1.gz")
    t.check("the man page knows the commands", "posewatch retry" in page)
    state = (t.run("systemctl", "is-enabled", UNIT), t.run("systemctl", "is-active", UNIT))
    t.check("it is neither enabled nor started", state == ("disabled", "inactive"), state)
    folder = t.run("stat", "-c", "%U:%G %a", FOLDER)
    t.check("the folder is there", folder == "posewatch:posewatch 2775", folder)
    t.run("cp", CONFIG, "/root/posewatch.toml")


def ownership(t: Trial) -> None:
    """The user of the service owns videos' results and local copies, and nothing else."""
    t.start()
    t.put("short", "talks")
    t.check("it works", t.until(lambda: t.done("talks"), 30) is not None, t.state())
    found = t.run("find", "/", "-xdev", "(", "-user", "posewatch", "-o", "-group", "posewatch", ")")
    stray = [path for path in found.splitlines() if not path.startswith(MINE)]
    t.check("nothing else is the user's", not stray, stray)
    t.check("the results are", f"{FOLDER}/talks.posewatch.json" in found.splitlines())
    passwd = t.run("getent", "passwd", "posewatch")
    t.check("it cannot log in", passwd.endswith("nologin"), passwd)
    spoilt = t.run("find", "/opt/posewatch", "-newer", "/root/posewatch.toml")
    t.check("the program is as it was installed", not spoilt, spoilt)


def instance(t: Trial) -> None:
    """A second folder is an instance with settings of its own; both are in one slice."""
    prepare_instance(t)
    t.check("it starts beside the other", t.start() and t.works("systemctl", "start", INSTANCE))
    t.put("short", "one")
    t.put("short", "two", "/srv/talks")
    both = t.until(lambda: t.done("one") and t.done("two", "/srv/talks"), 40)
    t.check("both work", both is not None, f"{both} s; {t.state()}")
    slices = {t.show("Slice"), t.show("Slice", INSTANCE)}
    t.check("in one slice", slices == {"posewatch.slice"}, slices)
    limit = t.show("MemoryMax", "posewatch.slice")
    t.check("which has a limit of memory", limit.isdigit(), f"{int(limit) >> 20} MiB")
    t.run("systemctl", "stop", INSTANCE)


def prepare_instance(t: Trial) -> None:
    """Make a folder and the settings of an instance."""
    t.run("install", "-d", "-o", "posewatch", "/srv/talks")
    settings = SETTINGS.replace(FOLDER, "/srv/talks") + "http.port = 9478\n"
    t.write("/etc/posewatch/posewatch@talks.toml", settings)


def fstab(t: Trial) -> None:
    """What the docs say about NFS is a mount that posewatch waits for, and nobody else."""
    page = t.run("cat", "/usr/share/doc/posewatch/operations.md").partition("<!-- fstab -->")[2]
    lines = [line for line in page.split("```")[1].splitlines() if " /srv/posewatch " in line]
    t.check("the docs have two lines", len(lines) == 2, lines)
    for line in lines:
        t.write("/etc/fstab", line + "\n")
        t.run("systemctl", "daemon-reload")
        mount = "srv-posewatch.mount"
        waits = [mount in t.show(name).split() for name in ("Requires", "After")]
        t.check("posewatch waits for it", waits == [True, True], waits)
        t.check("logging in does not", "remote-fs.target" not in t.show("Before", mount))
        t.check("after the network", "network-online.target" in t.show("After", mount))
        t.check("without an end", t.show("TimeoutUSec", mount) == "infinity")
    t.run("rm", "/etc/fstab")
    t.run("systemctl", "daemon-reload")


def upgrade(t: Trial) -> None:
    """An upgrade in the middle of the work loses no video and doubles none."""
    names = [f"video-{i}" for i in range(5)]
    t.configure("work.grace = 2.0\n")
    edited = t.run("cat", CONFIG)
    prepare_instance(t)
    t.start()
    t.run("systemctl", "start", INSTANCE)
    before = t.show("MainPID")
    for name in names:
        t.put("medium", name)
    t.check("it works", t.until(lambda: t.metric("frames_total") > 100, 30) is not None, t.state())
    said = t.run(*APT, "install", UPGRADE)
    version = t.run("dpkg-query", "-W", "-f", "${Status} ${Version}", "posewatch")
    t.check("apt upgrades it", "ok installed" in version and "later" in version, version or said)
    t.check("the new program is there", t.works("test", "-e", "/opt/posewatch/later"))
    t.check("edited settings are kept", t.run("cat", CONFIG) == edited)
    t.check("the new ones lie beside them", t.works("test", "-e", f"{CONFIG}.dpkg-dist"))
    running = t.until(lambda: t.show("ActiveState") == "active", 30)
    other = t.show("MainPID") != before
    t.check("it runs again", running is not None and other, t.state())
    t.check("so does the instance", t.show("ActiveState", INSTANCE) == "active")
    took = t.until(lambda: all(map(t.done, names)), 120)
    t.check("every video is done", took is not None, f"{took} s later; {t.files()}")
    done = [entry for entry in t.journal() if str(entry["MESSAGE"]).startswith("done ")]
    told = Counter(entry["POSEWATCH_VIDEO"] for entry in done)
    t.check("each once", told == Counter(f"{name}.mp4" for name in names), dict(told))
    took = t.until(lambda: not [name for name in t.files() if ".lock" in name], 30)
    t.check("no lock is left", took is not None, t.files())
    given_back = [e["POSEWATCH_VIDEO"] for e in t.journal() if "given back" in e["MESSAGE"]]
    t.check("those in the middle were given back", given_back, given_back)
    t.run("systemctl", "stop", INSTANCE)
    t.run("rm", "-rf", "/srv/talks")


def removal(t: Trial) -> None:
    """Removing leaves settings, videos and results; purging leaves videos and results."""
    t.run("systemctl", "enable", UNIT)
    t.configure("work.grace = 0.0\n")
    t.start()
    t.put("short", "talks")
    t.until(lambda: t.done("talks"), 30)
    t.put("medium", "more")
    t.until(lambda: t.working_on("more"), 30)
    t.check("it is removed", t.works(*APT, "remove", "posewatch"))
    t.check("the program is gone", not t.works("test", "-e", "/opt/posewatch"))
    t.check("it was stopped in peace", t.said("stopped") and not t.run("pgrep", "-u", "posewatch"))
    t.check("the settings are there", t.works("test", "-e", CONFIG))
    t.check("so are the results", t.done("talks") and not t.done("more"), t.files())
    t.check("it can come back", t.works(*APT, "install", PACKAGE) and t.start(), t.state())
    t.check("and goes on", t.until(lambda: t.done("more"), 60) is not None, t.files())

    t.run("touch", "/etc/posewatch/s3")
    files = t.files()
    t.check("it is purged", t.works(*APT, "purge", "posewatch"))
    t.check("videos and results are there", t.files() == files, t.files())
    leftover = t.run(
        "sh", "-c", "ls -d /etc/posewatch /opt/posewatch* /var/*/posewatch /run/posew*"
    )
    left = [line for line in leftover.splitlines() if not line.startswith("ls:")]
    t.check("nothing else of it is left", not left, left)
    t.check("it is enabled no more", not t.run("find", "/etc/systemd", "-lname", f"*{UNIT}"))
    known = t.run("systemctl", "list-unit-files", "--no-legend", "posewatch*")
    t.check("systemd knows it no more", not known, known)
    t.check("it can be installed anew", t.works(*APT, "install", PACKAGE) and t.start(), t.state())


FIRST: tuple[Callable[[Trial], None], ...] = (install, ownership, instance, fstab)
LAST: tuple[Callable[[Trial], None], ...] = (upgrade, removal)
