"""Scenarios of a machine with nothing to do. The last of them switches the container off."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from trial import Trial

STAY = "/run/posewatch/stay"
REQUESTS = "posewatch-poweroff.path"
POWEROFF = "posewatch-poweroff.service"
IDLE = 'idle.action = "poweroff"\nidle.minutes = 0.05\nidle.grace = 2.0\n'


def power_off(t: Trial) -> None:
    """An idle machine is kept on by a file or by a lock of systemd's, and is switched off then."""
    t.configure(IDLE)
    t.run("install", "-d", "/run/posewatch")
    t.run("touch", STAY)
    t.start()
    took = t.until(lambda: "stays on" in t.show("StatusText"), 20)
    t.check("a file in its way keeps it on", took is not None, t.show("StatusText"))
    t.check("the page says so", f"{STAY} is there" in t.get("/"), t.get("/"))
    who = ("setpriv", "--reuid=posewatch", "--regid=posewatch", "--clear-groups")
    t.check("its user may not switch it off", not t.works(*who, "systemctl", "poweroff"))
    t.run("rm", STAY)
    took = t.until(lambda: t.said("nobody has taken the request"), 60)
    t.check("nothing happens unless its unit is enabled", took is not None, f"{took} s")
    left = t.run("ls", "/run/posewatch").split()
    t.check("and no request is left", left == ["awake"], left)

    lock = ("systemd-inhibit", "--what=shutdown", "--mode=block", "sleep", "infinity")
    t.run("systemd-run", "--unit=backup", *lock)
    t.check("its unit can be enabled", t.works("systemctl", "enable", "--now", REQUESTS))
    t.until(lambda: t.show("Result", POWEROFF) == "exit-code", 60)
    refusal = t.run("journalctl", "--no-pager", "-o", "cat", "-u", POWEROFF)
    t.check("a lock of systemd's keeps it on", "inhibit" in refusal, refusal)
    tries = refusal.count("Starting")
    t.check("it is asked once, not again and again", tries == 1, tries)
    t.run("systemctl", "stop", "backup")

    t.run("systemctl", "restart", "--no-block", "posewatch.service")  # else it waits for 10 minutes
    began = time.monotonic()
    took = t.until(lambda: not t.works("true"), 60)
    t.check("it is switched off", took is not None, f"after {time.monotonic() - began:.1f} s")


SCENARIOS: tuple[Callable[[Trial], None], ...] = (power_off,)
