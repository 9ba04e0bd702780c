"""Claims and results on a real NFS: two clients and a server of one kernel, in a virtual machine.

It needs mmdebstrap and qemu-system-x86_64, root for the former, and a Debian mirror; no NFS and no
KVM on this machine. Everything lies in build/nfs. Takes about two minutes, and one more the first
time.

    python tests/nfs/live.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOP = ROOT / "build" / "nfs"
SYSTEM, DISK, REPORT = TOP / "root", TOP / "disk.img", TOP / "report.txt"

PACKAGES = (
    "linux-image-cloud-amd64,python3,nfs-common,nfs-kernel-server,iproute2,kmod,e2fsprogs,rpcbind,"
    "procps"
)
ROOMS = ("base", "storage", "claims")
LIMIT = 600
"""Seconds, on a machine that has other things to do."""


def build() -> None:
    """The system of the guest, with the rooms that are tried."""
    if not (SYSTEM / "boot").is_dir():
        shutil.rmtree(SYSTEM, ignore_errors=True)
        TOP.mkdir(parents=True, exist_ok=True)
        # What is tried here runs on any Python from 3.11 on, and needs nothing else.
        command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"]
        subprocess.run([*command, "bookworm", str(SYSTEM)], check=True)  # noqa: S603 -- constants
    for name in ("posewatch/posewatch", "trial"):
        shutil.rmtree(SYSTEM / "opt" / name, ignore_errors=True)
    package = SYSTEM / "opt" / "posewatch" / "posewatch"
    for room in ROOMS:
        shutil.copytree(ROOT / "daemon" / "posewatch" / room, package / room)
    shutil.copy(ROOT / "daemon" / "posewatch" / "__init__.py", package)
    shutil.copytree(HERE, SYSTEM / "opt" / "trial")
    (SYSTEM / "opt" / "trial" / "init.sh").chmod(0o755)
    DISK.unlink(missing_ok=True)
    subprocess.run(  # noqa: S603 -- constants
        ["mke2fs", "-q", "-t", "ext4", "-d", str(SYSTEM), str(DISK), "1500M"],  # noqa: S607 -- of this machine
        check=True,
    )


def boot() -> str:
    """What the guest says until it is switched off."""
    (kernel,) = (SYSTEM / "boot").glob("vmlinuz-*")
    (initrd,) = (SYSTEM / "boot").glob("initrd.img-*")
    REPORT.unlink(missing_ok=True)
    command = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-M", "q35"]
    command += ["-m", "1500", "-smp", "2", "-display", "none", "-monitor", "none", "-no-reboot"]
    command += ["-kernel", str(kernel), "-initrd", str(initrd), "-serial", f"file:{REPORT}"]
    command += ["-append", "root=/dev/vda rw console=ttyS0 quiet init=/opt/trial/init.sh"]
    command += ["-drive", f"file={DISK},format=raw,if=virtio"]
    subprocess.run(command, check=True, timeout=LIMIT)  # noqa: S603 -- constants
    return REPORT.read_text(errors="replace")


def main() -> int:
    """Exit status 0 if all went as `docs/semantics.md` says."""
    build()
    report = boot()
    print(report)  # noqa: T201 -- its output
    return 0 if "TRIAL PASSED" in report and "WORKERS PASSED" in report else 1


if __name__ == "__main__":
    sys.exit(main())
