"""The decoder process: what it gives, and what happens when it dies, hangs or eats memory."""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from posewatch.base.clock import ManualClock, SystemClock
from posewatch.base.errors import DecoderCrashedError, Fault, InputError, MissingError
from posewatch.vision import decoder_messages as messages
from posewatch.vision.decoder import Decoder, DecoderStartError, DecodingCancelledError
from posewatch.vision.video import DecodeLimits, VideoInfo
from videos import make_video, number_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from posewatch.base.clock import Clock


DAEMON = Path(__file__).parents[2] / "daemon"


def make_decoder(
    limits: DecodeLimits | None = None, stall_seconds: float = 30.0, clock: Clock | None = None
) -> Decoder:
    return Decoder(
        limits=limits or DecodeLimits(),
        stall_seconds=stall_seconds,
        clock=clock or SystemClock(),
    )


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    with make_decoder() as one:
        yield one


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many frames, each of its own: longer than the ring."""
    path = tmp_path_factory.mktemp("videos") / "long.mp4"
    return make_video(path, frames=900, size=(320, 240), options={"preset": "ultrafast"})


def pid_of(decoder: Decoder) -> int:
    assert decoder._child is not None
    return decoder._child._process.pid


def open_fds() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def numbers(decoder: Decoder, path: Path, max_frames: int = 16) -> list[int]:
    with decoder.open(path) as video:
        return [number_of(image) for chunk in video.chunks(max_frames) for image in chunk.images]


def read_while(decoder: Decoder, path: Path, act: Callable[[int], object]) -> int:
    """Number of frames of a video; `act` is called with the process's id after each chunk."""
    seen = 0
    with decoder.open(path) as video:
        for chunk in video.chunks(10):
            seen += len(chunk.times)
            act(pid_of(decoder))
    return seen


def test_every_frame_arrives_once_in_order_with_its_time(decoder: Decoder, tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", frames=100, audio=True)
    with decoder.open(path) as video:
        assert (video.info.width, video.info.height, video.info.fps) == (96, 64, 25.0)
        seen, times, lengths = [], [], []
        for chunk in video.chunks(7):
            assert chunk.images.dtype == np.uint8
            assert chunk.images.shape[1:] == (64, 96, 3)
            assert chunk.times.dtype == np.float64
            assert not chunk.images.flags.writeable
            lengths.append(len(chunk.images))
            seen += [number_of(image) for image in chunk.images]
            times += list(chunk.times)
    assert seen == list(range(100))
    np.testing.assert_allclose(times, np.arange(100) / 25, atol=1e-9)
    assert lengths == [7] * 14 + [2]


def test_a_slow_reader_is_waited_for(tmp_path: Path) -> None:
    """The ring holds two chunks; what has not been read is never written over."""
    path = make_video(tmp_path / "v.mp4", frames=60)
    with make_decoder(DecodeLimits(ring_bytes=1 << 18)) as decoder, decoder.open(path) as video:
        for count, chunk in enumerate(video.chunks(1000)):
            assert 1 <= len(chunk.images) <= 7
            first = number_of(chunk.images[0])
            if count < 4:
                idle = decoder._child.progress if decoder._child else 0
                # the process gets as far as it can, and no further
                while decoder._child and decoder._child.progress != idle:
                    idle = decoder._child.progress
            assert [number_of(image) for image in chunk.images] == [
                *range(first, first + len(chunk.images))
            ]


def test_one_process_decodes_video_after_video(decoder: Decoder, tmp_path: Path) -> None:
    small = make_video(tmp_path / "small.mp4", frames=9)
    large = make_video(tmp_path / "large.mp4", frames=5, size=(640, 480))
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing to see")
    assert numbers(decoder, small) == list(range(9))
    pid = pid_of(decoder)
    for _ in range(3):
        assert numbers(decoder, large) == list(range(5))
        with pytest.raises(InputError):
            numbers(decoder, bad)
        assert numbers(decoder, small) == list(range(9))
    assert pid_of(decoder) == pid


def test_a_single_picture_larger_than_the_ring_still_works(tmp_path: Path) -> None:
    large = make_video(tmp_path / "large.mp4", frames=3, size=(1280, 720))
    small = make_video(tmp_path / "small.mp4", frames=40)
    with make_decoder(DecodeLimits(ring_bytes=1 << 20)) as decoder:
        assert numbers(decoder, large) == [0, 1, 2]
        assert numbers(decoder, small) == list(range(40))
        assert decoder._ring.size == 1 << 20


def test_it_may_be_used_from_several_threads_with_a_decoder_each(tmp_path: Path) -> None:
    paths = [make_video(tmp_path / f"{n}.mp4", frames=20 + n) for n in range(4)]

    def count(path: Path) -> list[int]:
        with make_decoder() as decoder:
            return [len(numbers(decoder, path)) for _ in range(3)]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(count, paths)) == [[20 + n] * 3 for n in range(4)]


@pytest.mark.parametrize("killer", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_crash_in_the_middle_is_told_and_the_next_video_is_read(
    decoder: Decoder, long_video: Path, tmp_path: Path, killer: signal.Signals
) -> None:
    good = make_video(tmp_path / "good.mp4")
    with pytest.raises(DecoderCrashedError, match=killer.name):
        read_while(decoder, long_video, lambda pid: os.kill(pid, killer))
    assert numbers(decoder, good) == list(range(10))


def test_last_words_of_a_crash_are_told(decoder: Decoder, long_video: Path) -> None:
    killed = []

    def crash(pid: int) -> None:
        if not killed:
            killed.append(pid)
            os.kill(pid, signal.SIGSEGV)

    with pytest.raises(DecoderCrashedError) as caught:
        read_while(decoder, long_video, crash)
    assert "Fatal Python error" in str(caught.value)


def test_a_process_that_died_between_two_videos_is_replaced(
    decoder: Decoder, tmp_path: Path
) -> None:
    good = make_video(tmp_path / "good.mp4")
    numbers(decoder, good)
    assert decoder._child is not None
    decoder._child._process.kill()
    decoder._child._process.wait()
    assert numbers(decoder, good) == list(range(10))


def test_a_process_that_hangs_is_killed_after_the_stall_time(
    long_video: Path, tmp_path: Path
) -> None:
    clock = ManualClock()
    hanging, over = threading.Event(), threading.Event()
    pids = []

    def time_passes() -> None:
        hanging.wait()
        while not over.wait(0.001):
            clock.advance(1)

    def hang(pid: int) -> None:
        pids.append(pid)
        os.kill(pid, signal.SIGSTOP)
        hanging.set()

    passing = threading.Thread(target=time_passes)
    passing.start()
    with make_decoder(stall_seconds=60, clock=clock) as decoder:
        begun = clock.monotonic()
        try:
            with pytest.raises(InputError) as caught:
                read_while(decoder, long_video, hang)
        finally:
            hanging.set()
            over.set()
            passing.join()
        assert caught.value.fault is Fault.STALLED
        assert "60 s" in caught.value.message
        assert clock.monotonic() - begun >= 60
        assert not Path(f"/proc/{pids[0]}").exists()
        assert numbers(decoder, make_video(tmp_path / "good.mp4")) == list(range(10))


class SlowChild:
    """A process that shows progress a few times, and then says something or hangs."""

    def __init__(self, clock: ManualClock, channel: socket.socket, *, hangs: bool) -> None:
        self.channel = channel
        self.progress = 0
        self._clock = clock
        self._hangs = hangs

    def wait_readable(self, _milliseconds: int) -> bool:
        self._clock.advance(50)
        self.progress = min(self.progress + 1, 10)
        return self.progress == 10 and not self._hangs


def test_as_long_as_there_is_progress_there_is_no_stall() -> None:
    clock = ManualClock()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    messages.send(theirs, {"kind": "late"})
    with make_decoder(stall_seconds=60, clock=clock) as decoder, ours, theirs:
        child = SlowChild(clock, ours, hangs=False)
        assert decoder._receive(child) == {"kind": "late"}  # type: ignore[arg-type]


def test_progress_that_ends_is_a_stall_from_then_on() -> None:
    clock = ManualClock()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with make_decoder(stall_seconds=60, clock=clock) as decoder, ours, theirs:
        child = SlowChild(clock, ours, hangs=True)
        begun = clock.monotonic()
        with pytest.raises(InputError) as caught:
            decoder._receive(child)  # type: ignore[arg-type]
    assert caught.value.fault is Fault.STALLED
    assert 10 * 50 + 60 <= clock.monotonic() - begun <= 10 * 50 + 60 + 50


def test_the_process_notices_its_owner_s_end_while_a_decoder_hangs() -> None:
    script = """
import sys, threading, time
from posewatch.vision.decoder_process import _end_with
threading.Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
print("hanging", flush=True)
time.sleep(60)
"""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(  # noqa: S603  # ourselves
            [sys.executable, "-c", script, str(theirs.fileno())],
            stdout=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            env=os.environ | {"PYTHONPATH": str(DAEMON)},
        )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"hanging\n"
        ours.close()
        assert process.wait(10) == 0


def test_a_reader_that_is_slow_itself_is_no_stall(long_video: Path) -> None:
    clock = ManualClock()
    with make_decoder(stall_seconds=60, clock=clock) as decoder:
        with decoder.open(long_video) as video:
            seen = 0
            for chunk in video.chunks(50):
                clock.advance(1000)
                seen += len(chunk.times)
        assert seen == 900


def test_a_video_that_needs_more_memory_than_allowed_is_at_fault(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "refs": "4"}
    path = make_video(tmp_path / "v.mp4", frames=4, size=(5120, 2880), options=options)
    good = make_video(tmp_path / "good.mp4")
    with make_decoder(DecodeLimits(memory_bytes=420 << 20, ring_bytes=1 << 20)) as decoder:
        assert numbers(decoder, good) == list(range(10))
        with pytest.raises((InputError, DecoderCrashedError)) as caught:
            numbers(decoder, path)
        if isinstance(caught.value, InputError):
            assert caught.value.fault is Fault.TOO_LARGE
            assert "420 MiB" in caught.value.message
        assert numbers(decoder, good) == list(range(10))


def test_limits_too_low_for_the_process_itself_are_not_blamed_on_the_video(tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4")
    with (
        make_decoder(DecodeLimits(memory_bytes=30 << 20)) as decoder,
        pytest.raises(DecoderStartError),
    ):
        numbers(decoder, path)


def test_cancelling_from_another_thread_ends_the_reading_at_once(
    decoder: Decoder, long_video: Path
) -> None:
    def cancel(_: int) -> None:
        thread = threading.Thread(target=decoder.cancel)
        thread.start()
        thread.join()

    with pytest.raises(DecodingCancelledError):
        read_while(decoder, long_video, cancel)
    assert len(numbers(decoder, long_video)) == 900


def test_cancelling_while_the_process_hangs_does_not_wait(
    decoder: Decoder, long_video: Path
) -> None:
    timers = []

    def hang(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        timers.append(threading.Timer(0.05, decoder.cancel))
        timers[-1].start()

    with pytest.raises(DecodingCancelledError):
        read_while(decoder, long_video, hang)
    for timer in timers:
        timer.join()


def test_cancelling_between_two_videos_harms_neither(decoder: Decoder, tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4")
    assert numbers(decoder, path) == list(range(10))
    decoder.cancel()
    assert numbers(decoder, path) == list(range(10))


def test_a_video_may_be_left_before_its_end(decoder: Decoder, long_video: Path) -> None:
    with decoder.open(long_video) as video:
        next(video.chunks(5))
    with decoder.open(long_video):
        pass
    assert len(numbers(decoder, long_video)) == 900


def test_no_process_and_no_file_descriptor_is_left_behind(long_video: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing to see")
    gc.collect()
    before = open_fds()
    pids = set()
    for _ in range(3):
        with make_decoder() as decoder:
            with decoder.open(long_video) as video:
                next(video.chunks(5))
                pids.add(pid_of(decoder))
            with pytest.raises(InputError):
                numbers(decoder, bad)
            numbers(decoder, make_video(tmp_path / "v.mp4"))
            pids.add(pid_of(decoder))
            with pytest.raises(DecoderCrashedError):
                read_while(decoder, long_video, lambda pid: os.kill(pid, signal.SIGKILL))
            numbers(decoder, make_video(tmp_path / "w.mp4"))
            pids.add(pid_of(decoder))
    gc.collect()
    assert open_fds() == before
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_the_process_ends_when_its_owner_is_killed(long_video: Path) -> None:
    """Also while it is in the middle of a video, and though its owner could tell it nothing."""
    script = """
import sys, time
from pathlib import Path
from posewatch.base.clock import SystemClock
from posewatch.vision.decoder import Decoder
from posewatch.vision.video import DecodeLimits
decoder = Decoder(limits=DecodeLimits(), stall_seconds=30, clock=SystemClock())
with decoder.open(Path(sys.argv[1])) as video:
    next(video.chunks(5))
    print(decoder._child._process.pid, flush=True)
    time.sleep(60)
"""
    owner = subprocess.Popen(  # noqa: S603  # ourselves
        [sys.executable, "-c", script, str(long_video)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(DAEMON)},
    )
    assert owner.stdout is not None
    with owner.stdout:
        pid = int(owner.stdout.readline())
        watched = os.pidfd_open(pid)
        try:
            owner.kill()
            owner.wait()
            poll = select.poll()
            poll.register(watched)
            assert poll.poll(10_000), "it outlived its owner"
        finally:
            os.close(watched)


def test_the_process_ignores_the_signals_that_are_meant_for_its_owner(
    decoder: Decoder, long_video: Path
) -> None:
    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)

    assert read_while(decoder, long_video, stop) == 900


def test_nothing_is_imported_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_video(tmp_path / "v.mp4")
    (tmp_path / "av.py").write_text("raise SystemExit('the watched folder was executed')")
    monkeypatch.chdir(tmp_path)
    with make_decoder() as decoder:
        assert numbers(decoder, path) == list(range(10))


def test_a_missing_file_is_no_fault_of_the_input(decoder: Decoder, tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        numbers(decoder, tmp_path / "nowhere.mp4")


def test_the_process_stays_small(decoder: Decoder, tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", frames=20)
    for _ in range(20):
        numbers(decoder, path)
    status = Path(f"/proc/{pid_of(decoder)}/status").read_text()
    kilobytes = int(status.split("VmHWM:")[1].split()[0])
    assert kilobytes < 150_000
    assert "cv2" not in Path(f"/proc/{pid_of(decoder)}/maps").read_text()


def test_the_process_does_not_grow_from_video_to_video(decoder: Decoder, tmp_path: Path) -> None:
    path = make_video(tmp_path / "v.mp4", frames=3, size=(1280, 720))

    def kilobytes() -> int:
        status = Path(f"/proc/{pid_of(decoder)}/status").read_text()
        return int(status.split("RssAnon:")[1].split()[0])

    for _ in range(5):
        numbers(decoder, path)
    before = kilobytes()
    for _ in range(15):
        numbers(decoder, path)
    assert kilobytes() < before + 5_000, "it kept a picture of each video"


def test_the_process_is_not_given_the_keys_of_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    with make_decoder() as decoder:
        numbers(decoder, make_video(tmp_path / "a.mp4"))
        told = Path(f"/proc/{pid_of(decoder)}/environ").read_bytes().split(b"\0")
    assert b"LANG=C.UTF-8" in told
    assert not [entry for entry in told if entry.startswith(b"AWS_")]


def test_no_core_file_is_written(decoder: Decoder, tmp_path: Path) -> None:
    numbers(decoder, make_video(tmp_path / "v.mp4"))
    assert resource.prlimit(pid_of(decoder), resource.RLIMIT_CORE) == (0, 0)


INFO = VideoInfo(64, 48, 25.0, 0.0, 1.0, 25, "mov", "h264", "yuv420p", 0)


@pytest.mark.parametrize(
    "lie",
    [
        {"width": 0},
        {"height": -1},
        {"width": 1 << 20, "height": 1 << 20},
        {"width": "wide"},
        {"width": None},
        {"start": float("nan")},
        {"frames": "many"},
        {"width": float("inf")},
        {"frames": float("inf")},
        {"fps": 10**400},
    ],
)
def test_a_process_that_talks_nonsense_is_not_believed(lie: dict[str, object]) -> None:
    message = messages.info_message(INFO)
    assert messages.parse_info(message, DecodeLimits()) == INFO
    with pytest.raises((OverflowError, TypeError, ValueError)):
        messages.parse_info(message | lie, DecodeLimits())


def test_more_frames_than_there_is_room_for_are_not_believed() -> None:
    layout = messages.Layout.fitting(INFO, 8, 1 << 20)
    assert messages.parse_chunk(messages.chunk_message(8, last=True), layout) == (8, True)
    for frames in (-1, 9, 10**9):
        with pytest.raises(ValueError, match="places"):
            messages.parse_chunk(messages.chunk_message(frames, last=False), layout)


def test_an_error_crosses_the_process_border_whole() -> None:
    error = InputError(Fault.DAMAGED, "it is broken", hint="mend it", readable_frames=7)
    copy = messages.parse_fault(messages.fault_message(error))
    assert (copy.fault, copy.message, copy.hint, copy.readable_frames) == (
        Fault.DAMAGED,
        "it is broken",
        "mend it",
        7,
    )
