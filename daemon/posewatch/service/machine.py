"""The facts about this machine that `service.checkup` judges. Nothing here decides anything."""

from __future__ import annotations

import ctypes
import ipaddress
import os
import resource
import socket
import struct
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from posewatch.base.clock import SystemClock
from posewatch.base.metrics import Metrics
from posewatch.models.cache import ModelCache, default_root
from posewatch.service.checkup import Clocks, Disk, Graphics, Limits, Unit, Watches
from posewatch.service.recipes import Opening

if TYPE_CHECKING:
    from collections.abc import Mapping

    from posewatch.base.clock import Clock
    from posewatch.config import Settings
    from posewatch.storage.s3_place import S3Place

SERVICE: Final = "posewatch.service"
INSTANCES: Final = "posewatch@*.service"
REQUESTS: Final = "posewatch-poweroff.path"
SETTINGS: Final = Path("/etc/posewatch/posewatch.toml")
"""Of the service."""

_BOOTED: Final = Path("/run/systemd/system")
"""Is there where systemd runs the machine: sd_booted(3)."""

_PROPERTIES: Final = "Id,LoadState,ActiveState,SubState,Result,StatusText,NRestarts,Environment"

_PATIENCE: Final = 5.0
"""Seconds for whoever is asked."""

_MODES_AND_STATUS: Final = struct.Struct("@I4xqqqqi")
"""The beginning of `struct timex`, adjtimex(2), on 64 bits: modes, four numbers, status."""

_UNSYNCHRONISED: Final = 0x40  # STA_UNSYNC


def graphics(settings: Settings, environ: Mapping[str, str]) -> Graphics:
    """Load the networks as the daemon would, and see where they run.

    Args:
        settings: which, and where.
        environ: of the daemon; says where the models are.

    Raises:
        ModelError: the model is not there, or cannot be used as the settings want it.
    """
    with ExitStack() as stack:
        opening = Opening(settings.recipe, ModelCache(default_root(environ)))
        opened = opening.open(settings.work, stack, Metrics(), SystemClock())
        loaded = opened.loaded
        gpus = loaded.software.get("gpu", "")
        fallback, left = opened.fallback, opened.left
        return Graphics(loaded.provider, gpus, fallback, nvidia=_has_nvidia(), left=left)


def _has_nvidia(devices: Path = Path("/sys/bus/pci/devices")) -> bool:
    """Whether there is a display controller of NVIDIA, with or without a driver."""
    for device in devices.glob("*"):
        with suppress(OSError):
            vendor, kind = ((device / name).read_text("ascii") for name in ("vendor", "class"))
            if vendor.strip() == "0x10de" and kind.startswith("0x03"):
                return True
    return False


def clocks(place: S3Place | None, clock: Clock) -> Clocks:
    """What the kernel says of its clock, and by how much it is ahead of the bucket's.

    Args:
        place: the bucket, if there is one. Nobody signs this question, and any answer has the time.
        clock: this machine's.
    """
    ahead = None
    if place is not None:
        url = place.endpoint or f"https://s3.{place.region or 'us-east-1'}.amazonaws.com"
        before = clock.wall()
        told = _date_of(url)
        if told is not None:
            # The answer is of some moment in between, and tells whole seconds.
            ahead = (before + clock.wall()) / 2 - (told + 0.5)
    return Clocks(_synchronised(), ahead)


def _date_of(url: str) -> float | None:
    """The `Date` of an HTTP answer, whatever it says; None where there is none."""
    try:
        try:
            with urlopen(Request(url, method="HEAD"), timeout=_PATIENCE) as answer:  # noqa: S310 -- as set
                date = answer.headers["Date"]
        except HTTPError as refusal:
            with refusal:
                date = refusal.headers["Date"]
        return parsedate_to_datetime(date).timestamp()
    except (OSError, TypeError, ValueError):
        return None


def _synchronised() -> bool | None:
    """Whether the kernel believes that something keeps its clock right; None where it is silent."""
    data = ctypes.create_string_buffer(512)  # struct timex has 208 bytes
    try:
        state = ctypes.CDLL(None).adjtimex(data)
    except (OSError, AttributeError):
        return None
    if state < 0:  # a sandbox
        return None
    return not _MODES_AND_STATUS.unpack_from(data)[-1] & _UNSYNCHRONISED


def disk(path: Path) -> Disk:
    """The disk of the local copies; they need not be there yet."""
    there = next(folder for folder in (path, *path.parents) if folder.is_dir())
    space = os.statvfs(there)
    refusal = ""
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        refusal = error.strerror or str(error)
    used = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):  # gone meanwhile
                used += Path(folder, name).lstat().st_blocks * 512
    return Disk(path, free=space.f_bavail * space.f_frsize, used=used, refusal=refusal)


def limits() -> Limits:
    """What this process, and those that it starts, may take."""

    def soft(kind: int) -> int | None:
        limit, _ = resource.getrlimit(kind)
        return None if limit == resource.RLIM_INFINITY else limit

    return Limits(files=soft(resource.RLIMIT_NOFILE), memory=soft(resource.RLIMIT_AS))


def watches(folders: int) -> Watches | None:
    """What inotify can do, beside what it has to; None where there is no inotify.

    Args:
        folders: that are to be watched.
    """
    try:
        text = Path("/proc/sys/fs/inotify/max_user_watches").read_text(encoding="ascii")
    except OSError:
        return None
    return Watches(allowed=int(text), folders=folders)


def units(*patterns: str) -> list[Unit]:
    """Units of systemd, by their names; none on a machine that systemd does not run.

    Args:
        patterns: names, which are told of also when there is no such unit, or patterns such as
            `posewatch@*.service` for those that are loaded.
    """
    if not _BOOTED.is_dir():
        return []
    try:
        told = subprocess.run(  # noqa: S603 -- systemd's own tool, and no word of a stranger
            ["systemctl", "show", "-p", _PROPERTIES, *patterns],  # noqa: S607 -- wherever it is
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    blocks = (block.splitlines() for block in told.split("\n\n"))
    found = (dict(line.split("=", 1) for line in block if "=" in line) for block in blocks)
    return [Unit(properties["Id"], properties) for properties in found if "Id" in properties]


def is_loopback(host: str) -> bool:
    """Whether an address, or all that a name stands for, is of this machine alone."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)
