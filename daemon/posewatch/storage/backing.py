"""What backs a path: which file system, and whether other machines can write to it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOUNTINFO = Path("/proc/self/mountinfo")

NETWORK_TYPES: Final = re.compile(
    r"9p|afs|beegfs|ceph|cifs|fuse(\..+)?|gfs2|glusterfs|gpfs|lustre|nfs4?|ocfs2|orangefs|smb3"
    r"|vboxsf|virtiofs"
)
"""File systems on which another machine may write."""

BUCKET_PROGRAMS: Final = {
    "fuse.s3fs": "s3fs",
    "fuse.rclone": "rclone",
    "fuse.mountpoint-s3": "mount-s3",
    "fuse.goofys": "goofys",
    "fuse.geesefs": "geesefs",
}
"""The programs that show a bucket as a folder, by the type of file system that the kernel tells."""


@dataclass(frozen=True, slots=True)
class Backing:
    """The mount that a path is on.

    Attributes:
        mount_point: where it is mounted; empty when nothing is known.
        fstype: the kernel's name of the file system, such as `ext4`, `nfs4`, `fuse.s3fs`.
        source: device, export or bucket.
        subtree: which directory of the source is mounted.
        options: of the mount and of the file system.
    """

    mount_point: str = ""
    fstype: str = ""
    source: str = ""
    subtree: str = ""
    options: frozenset[str] = frozenset()

    @property
    def network(self) -> bool:
        """Whether other machines may write to it, unseen by this kernel."""
        return NETWORK_TYPES.fullmatch(self.fstype) is not None

    @property
    def bucket(self) -> bool:
        """Whether it is a bucket, through which no claim is safe."""
        return self.fstype in BUCKET_PROGRAMS

    @property
    def owner(self) -> int | None:
        """The user who mounted it, as FUSE tells; None on other file systems."""
        found = [option[8:] for option in self.options if option.startswith("user_id=")]
        return int(found[0]) if found and found[0].isdecimal() else None

    def came_back_as(self, now: Backing) -> bool:
        """Whether `now` is the same folder mounted again, or a mount that came on top of it.

        The device number alone does not tell: a network or FUSE mount gets a new one each time.
        """
        if len(now.mount_point) != len(self.mount_point):
            return len(now.mount_point) > len(self.mount_point)
        same = (self.mount_point, self.fstype, self.source, self.subtree)
        return same == (now.mount_point, now.fstype, now.source, now.subtree)


def backing_of(path: Path, mountinfo: Path = MOUNTINFO) -> Backing:
    """What backs an existing path; an empty `Backing` where the kernel does not say."""
    try:
        text = os.fsdecode(mountinfo.read_bytes())
    except OSError:
        return Backing()
    return parse(text, os.path.realpath(path))


def parse(mountinfo: str, path: str) -> Backing:
    """Find the mount of an absolute, resolved path.

    The format is described in proc_pid_mountinfo(5). Of several mounts on one directory, the last
    is on top.
    """
    found = Backing()
    for line in mountinfo.split("\n"):
        fields = line.split(" ")
        if "-" not in fields:
            continue
        dash = fields.index("-")
        subtree, mount_point = _unescape(fields[3]), _unescape(fields[4])
        under = path == mount_point or path.startswith(mount_point.rstrip("/") + "/")
        if under and len(mount_point) >= len(found.mount_point):
            options = frozenset(fields[5].split(",")) | frozenset(fields[dash + 3].split(","))
            fstype, source = fields[dash + 1], _unescape(fields[dash + 2])
            found = Backing(mount_point, fstype, source, subtree, options)
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
