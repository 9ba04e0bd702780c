"""A round trip of some milliseconds between this machine and itself, on kernels without netem.

Two network namespaces, each with a TUN device, and a relay that keeps every packet for a while
before it passes it on; so connections begin, grow and wait as over a real distance. What runs in
the near namespace reaches a server of this machine through the far one. Needs root.

Threads: two, each of which holds one namespace for as long as it lives. The relay and the far end's
forwarding are processes of their own; they end with the `with` block.
"""

from __future__ import annotations

import ctypes
import fcntl
import multiprocessing
import os
import select
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLONE_NEWNET: Final = 0x40000000  # <linux/sched.h>
TUNSETIFF: Final = 0x400454CA  # <linux/if_tun.h>
TUNSETOFFLOAD: Final = 0x400454D0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4 = 0x01, 0x02

MTU: Final = 1500
UNIT: Final = 66_000
"""Bytes that the kernel hands over at once, at most: several packets of one connection together, as
to a network card. The relay passes them on as they are, else it would take more CPU time than all
that is measured."""

NEAR, FAR = "10.231.7.1", "10.231.7.2"
CHUNK: Final = 1 << 18
BURST: Final = 0.01
"""Seconds of its rate that a connection may save up."""

PATIENCE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Distance:
    """A server, seen from afar.

    Attributes:
        enter: what a command begins with that is to run in the near namespace.
        endpoint: the server's URL there.
    """

    enter: tuple[str, ...]
    endpoint: str


def distance_missing() -> str:
    """Why there can be no distance here; empty where it can."""
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    if not os.access("/dev/net/tun", os.W_OK):
        return "there is no /dev/net/tun here"
    missing = [program for program in ("ip", "nsenter") if shutil.which(program) is None]
    return f"there is no {', '.join(missing)} here" if missing else ""


class _Namespace:
    """A network namespace with a TUN device, held by a thread.

    Args:
        address: of the device.
        then: called in the namespace, when it is ready.
    """

    def __init__(self, address: str, then: Callable[[], None] = lambda: None) -> None:
        self._address = address
        self._then = then
        self._ready, self._over = threading.Event(), threading.Event()
        self._error: BaseException | None = None
        self.tun = -1
        self._thread = threading.Thread(target=self._hold, daemon=True)
        self._thread.start()
        self._ready.wait(PATIENCE)
        if self._error is not None:
            raise self._error
        self.path = f"/proc/{os.getpid()}/task/{self._thread.native_id}/ns/net"

    def _hold(self) -> None:
        try:
            _leave_network()
            self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
            fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH22x", b"tun0", flags))
            fcntl.ioctl(self.tun, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4)
            for step in (
                "link set lo up",
                f"address add {self._address}/24 dev tun0",
                f"link set tun0 mtu {MTU} txqueuelen 10000 up",
            ):
                subprocess.run([shutil.which("ip") or "ip", *step.split()], check=True)  # noqa: S603 -- iproute2
            self._then()
        except BaseException as error:  # noqa: BLE001 -- raised again by who waits
            self._error = error
        self._ready.set()
        self._over.wait()

    def close(self) -> None:
        self._over.set()
        self._thread.join(PATIENCE)
        if self.tun >= 0:
            os.close(self.tun)


@contextmanager
def far_away(port: int, round_trip: float, rate: float | None = None) -> Iterator[Distance]:
    """See a server on this machine from afar.

    Args:
        port: where it listens, on 127.0.0.1.
        round_trip: seconds.
        rate: bytes a second that each connection gets of its answers; None for all it can.
    """
    listener = socket.socket()

    def listen() -> None:
        nonlocal listener
        listener.close()
        listener = socket.create_server((FAR, 80), backlog=256)  # one of the far namespace

    near = _Namespace(NEAR)
    far = _Namespace(FAR, listen)
    # Forked, since what they need are open files; from this thread, whose network is the usual one.
    fork = multiprocessing.get_context("fork")
    tasks = [
        fork.Process(target=_relay, args=((near.tun, far.tun), round_trip / 2), daemon=True),
        fork.Process(target=_forward, args=(listener, port, rate), daemon=True),
    ]
    try:
        for task in tasks:
            task.start()
        enter = (shutil.which("nsenter") or "nsenter", f"--net={near.path}")
        yield Distance(enter, f"http://{FAR}")
    finally:
        for task in tasks:
            task.kill()
            task.join()
        listener.close()
        near.close()
        far.close()


def _leave_network() -> None:
    """Give the calling thread a network of its own."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network namespace")


def _relay(ends: tuple[int, int], delay: float) -> None:
    """Pass packets on, each after a while."""
    waiting: dict[int, deque[tuple[float, bytes]]] = {end: deque() for end in ends}
    other = dict(zip(ends, reversed(ends), strict=True))
    while True:
        now = time.monotonic()
        for end, packets in waiting.items():
            while packets and packets[0][0] <= now:
                with suppress(BlockingIOError):  # a full queue drops packets, as anywhere
                    os.write(other[end], packets.popleft()[1])
        soonest = min((packets[0][0] for packets in waiting.values() if packets), default=None)
        timeout = None if soonest is None else max(soonest - time.monotonic(), 0.0)
        for end in select.select(ends, (), (), timeout)[0]:
            with suppress(BlockingIOError):
                for _ in range(64):
                    packet = os.read(end, UNIT)
                    waiting[end].append((time.monotonic() + delay, packet))


def _forward(listener: socket.socket, port: int, rate: float | None) -> None:
    """Connect whoever comes with the server."""
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", port))
        for one, two, limit in ((client, server, None), (server, client, rate)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pump, args=(one, two, limit), daemon=True).start()


def _pump(source: socket.socket, target: socket.socket, rate: float | None) -> None:
    free = time.monotonic()
    with suppress(OSError):
        while data := source.recv(CHUNK):
            target.sendall(data)
            if rate is not None:
                now = time.monotonic()
                free = max(free, now - BURST) + len(data) / rate
                time.sleep(max(free - now, 0.0))
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    # The other direction may still be at work; the files end with the process.
