"""Real S3 servers on this machine, each in processes of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from posewatch.storage.s3_client import S3Client, nobody
from posewatch.storage.s3_place import Addressing, Credentials, S3Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posewatch.storage.s3_objects import Answer, Request

HERE = Path(__file__).parent
KEY, SECRET = "AKIATESTTESTTEST", "secretsecretsecretsecret"
PATIENCE = 60.0
"""Seconds until a server that starts in two is given up."""


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        name: of the program.
        endpoint: its URL.
    """

    name: str
    endpoint: str

    def place(self, bucket: str, prefix: str = "") -> S3Place:
        return S3Place(
            bucket, prefix, self.endpoint, "us-east-1", Addressing.PATH, Credentials(KEY, SECRET)
        )

    @cached_property
    def shared(self) -> S3Client:
        """A client of one bucket, for tests that each use a prefix of their own."""
        return self.client(self.bucket())

    def bucket(self) -> str:
        """A new bucket."""
        name = f"posewatch-{secrets.token_hex(8)}"
        self.client(name)._client.create_bucket(Bucket=name)
        return name

    def client(
        self,
        bucket: str,
        prefix: str = "",
        count: Callable[[Request, Answer], None] = nobody,
    ) -> S3Client:
        made = S3Client(self.place(bucket, prefix), count)
        made.quoted = self.name != "ceph"
        return made


def free_ports(count: int) -> int:
    """The first of some ports in a row that nobody uses now."""
    while True:
        first = secrets.randbelow(20_000) + 20_000
        with suppress(OSError):
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return first


@contextmanager
def moto() -> Iterator[Server]:
    """moto, made safe for writes on condition."""
    process = subprocess.Popen(  # noqa: S603 -- our own script
        [sys.executable, HERE / "moto_locked.py"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Server("moto", f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.kill()
        process.communicate()


def ceph_missing() -> str:
    """Why Ceph cannot be started here; empty where it can."""
    programs = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool")
    missing = [program for program in programs if shutil.which(program) is None]
    return f"there is no {', '.join(missing)} here" if missing else ""


CONF = """[global]
fsid = 5a0b4c9a-7c0b-4c0e-8a59-0a6ab1b4c001
mon initial members = a
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
auth cluster required = none
auth service required = none
auth client required = none
# with no authentication, the secure mode that is the default hangs for five minutes
ms mon client mode = crc
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = {low}
ms bind port max = {high}
run dir = {folder}
admin socket = {folder}/$name.$pid.asok
pid file = {folder}/$name.pid
log file = {folder}/$name.log
mon cluster log file = {folder}/cluster.log
crash dir = {folder}
plugin dir = {lib}/ceph
erasure code dir = {lib}/ceph/erasure-code
osd class dir = {lib}/rados-classes
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 2
mon max pg per osd = 2000
paxos propose interval = 0.05
paxos min wait = 0.01
mon osd min in ratio = 0
mon data = {folder}/mon
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 8589934592
osd op num shards = 2
osd class load list = *
osd class default list = *
# without it, each small answer waits 40 ms for our kernel's delayed acknowledgement
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw enable usage log = false
rgw enable ops log = false
rgw thread pool size = 64
rgw num rados handles = 1
rgw run sync thread = false
rgw enable quota threads = false
rgw override bucket index max shards = 1
rgw crypt require ssl = false
"""
"""One monitor, one store in memory and one gateway, all on loopback, with nothing to wait for."""


class Ceph:
    """Ceph's S3 gateway over a store in memory, from Debian's packages, installed or unpacked.

    Args:
        folder: an empty one; its path is short, since sockets are made in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._conf = folder / "ceph.conf"
        program = Path(shutil.which("radosgw") or "").resolve()
        self._tree = program.parents[2]
        lib = self._tree / "usr" / "lib" / f"{os.uname().machine}-linux-gnu"
        self._environ = {**os.environ, "CEPH_CONF": str(self._conf)}
        if self._tree != Path("/"):
            libs = (lib, lib / "ceph", self._tree / "lib" / lib.name)
            self._environ["LD_LIBRARY_PATH"] = ":".join(map(str, libs))
            self._environ["PYTHONPATH"] = str(self._tree / "usr/lib/python3/dist-packages")
        first = free_ports(60)
        self.endpoint = f"http://127.0.0.1:{first}"
        self._monitor = f"[v2:127.0.0.1:{first + 1},v1:127.0.0.1:{first + 2}]"
        self._conf.write_text(
            CONF.format(
                folder=folder,
                lib=lib,
                port=first,
                v2=first + 1,
                v1=first + 2,
                low=first + 10,
                high=first + 59,
            )
        )

    def start(self) -> None:
        for name in ("mon", "osd"):
            (self._folder / name).mkdir()
        monmap, fsid = self._folder / "monmap", "5a0b4c9a-7c0b-4c0e-8a59-0a6ab1b4c001"
        self._run("monmaptool", "--create", "--addv", "a", self._monitor, "--fsid", fsid, monmap)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._run("ceph-mon", "-i", "a")
        self._until(lambda: self._ceph("mon", "stat"))
        identity = Path("/proc/sys/kernel/random/uuid").read_text().strip()
        self._ceph("osd", "new", identity)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identity)
        self._run("ceph-osd", "-i", "0")
        self._until(lambda: "1 up" in self._ceph("osd", "stat"))
        self._run("radosgw", "-n", "client.rgw.a")
        who = ("--uid=test", "--display-name=test")
        keys = (f"--access-key={KEY}", f"--secret-key={SECRET}")
        self._run("radosgw-admin", "user", "create", *who, *keys)
        self._until(self._answers)

    def stop(self) -> None:
        for name in ("client.rgw.a", "osd.0", "mon.a"):
            with suppress(FileNotFoundError, ValueError, ProcessLookupError):
                os.kill(int((self._folder / f"{name}.pid").read_text()), 9)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.endpoint, timeout=5):  # noqa: S310 -- loopback
                return True
        except urllib.error.URLError:
            return False

    def _until(self, done: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(subprocess.CalledProcessError):
                if done():
                    return
            assert time.monotonic() < deadline, "Ceph does not start"
            time.sleep(0.05)

    def _ceph(self, *arguments: str) -> str:
        return self._run("ceph", "--connect-timeout", "5", *arguments)

    def _run(self, program: str, *arguments: str | Path) -> str:
        conf = () if program == "monmaptool" else ("-c", self._conf)
        done = subprocess.run(  # noqa: S603 -- Ceph's programs
            [shutil.which(program) or program, *conf, *arguments],
            env=self._environ,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=PATIENCE,
        )
        return done.stdout


@contextmanager
def ceph(folder: Path) -> Iterator[Server]:
    """Ceph, where its programs are."""
    cluster = Ceph(folder)
    try:
        cluster.start()
        yield Server("ceph", cluster.endpoint)
    finally:
        cluster.stop()
