"""What two NFS clients, A and B, see of each other's claims and results. Runs in the guest."""

# What it prints is its report:
# ruff: noqa: T201

from __future__ import annotations

import json
import socket
import sys
import time
from dataclasses import dataclass, field


class Client:
    """One of the two."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        for _ in range(600):
            try:
                self._socket.connect(path)
                break
            except OSError:
                time.sleep(0.1)
        self._lines = self._socket.makefile("rw")

    def ask(self, code: str) -> object:
        """Do it, and give R."""
        self.begin(code)
        return self.end()

    def begin(self, code: str) -> None:
        self._lines.write(json.dumps(code) + "\n")
        self._lines.flush()

    def end(self) -> object:
        answer = json.loads(self._lines.readline())
        if "error" in answer:
            print(answer["error"], flush=True)
        return answer.get("value")


@dataclass
class Trial:
    a: Client
    b: Client
    failed: list[str] = field(default_factory=list)

    def check(self, what: str, found: object, wanted: object = True) -> None:  # noqa: FBT002
        print(f"{'ok  ' if found == wanted else 'FAIL'} {what}: {found}", flush=True)
        if found != wanted:
            self.failed.append(what)

    def run(self) -> None:
        self.probe()
        self.missing_names()
        self.versions_and_beats()
        self.newer_attempts()
        for replace in (False, True):
            self.fence(replace=replace)
        self.handles()
        self.removed_lock()
        self.race()

    def probe(self) -> None:
        for name, client in (("A", self.a), ("B", self.b)):
            found = client.ask(
                "probe(storage, storage.backing);"
                "R=[storage.backing.fstype, storage.backing.network]"
            )
            self.check(f"{name} may share the folder", found, ["nfs4", True])

    def missing_names(self) -> None:
        a, b = self.a, self.b
        a.ask("R=[os.path.exists(M+n) for n in ('x.lock', 'x.lock.2')]")
        b.ask("storage.create('x.lock', b'one'); storage.create('x.lock.2', b'two')")
        self.check(
            "A remembers that it was missing", a.ask("R=os.path.exists(M+'x.lock')"), wanted=False
        )
        self.check("N2 stat finds it", a.ask("R=storage.stat('x.lock.2') is not None"))
        a.ask("R=os.path.exists(M+'y.lock')")
        b.ask("storage.create('y.lock', b'three')")
        self.check("N2 read finds it", a.ask("R=storage.read('y.lock').decode()"), "three")

    def versions_and_beats(self) -> None:
        a, b = self.a, self.b
        b.ask("storage.create('w', b'old')")
        a.ask("R=storage.stat('w').version.size")
        b.ask("open(M+'w', 'ab').write(b'er')")
        self.check("N1 a version is that of now", a.ask("R=storage.stat('w').version.size"), 5)
        b.ask("storage.create('beat', b'beat 1')")
        a.ask("storage.read('beat')")
        seen = []
        for beat in range(2, 7):
            b.ask(f"storage.overwrite('beat', b'beat {beat - 1}', b'beat {beat}')")
            seen.append(a.ask("R=storage.read('beat').decode()"))
        self.check("N1 every beat is seen", seen, [f"beat {beat}" for beat in range(2, 7)])

    def take_over(self, key: str) -> None:
        """B takes from A what is about `key`."""
        attempt = self.b.ask(
            f"key='{key}'; claims.acquire(key, ''); time.sleep(6.1);"
            "d=claims.acquire(key, ''); R=d.attempt"
        )
        self.check(f"B takes {key} over", attempt, 2)

    def newer_attempts(self) -> None:
        self.a.ask("c=claims.acquire('s.mp4', ''); c.beat()")
        self.take_over("s.mp4")
        lost = self.a.ask("c._last_beat=time.monotonic(); R=c.beat().reason")
        self.check("N2 a suspended holder learns of the newer attempt", lost, "superseded")
        self.check("B releases", self.b.ask("R=d.release()"))

    def fence(self, *, replace: bool) -> None:
        a, b, key = self.a, self.b, f"f{replace:d}"
        a.ask(f"c=claims.acquire('{key}.mp4', ''); open(M+'{key}.old', 'w').write('old')")
        a.ask(f"old=storage.stat('{key}.old').version; area=storage.stage(c.token, '{key}.mp4')")
        a.ask(f"area.add('{key}.npz', b'A' * 5000); area.add('{key}.old', b'A' * 5000)")
        self.take_over(f"{key}.mp4")
        publish = f"'{key}.old', old" if replace else f"'{key}.npz', None"
        found = a.ask(f"R=told(lambda: area.publish({publish}))")
        self.check("N3 what A had staged is not published", found, "FencedError")
        there = b.ask(f"R=[os.path.exists(M+'{key}.npz'), open(M+'{key}.old').read()]")
        self.check("N3 ... and is not there", there, [False, "old"])
        found = a.ask(f"R=told(lambda: area.add('{key}.more', b'x'))")
        self.check("P5 A cannot stage more", found, "FencedError")
        found = a.ask(f"area.discard(); R=told(lambda: storage.stage(c.token, '{key}.mp4'))")
        self.check("P6 A cannot open an area", found, "FencedError")
        b.ask(f"area=storage.stage(d.token, '{key}.mp4'); area.add('{key}.npz', b'B')")
        b.ask(f"R=d.check(); area.publish('{key}.npz', None); area.discard()")
        self.check("B releases", b.ask("R=d.release()"))
        left = b.ask(
            "R=[e.key for e in storage.scan(lambda key: False)"
            f" if e.key.startswith('{key}.mp4') or is_hidden(e.key)]"
        )
        self.check("C16 nothing is left", left, [])
        lost = a.ask("c._last_beat=time.monotonic(); R=c.check().reason")
        self.check("C9 A knows", lost, "removed")

    def handles(self) -> None:
        a = self.a
        open_staged = (
            "area=storage.stage(c.token, key); area.add('h.npz', b'A' * 5000);"
            "fd=os.open(area._staged['h.npz'].path, os.O_RDWR)"
        )
        a.ask("key='h.mp4'; c=claims.acquire(key, ''); " + open_staged)
        self.take_over("h.mp4")
        found = a.ask(
            "libc=ctypes.CDLL(None, use_errno=True);"
            "source, target = f'/proc/self/fd/{fd}'.encode(), (M+'stolen').encode();"
            "R=[libc.linkat(-100, source, -100, target, 0x400),"
            " errno.errorcode.get(ctypes.get_errno())]; os.close(fd)"
        )
        self.check("N3 a handle of a staged file cannot be linked", found, [-1, "ENOENT"])
        self.b.ask("d.release()")
        a.ask("key='i.mp4'; c=claims.acquire(key, ''); " + open_staged)
        a.ask("R=os.write(fd, b'zz')")
        a.ask(
            "other=Claims(storage, SystemClock(), Owner('a', 1, ''), 6.0, Observer());"
            "other.acquire(key, ''); time.sleep(6.1); d=other.acquire(key, ''); R=d.attempt"
        )
        found = a.ask("R=told(lambda: area.publish('h.npz', None))")
        self.check("N4 a file that NFS only renamed is not published", found, "FencedError")
        self.check("N4 ... and is swept once it is closed", a.ask("os.close(fd); R=d.release()"))
        left = self.b.ask("R=[e.key for e in storage.scan(lambda k: False) if is_hidden(e.key)]")
        self.check("C16 nothing is left", left, [])

    def removed_lock(self) -> None:
        self.a.ask("c=claims.acquire('k.mp4', '')")
        self.b.ask("os.unlink(M+'k.mp4.lock')")
        self.check("N6 a removed lock is lost", self.a.ask("R=c.beat().reason"), "removed")
        self.check(
            "C7 it is not back", self.b.ask("R=os.path.exists(M+'k.mp4.lock')"), wanted=False
        )

    def race(self) -> None:
        self.a.ask("os.mkdir(M+'race')")
        for client in (self.a, self.b):
            client.begin(
                "R=[n for n in range(200)"
                " if isinstance(claims.acquire(f'race/{n}.mp4', ''), Claim)]"
            )
        won = [set(client.end()) for client in (self.a, self.b)]  # type: ignore[call-overload]
        self.check("C2 one winner for each of 200", len(won[0] ^ won[1]), 200)
        print(f"     (A won {len(won[0])}, B won {len(won[1])})", flush=True)


if __name__ == "__main__":
    trial = Trial(Client(sys.argv[1]), Client(sys.argv[2]))
    trial.run()
    print("TRIAL PASSED" if not trial.failed else f"TRIAL FAILED: {trial.failed}", flush=True)
