"""Real processes, at the same time, on a real folder."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from typing import TYPE_CHECKING

from posewatch.base.clock import SystemClock
from posewatch.claims.claim import Claim
from posewatch.claims.claims import Claims, Owner
from posewatch.claims.observer import Observer
from posewatch.storage.posix import PosixStorage

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

PROCESSES = 16
KEYS = [f"talks/{number:03}.mp4" for number in range(200)]


def compete(root: Path, number: int, start: Barrier, won: Queue[list[str]]) -> None:
    owner = Owner("here", number, "boot")
    claims = Claims(PosixStorage(root), SystemClock(), owner, 60.0, Observer())
    start.wait()
    won.put([key for key in KEYS if isinstance(claims.acquire(key, "job"), Claim)])


def test_of_sixteen_processes_one_wins_each_input(tmp_path: Path) -> None:
    (tmp_path / "talks").mkdir()
    context = multiprocessing.get_context("fork")
    start, won = context.Barrier(PROCESSES), context.Queue()
    processes = [
        context.Process(target=compete, args=(tmp_path, n, start, won)) for n in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    winners = Counter(key for _ in processes for key in won.get(timeout=60))
    for process in processes:
        process.join()
    assert winners == dict.fromkeys(KEYS, 1)
    left = {path.name for path in (tmp_path / "talks").iterdir()}
    assert left == {key.removeprefix("talks/") + ".lock" for key in KEYS}
