"""One side of `holistic.py`: works through a video once and tells what it cost, as JSON.

    python holistic_worker.py ours VIDEO MODE BATCH MODEL_FOLDER
    python holistic_worker.py theirs VIDEO MODE

`theirs` is run in an environment that has mediapipe and none of our packages, and does what its
users do: frames from OpenCV, one `solutions.holistic.Holistic` for all of them. Decoding counts on
both sides; imports and loading the networks do not, and are told apart.
"""

# ruff: noqa: PLC0415 - each side has packages that the other has not
from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def ours(video: str, mode: str, batch: str, model: str) -> Callable[[], int]:
    """Our driver; returns what remains to be done once everything is loaded."""
    import av
    import numpy as np

    from posewatch.vision.engine import OnnxEngine
    from posewatch.vision.holistic import Holistic, Mode, stay_on_calling_thread

    stay_on_calling_thread()
    engine = OnnxEngine({path.stem: path for path in Path(model).glob("*.onnx")})
    holistic = Holistic(engine, Mode(mode))

    def run() -> int:
        with av.open(video) as container:
            stream = container.streams.video[0]
            track = holistic.start(stream.width, stream.height)
            images = np.empty((int(batch), stream.height, stream.width, 3), np.uint8)
            frames = waiting = 0
            for frame in container.decode(stream):
                images[waiting] = frame.to_ndarray(format="rgb24")
                frames, waiting = frames + 1, waiting + 1
                if waiting == len(images):
                    track.process(images)
                    waiting = 0
            track.process(images[:waiting])
            return frames

    return run


def theirs(video: str, mode: str) -> Callable[[], int]:
    """MediaPipe's Python solution."""
    import cv2
    from mediapipe.python.solutions.holistic import Holistic

    holistic = Holistic(static_image_mode=mode == "static")

    def run() -> int:
        capture = cv2.VideoCapture(video)
        frames = 0
        while True:
            more, image = capture.read()
            if not more:
                return frames
            holistic.process(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            frames += 1

    return run


def cpu_seconds() -> float:
    """What this process and its ended children have used."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def peak_bytes() -> int:
    """The most memory that this process held at once; getrusage would count its parent's too."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024


def main(side: str, *arguments: str) -> None:
    """Run one side."""
    begun = time.perf_counter()
    run = {"ours": ours, "theirs": theirs}[side](*arguments)
    loaded, cpu = time.perf_counter(), cpu_seconds()
    frames = run()
    told = {
        "frames": frames,
        "load_seconds": loaded - begun,
        "seconds": time.perf_counter() - loaded,
        "cpu_seconds": cpu_seconds() - cpu,
        "peak_bytes": peak_bytes(),
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
