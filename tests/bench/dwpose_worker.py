"""One side of `dwpose.py`: works through a video once and tells what it cost, as JSON.

    python dwpose_worker.py SIDE DETECTOR POSE FOLDED VIDEO FRAMES THREADS FOUND [DEVICE together]

`DETECTOR` and `POSE` are published networks, `FOLDED` a folder with ours of them. The pixels of
five keypoints of one person in each frame are written to `FOUND`. With `together`, it says `loaded`
and begins when it is told something. The sides:

* `always`, `every 10`, `auto`: ours;
* `today`: the loop of the public DWPose code, which is how datasets are made today. Written anew;
* `rtmlib 10`: PoseTracker of rtmlib, detector every 10 frames; `rtmlib 1`: in every one. Both are
  run in an environment that has rtmlib and none of our packages;
* `floor`: the pose network alone, on one picture again and again;
* `decode`, `decode nvdec`: decoding alone, as our decoder process does it.

All get the same options of onnxruntime, so that threads are counted and never spin. Decoding counts
on all sides but the floor's; imports, loading and the first frame do not, and are told apart.
"""

# ruff: noqa: PLC0415 - each side has packages that the other has not
from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Find = Callable[[], Iterator[np.ndarray[Any, Any]]]

DOTS = 5
CHUNK = 2
"""Frames that the daemon works on at once, on a CPU."""
BLUE_FOR_RED = [2, 1, 0, 4, 3]
"""rtmlib hands pictures in BGR to networks that were trained with RGB (its issue 48). So that its
tracking is judged, not that, each dot is taken for the one whose colour it then has."""
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Case:
    """What to work on.

    Attributes:
        detector: published network.
        pose: published network.
        folded: folder of ours.
        video: to be looked at.
        threads: of each network.
        device: `cpu` or `cuda`.
    """

    detector: str
    pose: str
    folded: Path
    video: str
    threads: int
    device: str

    def session(self, path: str) -> ort.InferenceSession:
        """A network with the options that all sides get."""
        provider = f"{self.device.upper()}ExecutionProvider"
        session = ort.InferenceSession(
            path, self.options(), providers=[provider], provider_options=[self.of_provider]
        )
        if session.get_providers()[0] != provider:
            raise SystemExit(f"{provider} cannot be used")
        return session

    @property
    def of_provider(self) -> dict[str, str]:
        """Of CUDA: no more memory than it needs, not powers of two, so that 25 processes fit."""
        return {"arena_extend_strategy": "kSameAsRequested"} if self.device == "cuda" else {}

    def options(self) -> ort.SessionOptions:
        """Threads that are counted, and do not spin."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options


def ours(case: Case, detect: str) -> Find:
    """Our pipeline, in chunks as the daemon has them on a CPU; ends with the video."""
    from posewatch.config import PoseModel, RecipeSettings
    from posewatch.models.cards import TopDownCard
    from posewatch.service.recipes import top_down
    from posewatch.vision.decode import VideoReader
    from posewatch.vision.engine import OnnxEngine
    from posewatch.vision.holistic import stay_on_calling_thread
    from posewatch.vision.topdown import Rule
    from posewatch.vision.video import DecodeLimits

    stay_on_calling_thread()
    card = TopDownCard.model_validate_json((case.folded / "card.json").read_text())
    engine = OnnxEngine(
        {network.name: case.folded / f"{network.name}.onnx" for network in card.networks},
        threads=case.threads,
    )
    every = RecipeSettings(pose=PoseModel.DWPOSE, detect=detect).detect_every
    pipeline = top_down(card, engine, Rule.LARGEST, every)

    def find() -> Iterator[np.ndarray[Any, Any]]:
        with open(case.video, "rb") as file:  # noqa: PTH123 -- of which only the number is used
            reader = VideoReader(file.fileno(), DecodeLimits())
            size = reader.info.width, reader.info.height
            track = pipeline.start(*size)
            images, times = np.empty((CHUNK, *size[::-1], 3), np.uint8), np.empty(CHUNK)
            while True:
                count = 0
                while count < CHUNK and (time := reader.read_into(images[count])) is not None:
                    times[count] = time
                    count += 1
                if not count:
                    break
                found = track.process(images[:count], times[:count])
                yield from found.frames[:, 0, :DOTS] * size
            reader.close()

    return find


def decoded(video: str) -> Iterator[np.ndarray[Any, Any]]:
    """Frames in BGR, as all but us read them."""
    import cv2

    capture = cv2.VideoCapture(video)
    while True:
        more, image = capture.read()
        if not more:
            return
        yield image


def today(case: Case) -> Find:
    """Both networks for every frame, all 80 classes, one person at a time; the first is kept."""
    import cv2

    detector, pose = case.session(case.detector), case.session(case.pose)
    side = detector.get_inputs()[0].shape[2]
    height, width = pose.get_inputs()[0].shape[2:]
    grids = []
    for stride in (8, 16, 32):
        rows, columns = np.mgrid[: side // stride, : side // stride]
        grids.append(np.stack([columns, rows, np.full_like(rows, stride)], -1).reshape(-1, 3))
    cells = np.concatenate(grids)

    def people(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        ratio = min(side / image.shape[0], side / image.shape[1])
        sides = int(image.shape[1] * ratio), int(image.shape[0] * ratio)
        padded = np.full((side, side, 3), 114, np.uint8)
        padded[: sides[1], : sides[0]] = cv2.resize(image, sides, interpolation=cv2.INTER_LINEAR)
        planes = np.ascontiguousarray(padded.transpose(2, 0, 1), np.float32)
        (rows,) = detector.run(None, {"images": planes[None]})[0]
        middles = (rows[:, :2] + cells[:, :2]) * cells[:, 2:]
        halves = np.exp(rows[:, 2:4]) * cells[:, 2:] / 2
        boxes = np.concatenate([middles - halves, middles + halves], axis=1) / ratio
        scores = rows[:, 4:5] * rows[:, 5:]
        kept = [
            boxes[likely][best]
            for of_class in scores.T
            if (likely := of_class > 0.1).any()
            for best in suppressed(boxes[likely], of_class[likely])
        ]
        return np.array(kept[:1] or [[0, 0, image.shape[1], image.shape[0]]])

    def keypoints(image: np.ndarray[Any, Any], box: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        middle, (w, h) = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * 1.25
        w, h = (w, w * height / width) if w > h * width / height else (h * width / height, h)
        zoom = width / w
        place = np.array(
            [[zoom, 0, width / 2 - zoom * middle[0]], [0, zoom, height / 2 - zoom * middle[1]]]
        )
        crop = (cv2.warpAffine(image, place, (width, height)) - np.array(MEAN)) / np.array(STD)
        planes = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32)
        found = [rows[0].argmax(axis=1) / 2 for rows in pose.run(None, {"input": planes})]
        return np.stack(found, -1) / zoom + middle - np.array([w, h]) / 2

    def find() -> Iterator[np.ndarray[Any, Any]]:
        for image in decoded(case.video):
            box = people(image)[0]
            # The colours are put right here, which today they are not; it costs them nothing.
            yield keypoints(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), box)[:DOTS]

    return find


def suppressed(boxes: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]) -> list[int]:
    """Greedy suppression of one class; the numbers of the boxes that stay."""
    left, kept = scores.argsort()[::-1], []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2] + 1, axis=1)
    while left.size:
        best, left = left[0], left[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        high = np.minimum(boxes[best, 2:], boxes[left, 2:])
        common = np.prod(np.maximum(0, high - low + 1), axis=1)
        left = left[common / (areas[best] + areas[left] - common) <= 0.45]
    return kept


def rtmlib(case: Case, every: int) -> Find:
    """PoseTracker, as its own example uses it."""
    from functools import partial

    from rtmlib import Custom, PoseTracker

    side = case.session(case.detector).get_inputs()[0].shape[2]
    height, width = case.session(case.pose).get_inputs()[0].shape[2:]
    solution = partial(
        Custom,
        det_class="YOLOX",
        det=case.detector,
        det_input_size=(side, side),
        pose_class="RTMPose",
        pose=case.pose,
        pose_input_size=(width, height),
    )
    # It takes no options for onnxruntime.
    make = ort.InferenceSession
    ort.InferenceSession = partial(
        make, sess_options=case.options(), provider_options=[case.of_provider]
    )
    tracker = PoseTracker(solution, det_frequency=every, device=case.device)
    ort.InferenceSession = make

    def find() -> Iterator[np.ndarray[Any, Any]]:
        for image in decoded(case.video):
            keypoints, _scores = tracker(image)
            yield keypoints[0][BLUE_FOR_RED] if len(keypoints) else np.full((DOTS, 2), np.nan)

    return find


def floor(case: Case) -> Find:
    """The pose network, and nothing else."""
    pose = case.session(case.pose)
    (given,) = pose.get_inputs()
    picture = np.zeros((1, *given.shape[1:]), np.float32)

    def find() -> Iterator[np.ndarray[Any, Any]]:
        while True:
            pose.run(None, {given.name: picture})
            yield np.full((DOTS, 2), np.nan)

    return find


def decode(case: Case, *, nvdec: bool) -> Find:
    """Pictures in RGB, as all of ours begin with them, again from the start at the end."""
    from posewatch.vision.decode import VideoReader
    from posewatch.vision.hardware import Nvdec
    from posewatch.vision.video import DecodeLimits

    def find() -> Iterator[np.ndarray[Any, Any]]:
        while True:
            with Path(case.video).open("rb") as file:
                hardware = Nvdec(0) if nvdec else None
                reader = VideoReader(file.fileno(), DecodeLimits(), hardware=hardware)
                picture = np.empty((reader.info.height, reader.info.width, 3), np.uint8)
                while reader.read_into(picture) is not None:
                    yield np.full((DOTS, 2), np.nan)
                reader.close()

    return find


def cpu_seconds() -> float:
    """What this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_bytes() -> int:
    """The most memory that this process held at once; getrusage would count its parent's too."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024


def main(side: str, detector: str, pose: str, *arguments: str) -> None:
    """Run one side."""
    folded, video, frames, threads, found, *more = arguments
    device, *together = more or ["cpu"]
    case = Case(detector, pose, Path(folded), video, int(threads), device)
    if case.device == "cuda":
        ort.preload_dlls()
    begun = time.perf_counter()
    if side == "today":
        find = today(case)
    elif side == "floor":
        find = floor(case)
    elif side.startswith("decode"):
        find = decode(case, nvdec=side.endswith("nvdec"))
    elif side.startswith("rtmlib "):
        find = rtmlib(case, int(side.removeprefix("rtmlib ")))
    else:
        find = ours(case, side)
    for _ in islice(find(), 1):  # the first run of a session makes its memory
        pass
    load_seconds = time.perf_counter() - begun
    if together:
        sys.stdout.write("loaded\n")
        sys.stdout.flush()
        if not sys.stdin.readline():
            raise SystemExit("nobody waits for this any more")
    loaded, cpu = time.perf_counter(), cpu_seconds()
    points = np.array(list(islice(find(), int(frames))))
    told = {
        "frames": len(points),
        "load_seconds": load_seconds,
        "ended": time.time(),
        "seconds": time.perf_counter() - loaded,
        "cpu_seconds": cpu_seconds() - cpu,
        "peak_bytes": peak_bytes(),
    }
    np.save(found, points)
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
