"""A worker that makes nothing: it claims, stages, checks, publishes. Runs in the guest.

Called with a folder and its name. One dies and two are stopped for a while, at the worst moments;
called `verdict`, it says how it all ended.
"""

# What it prints is its report:
# ruff: noqa: T201

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from posewatch.base.clock import SystemClock
from posewatch.base.errors import ChangedError, MissingError, StorageError
from posewatch.claims.claim import Claim
from posewatch.claims.claims import Claims, Owner
from posewatch.claims.names import parse_lock
from posewatch.claims.observer import Observer
from posewatch.claims.survey import hidden_to_sweep, locks_to_sweep, survey
from posewatch.storage.contract import is_hidden
from posewatch.storage.posix import PosixStorage

KEYS = [f"v{number}.mp4" for number in range(60)]
TTL = 4.0
SECONDS = 150.0
THIRD = 3


class ToyWorker:
    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.jobs = 0
        self.clock = SystemClock()
        self.storage = PosixStorage(root)
        self.locks, self.hidden = Observer(), Observer()
        owner = Owner(name, os.getpid(), "")
        self.claims = Claims(self.storage, self.clock, owner, TTL, self.locks)

    def run(self) -> None:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and (todo := self.sweep()) is not None:
            random.shuffle(todo)
            for key in todo[:5]:
                with suppress(StorageError):
                    self.work(key)
            time.sleep(0.1)

    def sweep(self) -> list[str] | None:
        """What is to be done; None when nothing at all is left."""
        began, locks = self.clock.monotonic(), dict[str, bytes]()
        there = {entry.key: entry.version for entry in self.storage.scan(lambda _key: False)}
        for key in there:
            if parse_lock(key) is not None:
                with suppress(MissingError):
                    locks[key] = self.storage.read(key)
        ended = self.clock.monotonic()
        held = survey(self.locks, locks, began=began, ended=ended, ttl=TTL)
        for lock in locks_to_sweep(held, lambda key, _: key + ".json" in there, lambda _: True):
            with suppress(ChangedError):
                self.storage.remove(lock.lock, lock.content)
        hidden = {key: version for key, version in there.items() if is_hidden(key)}
        for key in hidden_to_sweep(hidden, held, self.hidden, began=began, ended=ended, ttl=TTL):
            self.storage.sweep(key)
        todo = [key for key in KEYS if key + ".json" not in there]
        return todo if todo or locks or hidden else None

    def work(self, key: str) -> None:
        claim = self.claims.acquire(key, "")
        if not isinstance(claim, Claim):
            return
        stop = threading.Event()
        heart = threading.Thread(target=self.beat, args=(claim, stop), daemon=True)
        heart.start()
        end = claim.give_back
        try:
            if self.storage.stat(key + ".json") is not None or self.publish(key, claim):
                end = claim.release
        finally:
            stop.set()
            heart.join()
            end()

    def beat(self, claim: Claim, stop: threading.Event) -> None:
        while not stop.wait(claim.interval):
            claim.beat()

    def publish(self, key: str, claim: Claim) -> bool:
        time.sleep(random.random() * 0.3)
        area = self.storage.stage(claim.token, key)
        try:
            data = (self.name + key).encode() * 1000
            digest = hashlib.sha256(data).hexdigest()
            area.add(key + ".npz", data)
            receipt = {"by": self.name, "attempt": claim.attempt, "sha256": digest}
            area.add(key + ".json", json.dumps(receipt).encode())
            self.jobs += 1
            self.perhaps("1-dies", signal.SIGKILL)
            self.perhaps("1-stops", signal.SIGSTOP)
            if (lost := claim.check()) is not None:
                print(f"{self.name} lost {key}: {lost}", flush=True)
                return False
            self.perhaps("2-stops", signal.SIGSTOP)
            old = self.storage.stat(key + ".npz")
            area.publish(key + ".npz", old.version if old else None)
            area.publish(key + ".json", None)
        except StorageError as error:
            print(f"{self.name} gives {key} up: {error}", flush=True)
            return False
        finally:
            with suppress(StorageError):
                area.discard()
        return True

    def perhaps(self, name: str, number: signal.Signals) -> None:
        if self.name == name and self.jobs == THIRD:
            print(f"{self.name}: {number.name}", flush=True)
            self.jobs += 1
            os.kill(os.getpid(), number)


def verdict(root: Path) -> None:
    there = {path.name for path in root.iterdir()}
    true = 0
    attempts: dict[int, int] = {}
    for key in KEYS:
        if key + ".json" in there:
            receipt = json.loads((root / f"{key}.json").read_bytes())
            digest = hashlib.sha256((root / f"{key}.npz").read_bytes()).hexdigest()
            true += digest == receipt["sha256"]
            attempts[receipt["attempt"]] = attempts.get(receipt["attempt"], 0) + 1
    left = sorted(there - {key + end for key in KEYS for end in ("", ".npz", ".json")})
    passed = true == len(KEYS) and not left and len(attempts) > 1
    print(f"{true} of {len(KEYS)} receipts are true, by attempt {attempts}; left over: {left}")
    print("WORKERS PASSED" if passed else "WORKERS FAILED", flush=True)


if __name__ == "__main__":
    if sys.argv[2] == "verdict":
        verdict(Path(sys.argv[1]))
    else:
        ToyWorker(Path(sys.argv[1]), sys.argv[2]).run()
        print(f"{sys.argv[2]} ends", flush=True)
