"""The most memory that the daemon and its decoders take for a very long video, beside a short one.

    make bench BENCH=memory
    make bench BENCH=memory ARGS="--hours 2"

Both are 1080p H.264 at 25 frames per second, made of one minute that is encoded once and repeated
by copying its packets: a person is in it for the first seconds, which decides how long this takes,
not how much memory. The real daemon works each off, one video at a time, from a cold start; what
counts is the sum of the proportional set sizes of all its processes, looked at ten times a second.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av
import cv2
from folder import MODELS, Cost, cost_of, daemon
from holistic import CLIP, RESULTS
from report import Row, report

from posewatch.models.cache import ModelCache
from posewatch.models.pull import pull

SIZE = 1920, 1080
FPS = 25
MINUTE = 60 * FPS
GOAL = 2048.0
"""MiB that a video of two hours may take."""


def make_minute(path: Path, seconds: int) -> Path:
    """One minute, with a person in it for so many seconds."""
    with av.open(str(CLIP)) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    width, height = SIZE
    beside = (width - height) // 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.max_b_frames = 0  # so that packets can be put in a row
        for number in range(MINUTE):
            image = images[number % len(images)]
            if number >= seconds * FPS:
                image = cv2.GaussianBlur(image, (0, 0), 60)
            large = cv2.resize(image, (height, height), interpolation=cv2.INTER_LINEAR)
            wide = cv2.copyMakeBorder(large, 0, 0, beside, beside, cv2.BORDER_REPLICATE)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(wide, format="rgb24")))
        container.mux(stream.encode())
    return path


def repeat(minute: Path, path: Path, times: int) -> Path:
    """The same minute so many times."""
    with av.open(str(minute)) as source, av.open(str(path), "w") as output:
        original = source.streams.video[0]
        packets = [packet for packet in source.demux(original) if packet.size]
        stream = output.add_stream_from_template(original)
        assert original.time_base is not None
        length = round(60 / original.time_base)
        for number in range(times):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts = (packet.pts or 0) + number * length
                copy.dts = (packet.dts or 0) + number * length
                copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
                copy.stream = stream
                output.mux(copy)
    return path


def measure(video: Path, mode: str) -> Cost:
    """Work one video off."""
    with tempfile.TemporaryDirectory(dir=RESULTS) as base:
        folder = Path(base, "inbox")
        folder.mkdir()
        (folder / video.name).hardlink_to(video)
        cost = cost_of(lambda: daemon(folder, mode))
        if not any(folder.glob("*.npz")):
            raise SystemExit("there is no result")
    return cost


def main() -> None:
    """Measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=0.1, help="length of the long video")
    parser.add_argument("--people", type=int, default=2, help="seconds of each minute with one")
    parser.add_argument("--mode", choices=["static", "tracking"], default="tracking")
    options = parser.parse_args()
    pull("mediapipe-holistic", ModelCache(MODELS))
    minutes = max(round(options.hours * 60), 1)
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as base:
        short = make_minute(Path(base, "minute.mp4"), options.people)
        long = repeat(short, Path(base, "long.mp4"), minutes)
        costs = {name: measure(path, options.mode) for name, path in (("1", short), ("n", long))}
    ours, theirs = costs["n"].mebibytes, costs["1"].mebibytes
    frames, seconds = minutes * MINUTE, costs["n"].seconds
    case = f"1080p, {minutes} min, {options.mode}"
    report(
        "memory",
        [
            Row(case, "the same, 1 min", "MiB", ours, theirs, runs=1),
            Row(case, "the limit for 2 hours", "MiB", ours, GOAL, runs=1),
        ],
        notes=[f"{frames:,} frames in {seconds:,.0f} s, {costs['n'].cpu:,.0f} s of CPU"],
    )


if __name__ == "__main__":
    main()
