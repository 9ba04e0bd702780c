"""A rented machine: what cloud-init makes of packaging/cloud-init.yaml, from boot to power off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from buckets import ENDPOINT, KEY, MAKE_BUCKET, SECRET, start_store
from container import CLOUD, PACKAGE, STORE, VIDEOS
from trial import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from trial import Trial

SEED = "/var/lib/cloud/seed/nocloud"
HERE = {
    "https://objects.example/posewatch": "http://127.0.0.1:8000/posewatch",
    "https://objects.example": ENDPOINT,
    "ACCESS_KEY:SECRET_KEY": f"{KEY}:{SECRET}",
    'device = "cuda"': 'device = "cpu"',
    "minutes = 20.0": "minutes = 0.1\n      grace = 2.0",
}
"""What an operator changes, and what a machine with neither a GPU nor 20 minutes does."""


def cloud_init(t: Trial) -> None:
    """It comes up, mounts the bucket, works off what is in it, and switches itself off."""
    said = t.run("cloud-init", "schema", "--config-file", CLOUD)
    t.check("cloud-init's schema allows it", "Valid" in said, said)
    data = t.run("cat", CLOUD)
    for there, here in HERE.items():
        t.check(f"it says {there}", there in data)
        data = data.replace(there, here)
    lines = data.splitlines(keepends=True)
    t.write(f"{SEED}/user-data", "".join(line for line in lines if "posewatch-gpu.deb" not in line))
    t.write(f"{SEED}/meta-data", "instance-id: rented\n")
    only = "datasource_list: [NoCloud]\nnetwork: {config: disabled}\n"
    t.write("/etc/cloud/cloud.cfg.d/99-test.cfg", only)
    start_store(t)
    t.run(f"{STORE}/bin/python", "-c", MAKE_BUCKET, f"{VIDEOS}/short.mp4")
    t.run("install", "-D", PACKAGE, "/srv/web/posewatch.deb")
    t.run("rm", PACKAGE)  # cloud-init is to put it there
    t.run("systemd-run", "--unit=web", "python3", "-m", "http.server", "-d", "/srv/web", "8000")
    t.run("rm", "/etc/cloud/cloud-init.disabled")
    for stage in (("init", "--local"), ("init",), ("modules", "-m", "config")):
        t.run("cloud-init", *stage)
    said = t.run("cloud-init", "modules", "-m", "final")
    t.check("the package is installed", t.works("posewatch", "--version"), said[-300:])
    took = t.until(lambda: t.works("mountpoint", FOLDER), 30)
    t.check("the bucket is mounted", took is not None, f"{took} s; {t.state()}")
    took = t.until(lambda: t.done("short"), 60)
    t.check("the video in it gets results", took is not None, f"{took} s; {t.state()}")
    took = t.until(lambda: not t.works("true"), 60)
    t.check("the machine is switched off", took is not None, f"{took} s")


SCENARIOS: tuple[Callable[[Trial], None], ...] = (cloud_init,)
