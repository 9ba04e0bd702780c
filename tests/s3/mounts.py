"""Buckets shown as folders by s3fs, with the options that a user would take."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from s3.servers import Server

PATIENCE = 30.0
"""Seconds until a mount is given up."""


def mounting_missing() -> str:
    """Why nothing can be mounted here; empty where it can."""
    for program in ("s3fs", "fusermount"):
        if shutil.which(program) is None:
            return f"there is no {program} here"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse: {error.strerror}"
    return ""


class Mount:
    """One s3fs.

    Args:
        server: where the bucket is.
        bucket: its name.
        path: an empty folder.
        passwd: the keys.
    """

    def __init__(self, server: Server, bucket: str, path: Path, passwd: Path) -> None:
        self.path = path
        self._bucket = bucket
        self._options = f"url={server.endpoint},use_path_request_style,passwd_file={passwd}"
        self._process = self._mount()

    def _mount(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603 -- found by `mounting_missing`
            ["s3fs", self._bucket, self.path, "-f", "-o", self._options],  # noqa: S607 -- the same
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + PATIENCE
        while not self.mounted():
            assert process.poll() is None, "s3fs ended"
            assert time.monotonic() < deadline, "s3fs does not mount"
            time.sleep(0.05)
        return process

    def again(self) -> None:
        """Unmount what is left, and mount it anew."""
        self.close()
        self._process = self._mount()

    def mounted(self) -> bool:
        """Whether the kernel shows it, be it dead or alive."""
        lines = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
        return any(line.split()[1] == str(self.path) for line in lines)

    def kill(self) -> None:
        """It dies as for want of memory; its mount stays, dead."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Unmount whatever is left."""
        subprocess.run(  # noqa: S603 -- found by `mounting_missing`
            ["fusermount", "-u", "-z", self.path],  # noqa: S607 -- the same
            check=False,
            capture_output=True,
        )
        self._process.terminate()
        self._process.wait(PATIENCE)


@contextmanager
def s3fs(server: Server, bucket: str, path: Path, passwd: Path) -> Iterator[Mount]:
    """A bucket, shown at an empty folder that is made for it."""
    path.mkdir()
    mount = Mount(server, bucket, path, passwd)
    try:
        yield mount
    finally:
        mount.close()
