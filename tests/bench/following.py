"""How far `detect = "auto"` and `"every 10"` are from `"always"`, on videos of one's own.

    make bench BENCH=following ARGS="a.mp4 b.mp4"
    make bench BENCH=following ARGS="a.mp4 --move --blazepose yolox_nano.onnx"

With the networks of `recipe = "dwpose"`, or of the card that `--card` names, pulled before. Or, as
for docs/dwpose.md, with a published YOLOX-nano and the pose network of MediaPipe.
Distances are those of keypoints that both found, in per cent of the diagonal of the box.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from report import Row, report
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))  # what the tests have as well
from posewatch.models.cache import ModelCache
from posewatch.models.cards import TopDownCard, card
from posewatch.models.fold import fold
from posewatch.service.recipes import top_down
from posewatch.vision.engine import OnnxEngine
from posewatch.vision.topdown import DetectorPlan, PosePlan, Rule, TopDown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from posewatch.vision.engine import Engine, Outputs
    from posewatch.vision.topdown import TopDownResult

    Frames = list[NDArray[np.uint8]]
    Make = Callable[[int | None], TopDown]

SIZE = (1280, 720)
MOVED = 180
"""Frames of a video that the camera moves over, to and fro."""


class Counted:
    """An engine that counts the pictures that its detector is shown.

    Args:
        inner: runs the networks.
        detector: the name of the detector.
    """

    def __init__(self, inner: Engine, detector: str) -> None:
        self.inner = inner
        self.detector = detector
        self.looks = 0

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        """See `Engine`."""
        self.looks += len(batch) * (network == self.detector)
        return self.inner.infer(network, batch)


class BlazePose:
    """The pose network of MediaPipe in the form of RTMPose: 33 keypoints of x, y and visibility."""

    def __init__(self, inner: Engine) -> None:
        self.inner = inner

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        """See `Engine`."""
        outputs = self.inner.infer(network, batch)
        if network != "pose":
            return outputs
        rows, presence = outputs[0].reshape(len(batch), -1, 5)[:, :33], outputs[1][:, None]
        seen = presence / (1 + np.exp(-rows[..., 3:4]))
        return (np.concatenate([rows[..., :2], seen], axis=2),)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--card", default="dwpose")
    parser.add_argument("--blazepose", type=Path, metavar="YOLOX_NANO")
    parser.add_argument("--move", action="store_true", help="move a camera over each video as well")
    options = parser.parse_args()
    engine, make = small(options.blazepose) if options.blazepose else pulled(options.card)
    rows = []
    for name, frames in clips(options.videos, move=options.move):
        truth = found(make(1), frames)
        for label, every in (("auto", None), ("every 10", 10)):
            engine.looks = 0
            apart = distances(found(make(every), frames), truth, frames)
            case = f"{name}, {label}"
            spread = ", ".join(f"{np.percentile(apart, part):.1f}" for part in (50, 95, 99, 100))
            Console(soft_wrap=True).print(f"{case}: 50, 95, 99, 100 %: {spread} % of the diagonal")
            looks = engine.looks / len(frames)
            rows.append(Row(case, "always", "looks/frame", looks, 1.0, runs=1))
    report("following", rows)


def pulled(name: str) -> tuple[Counted, Make]:
    """Networks that were pulled."""
    model = ModelCache().require(name)
    if not isinstance(model.card, TopDownCard):
        raise SystemExit(f"{name} is no model of a detector and a pose network")
    told = model.card
    files = {network.name: model.network(network.name) for network in told.networks}
    engine = Counted(OnnxEngine(files), told.detector.name)
    return engine, lambda every: top_down(told, engine, Rule.LARGEST, every)


def small(published: Path) -> tuple[Counted, Make]:
    """A published YOLOX-nano, and the pose network of MediaPipe."""
    whole = card("dwpose")
    assert isinstance(whole, TopDownCard)
    picture = whole.detector.input.model_copy(update={"width": 416, "height": 416})
    nano = whole.detector.model_copy(update={"input": picture})
    with tempfile.TemporaryDirectory() as folder:
        detector = Path(folder, "detector.onnx")
        detector.write_bytes(fold(published.read_bytes(), nano, loosen=True))
        pose = ModelCache().require("mediapipe-holistic").network("pose_landmark")
        networks = OnnxEngine({"detector": detector, "pose": pose})
    engine = Counted(BlazePose(networks), "detector")
    plans = (
        DetectorPlan("detector", (416, 416), nano.fill, nano.score, nano.overlap),
        PosePlan("pose", (256, 256), padding=1.25, score=0.5, keypoints=33, openpose=False),
    )
    return engine, lambda every: TopDown(engine, *plans, every=every)


def clips(videos: list[Path], *, move: bool) -> Iterator[tuple[str, Frames]]:
    """Each video, and perhaps what a moving camera would have seen of it."""
    for video in videos:
        with av.open(str(video)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        yield video.name, frames
        if not move:
            continue
        there = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
        longer = [frames[there[number % len(there)]] for number in range(MOVED)]
        for name, way in (
            ("pans", lambda n: (250 * np.sin(n / 25), 20 * np.sin(n / 9), 0.9)),
            ("zooms", lambda n: (0, 0, 0.75 + 0.45 * np.sin(n / 30))),
            ("shakes", lambda n: (*np.random.default_rng(n).normal(0, 4, 2), 0.9)),
        ):
            yield (
                f"{video.name} {name}",
                [filmed(frame, *way(n)) for n, frame in enumerate(longer)],
            )


def filmed(frame: NDArray[np.uint8], x: float, y: float, zoom: float) -> NDArray[np.uint8]:
    """A frame on grey, moved from the middle by x and y, and larger by `zoom`."""
    (height, width), (wide, high) = frame.shape[:2], SIZE
    left, top = wide / 2 + x - zoom * width / 2, high / 2 + y - zoom * height / 2
    matrix = np.array([[zoom, 0, left], [0, zoom, top]])
    moved = cv2.warpAffine(frame, matrix, SIZE, borderValue=(90, 90, 90))
    return np.asarray(moved, np.uint8)


def found(pipeline: TopDown, frames: Frames) -> TopDownResult:
    """What is found in a clip of 25 frames a second."""
    height, width = frames[0].shape[:2]
    track = pipeline.start(width, height)
    return track.process(np.stack(frames), np.arange(len(frames)) / 25)


def distances(ours: TopDownResult, truth: TopDownResult, frames: Frames) -> NDArray[np.float64]:
    """Of all keypoints that both found, in per cent of the diagonal of the true box."""
    sides = np.array(frames[0].shape[1::-1], np.float64)
    away = np.linalg.norm((ours.frames - truth.frames) * sides, axis=-1)
    boxes = truth.boxes.reshape(*truth.boxes.shape[:2], 2, 2)
    diagonal = np.linalg.norm((boxes[..., 1, :] - boxes[..., 0, :]) * sides, axis=-1)
    both = (ours.frames >= -0.5).all(axis=-1) & (truth.frames >= -0.5).all(axis=-1)
    return 100 * np.asarray((away / diagonal[..., None])[both], np.float64)


if __name__ == "__main__":
    main()
