"""Decoder processes that die, hang or eat memory cost their video, and nobody else anything."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from real.daemons import assert_whole, digests, failure_of, finished, leftovers, put_video, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from real.daemons import Daemon, Fleet

LONG = 300
"""Frames of a video that its decoder keeps open for seconds."""


@contextmanager
def _whenever_it_opens(daemon: Daemon, size: int, number: signal.Signals) -> Iterator[list[int]]:
    """Send a signal, once, to each decoder that has opened a file of this size; to which."""
    hit: list[int] = []
    over = threading.Event()

    def hunt() -> None:
        while not over.wait(0.01):
            for pid in daemon.decoders():
                if pid not in hit and size in _open_sizes(pid):
                    hit.append(pid)
                    os.kill(pid, number)

    hunter = threading.Thread(target=hunt)
    hunter.start()
    try:
        yield hit
    finally:
        over.set()
        hunter.join()


def _open_sizes(pid: int) -> set[int]:
    sizes = set()
    for link in _entries(Path(f"/proc/{pid}/fd")):
        try:
            if "/input." in os.fspath(link.readlink()):
                sizes.add(link.stat().st_size)
        except OSError:  # closed meanwhile
            continue
    return sizes


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # the process has ended
        return []


def test_a_video_that_crashes_its_decoder_again_and_again_has_failed(
    folder: Path, fleet: Fleet
) -> None:
    bad = put_video(folder / "bad.mp4", frames=LONG)
    good = [put_video(folder / f"good-{n}.mp4", frames=10) for n in range(4)]
    before = digests(folder)
    daemon = fleet.daemon(folder, {"claims": {"max_attempts": 3}}).start()
    pid = daemon.pid
    with _whenever_it_opens(daemon, bad.stat().st_size, signal.SIGKILL) as killed:
        daemon.says("failed", video=bad.name, fault="crashed")
        until(lambda: finished(good), "the others are done")
    assert len(killed) == 3
    failure = failure_of(bad)
    assert failure is not None
    assert failure.message.startswith("the decoder crashed on it 3 times")
    assert "SIGKILL" in failure.message
    for video in good:
        assert_whole(video, 10)
    assert (daemon.pid, daemon.runs) == (pid, True)
    assert daemon.metric("posewatch_decoder_restarts_total") == 3
    looked_at = daemon.metric("posewatch_inference_batch_size_sum")
    assert looked_at >= 10 * len(good), "each frame went through a network"
    assert daemon.metric("posewatch_inference_duration_seconds_count", network="pose_detection")
    running = {"recipe": "mediapipe", "device": "cpu", "provider": "CPUExecutionProvider"}
    assert daemon.metric("posewatch_build_info", **running) == 1
    until(lambda: not leftovers(folder), lambda: f"leftovers go: {leftovers(folder)}")
    assert digests(folder) == before
    assert daemon.stop() == 0


def test_a_decoder_that_died_once_is_no_failure(folder: Path, fleet: Fleet) -> None:
    video = put_video(folder / "unlucky.mp4", frames=LONG)
    daemon = fleet.daemon(folder).start()
    with _whenever_it_opens(daemon, video.stat().st_size, signal.SIGSEGV) as killed:
        until(lambda: killed, "it was killed")
    until(lambda: finished([video]), "it is done all the same")
    assert_whole(video, LONG)
    assert len(daemon.said("its decoder crashed")) == 1
    assert daemon.stop() == 0


def test_a_decoder_that_hangs_is_stopped(folder: Path, fleet: Fleet) -> None:
    bad = put_video(folder / "bad.mp4", frames=LONG)
    good = put_video(folder / "good.mp4", frames=10)
    daemon = fleet.daemon(folder, {"decode": {"stall_seconds": 1.0}}).start()
    with _whenever_it_opens(daemon, bad.stat().st_size, signal.SIGSTOP) as stopped:
        daemon.says("failed", video=bad.name, fault="stalled")
        until(lambda: finished([good]), "the other is done")
    (decoder,) = stopped
    assert not Path(f"/proc/{decoder}").exists()
    assert daemon.stop() == 0


def test_a_video_that_needs_too_much_memory_has_failed(folder: Path, fleet: Fleet) -> None:
    bad = put_video(folder / "bad.avi", frames=3, size=(8192, 4320), codec="mjpeg")
    good = put_video(folder / "good.mp4", frames=10)
    daemon = fleet.daemon(folder, {"decode": {"memory_bytes": 700 << 20}}).start()
    daemon.says("failed", video=bad.name)
    failure = failure_of(bad)
    assert failure is not None
    assert failure.fault.value in {"too-large", "crashed"}
    assert "memory" in failure.message
    until(lambda: finished([good]), "the other is done")
    assert_whole(good, 10)
    assert daemon.stop() == 0
