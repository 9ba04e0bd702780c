"""What is well with this machine, and what to change: facts in, findings out.

`service.machine` gathers the facts. Each check judges one matter, and says in its hint what to do.
"""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from posewatch.config import HttpSettings, IdleSettings, WorkSettings

GIB: Final = 1 << 30

SKEW_WARNING, SKEW_ERROR = 30.0, 600.0
"""Seconds between the clocks. S3 refuses what is 15 minutes off (RequestTimeTooSkewed)."""

CODECS: Final = ("h264", "hevc", "vp9", "av1", "vp8", "mpeg4", "mpeg2video")
"""What videos of today are made of, by FFmpeg's names."""

FILES_FEW, FILES_ENOUGH = 256, 1024
"""Files that a process may have open: a daemon needs about 10 for each video in flight, and 50."""

HEADROOM: Final = 1.25
"""Of inotify's watches: other programs of the same user need some."""


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: how it is meant.
        about: what was looked at, in a word or two.
        said: what was found, and what it means.
        hint: what to change, if anything.
    """

    level: Level
    about: str
    said: str
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def ok(about: str, said: str) -> Finding:
    """What is well."""
    return Finding(Level.OK, about, said)


def warning(about: str, said: str, hint: str) -> Finding:
    """What will do, and could be better."""
    return Finding(Level.WARNING, about, said, hint)


def error(about: str, said: str, hint: str) -> Finding:
    """What will not do."""
    return Finding(Level.ERROR, about, said, hint)


# The machine


@dataclass(frozen=True, slots=True)
class Clocks:
    """What is known of the time.

    Attributes:
        synchronised: whether the kernel says that something keeps its clock right; None where it
            does not say.
        ahead: seconds by which this machine is ahead of the bucket's server; None without one.
    """

    synchronised: bool | None
    ahead: float | None = None


def clock(clocks: Clocks) -> Finding:
    """Whether the time of day is right.

    No decision rests on it, but requests to a bucket are signed with it, and people compare logs.
    """
    about, hint = (
        "clock",
        "Keep it right with systemd-timesyncd or chrony: timedatectl set-ntp true",
    )
    if clocks.ahead is not None:
        said = (
            f"{abs(clocks.ahead):.0f} s {'ahead of' if clocks.ahead > 0 else 'behind'} the bucket"
        )
        if abs(clocks.ahead) > SKEW_ERROR:
            return error(about, f"it is {said}, which will refuse requests", hint)
        if abs(clocks.ahead) > SKEW_WARNING:
            return warning(about, f"it is {said}", hint)
        return ok(about, "it agrees with the bucket")
    if clocks.synchronised is None:
        return ok(about, "whether anything keeps it right cannot be seen here; nothing rests on it")
    if not clocks.synchronised:
        return warning(about, "nothing keeps it right: times in logs and receipts may be off", hint)
    return ok(about, "it is kept right")


@dataclass(frozen=True, slots=True)
class Graphics:
    """Where the networks run, once they are loaded.

    Attributes:
        provider: onnxruntime's name for what runs them.
        gpus: which, in words; empty on the CPU.
        fallback: why no GPU is used although one would have been taken; may be empty.
        nvidia: whether the machine has a card of NVIDIA, usable or not.
        left: what the GPU leaves to the CPU of its work, in words; may be empty.
    """

    provider: str
    gpus: str
    fallback: str
    nvidia: bool
    left: str = ""


def networks(found: Graphics, work: WorkSettings) -> Finding:
    """Whether a GPU that is there is used, and why not."""
    about = "networks"
    if found.gpus:
        where = f"they run on {found.gpus} ({found.provider})"
        if found.left:
            hint = 'docs/models.md, "On a GPU", says what CUDA can do'
            return warning(about, f"{where}, but the CPU does a part: {found.left}", hint)
        return ok(about, where)
    where = f"they run on the CPU ({found.provider})"
    if work.device == "cpu":
        return ok(about, f"{where}, as work.device says")
    why = f"{where}: {found.fallback}" if found.fallback else where
    if found.nvidia:
        hint = 'There is a GPU: docs/operations.md, "A GPU"; work.device = "cuda" insists on it'
        return warning(about, why, hint)
    return ok(about, why)


def codecs(there: Mapping[str, bool]) -> Finding:
    """Whether the decoder knows what videos are made of."""
    missing = [name for name, known in there.items() if not known]
    if missing:
        return error(
            "codecs",
            f"there is no decoder for {', '.join(missing)}",
            "Install PyAV from its own wheels: pip install --force-reinstall av",
        )
    return ok("codecs", f"{', '.join(there)} can be decoded")


@dataclass(frozen=True, slots=True)
class Disk:
    """Where local copies go.

    Attributes:
        path: the folder.
        free: bytes that are free on its disk.
        used: bytes that the copies take already.
        refusal: why it cannot be written to; empty if it can.
    """

    path: Path
    free: int
    used: int
    refusal: str = ""


def cache(disk: Disk, limit: int) -> Finding:
    """Whether there is room for the local copies.

    Args:
        disk: where they go.
        limit: what they may take, in bytes.
    """
    about, room = "cache", f"{disk.path} has {_size(disk.free)} free"
    elsewhere = "Set [cache] path to a folder on another disk"
    if disk.refusal:
        return error(about, f"{disk.path} cannot be written to: {disk.refusal}", elsewhere)
    if disk.free < GIB:
        return error(about, f"{room}: too little for most videos", f"Make room, or: {elsewhere}")
    if disk.free + disk.used < limit:
        return warning(
            about,
            f"{room}, and copies may take {_size(limit)}",
            "Lower [cache] limit_bytes, or make room: a full disk stops the work",
        )
    return ok(about, f"{room}; copies may take {_size(limit)}")


def _size(count: int) -> str:
    return f"{count / GIB:,.1f} GiB"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process of this user may take; None for no limit.

    Attributes:
        files: open at a time.
        memory: address space, in bytes.
    """

    files: int | None
    memory: int | None


def limits(found: Limits, decoder_bytes: int) -> Finding:
    """Whether a daemon that is started from here would be given enough.

    Args:
        found: the limits (a service has its own: `LimitNOFILE=`, `LimitAS=`).
        decoder_bytes: address space that a decoder may take.
    """
    about = "limits"
    if found.memory is not None and found.memory < decoder_bytes:
        return error(
            about,
            f"a process may have {_size(found.memory)} of address space, and a decoder is allowed "
            f"{_size(decoder_bytes)}",
            "Raise it: ulimit -v unlimited; or lower [decode] memory_bytes",
        )
    if found.files is not None and found.files < FILES_FEW:
        return error(about, f"a process may open {found.files} files", "Raise it: ulimit -n 1024")
    if found.files is not None and found.files < FILES_ENOUGH:
        return warning(about, f"a process may open {found.files} files", "Better: ulimit -n 1024")
    files = "any number of" if found.files is None else f"{found.files:,}"
    return ok(about, f"a process may open {files} files")


@dataclass(frozen=True, slots=True)
class Watches:
    """What inotify can do, and has to.

    Attributes:
        allowed: watches that one user may have.
        folders: that are to be watched, one watch each.
    """

    allowed: int
    folders: int


def inotify(watches: Watches) -> Finding:
    """Whether each folder can be listened to."""
    about, said = (
        "inotify",
        f"{watches.folders:,} folders of {watches.allowed:,} that may be watched",
    )
    if watches.folders * HEADROOM <= watches.allowed:
        return ok(about, said)
    wanted = max(2 * watches.folders, 65_536)
    if watches.folders <= watches.allowed:
        why = "which leaves little for other programs"
    else:
        why = "so new videos in some are found by scans only"
    return warning(
        about,
        f"{said}, {why}",
        f"sysctl fs.inotify.max_user_watches={wanted}, and the same line in /etc/sysctl.d",
    )


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit, as systemd tells.

    Attributes:
        name: of the unit.
        properties: `LoadState`, `ActiveState`, `SubState`, `Result`, `StatusText`, `NRestarts`,
            `Environment`.
    """

    name: str
    properties: Mapping[str, str]

    @property
    def there(self) -> bool:
        """Whether systemd knows it."""
        return self.properties.get("LoadState") == "loaded"

    @property
    def state(self) -> str:
        """Whether it runs."""
        return self.properties.get("ActiveState", "")

    @property
    def environment(self) -> dict[str, str]:
        """What the unit gives its process, beside what every service gets."""
        try:
            words = shlex.split(self.properties.get("Environment", ""))
        except ValueError:  # a quote that is not closed
            return {}
        return dict(word.split("=", 1) for word in words if "=" in word)


def services(found: Sequence[Unit]) -> list[Finding]:
    """How the service and its instances are; where there are instances, it need not run itself."""
    there = [it for it in found if it.there]
    instances = [it for it in there if "@" in it.name]
    return [unit(it) for it in there if it in instances or it.state != "inactive" or not instances]


def unit(found: Unit) -> Finding:
    """How one service is."""
    text = found.properties.get("StatusText", "")
    said = f"{found.name} is {found.state}" + (f": {text}" if text else "")
    log = f"journalctl -u {found.name} -p warning"
    restarts = found.properties.get("NRestarts", "0")
    if found.state == "failed":
        return error("systemd", f"{said} ({found.properties.get('Result', '?')})", f"See: {log}")
    if found.state == "active" and restarts not in {"", "0"}:
        return warning("systemd", f"{said}; it was started again {restarts} times", f"See: {log}")
    if found.state == "active":
        return ok("systemd", said)
    if found.state in {"activating", "reloading", "deactivating"}:
        return warning("systemd", said, f"If it stays so, see: {log}")
    return warning("systemd", said, f"systemctl enable --now {found.name}")


def poweroff(idle: IdleSettings, requests: Unit | None) -> Finding:
    """Whether an idle machine will be stopped as the settings say.

    Args:
        idle: the settings.
        requests: `posewatch-poweroff.path`, on a machine that systemd runs.
    """
    about = "idle"
    if idle.action == "none":
        return ok(about, "the machine stays on when there is nothing to do")
    said = f"after {idle.minutes:g} minutes without anything to do: {idle.action}"
    if idle.action == "poweroff" and requests is not None and requests.state != "active":
        return error(
            about,
            f"{said}; but nobody listens to the service's request",
            f"systemctl enable --now {requests.name}",
        )
    return ok(about, f"{said}; {idle.stay} prevents it")


def http(settings: HttpSettings, *, loopback: bool) -> Finding:
    """Who can see what is served over HTTP.

    Args:
        settings: of `[http]`.
        loopback: whether its host is reached from this machine only.
    """
    about = "http"
    if not settings.enabled:
        return ok(about, "nothing is served")
    where = f"port {settings.port} of {settings.host}"
    if loopback:
        return ok(about, f"metrics, health and status on {where}, for this machine only")
    if settings.page == "always":
        said = f"names of videos are shown to everybody who can reach {where}"
        return warning(about, said, 'If that is not meant: page = "auto" under [http]')
    return ok(about, f"metrics and health on {where}, for everybody who can reach it")


@dataclass(frozen=True, slots=True)
class Keys:
    """Where the keys of a bucket come from.

    Attributes:
        source: in words; empty where none were found.
        file: that holds them, if one does.
        mode: its permissions.
        encrypted: whether requests go over TLS.
    """

    source: str
    file: Path | None = None
    mode: int = 0
    encrypted: bool = True


def credentials(keys: Keys) -> Finding:
    """Whether there are keys, and whether others can read them."""
    about = "credentials"
    if not keys.source:
        return error(
            about,
            "there are none: neither in the settings nor in the usual places of AWS",
            "Set folder.passwd_file, or give the machine a role; docs/storage.md tells all places",
        )
    if keys.file is not None and keys.mode & 0o077:
        return warning(
            about,
            f"{keys.source}, which others may read (mode {keys.mode & 0o777:o})",
            f"chmod 600 {keys.file}",
        )
    if not keys.encrypted:
        return warning(
            about,
            f"{keys.source}; requests go over http: what is sent can be read on the way",
            "Use an https endpoint, unless the way is a private one",
        )
    return ok(about, keys.source)
