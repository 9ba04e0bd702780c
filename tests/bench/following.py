"""How far `detect = "auto"` and `"every 10"` are from `"always"`, on videos of one's own.

    make bench BENCH=following ARGS="a.mp4 b.mp4"
    make bench BENCH=following ARGS="a.mp4 b.mp4 --made 1 --rtmlib --blazepose yolox_nano.onnx"

With the networks of `recipe = "dwpose"`, or of the card that `--card` names, pulled before. Or, as
for docs/dwpose.md, with a published YOLOX-nano and the pose network of MediaPipe.
Distances are those of keypoints that both found, in per cent of the diagonal of the box.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import footage
import numpy as np
from apart import Told, compared, together
from dwpose import rtmlib_python
from report import Row, report
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))  # what the tests have as well
from posewatch.models.cache import ModelCache
from posewatch.models.cards import TopDownCard, card
from posewatch.models.fold import fold
from posewatch.service.recipes import top_down
from posewatch.vision.engine import OnnxEngine
from posewatch.vision.topdown import DetectorPlan, PosePlan, Rule, TopDown
from posewatch.vision.topdown.finder import Finder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from footage import Clip
    from numpy.typing import NDArray

    from posewatch.vision.engine import Engine, Outputs

    Make = Callable[[int | None], TopDown]

CHUNK = 8


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
        seen = presence * np.exp(-np.logaddexp(0, -rows[..., 3:4]))
        return (np.concatenate([rows[..., :2], seen], axis=2),)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--card", default="dwpose")
    parser.add_argument("--blazepose", type=Path, metavar="YOLOX_NANO")
    parser.add_argument("--move", action="store_true", help="move a camera over each video as well")
    parser.add_argument("--made", type=int, metavar="SEED", help="make clips of each, at random")
    parser.add_argument(
        "--rtmlib", action="store_true", help="compare with its PoseTracker as well"
    )
    options = parser.parse_args()
    engine, make = small(options.blazepose) if options.blazepose else pulled(options.card)
    sides: dict[str, Callable[[Clip, NDArray[np.float32]], NDArray[np.float32]]] = {
        "auto": lambda clip, _: found(make(None), clip)[0],
        "every 10": lambda clip, _: found(make(10), clip)[0],
    }
    if options.rtmlib:
        sides["rtmlib 10"] = partial(rtmlib(), make(1))
    told: dict[str, list[Told]] = {side: [] for side in sides}
    console = Console(soft_wrap=True, highlight=False)
    for name, clip in clips(options.videos, move=options.move, seed=options.made):
        truth = found(make(1), clip)
        for side, find in sides.items():
            engine.looks = 0
            ours = find(clip, truth[0])
            told[side].append(compared(ours, truth, clip.size, engine.looks))
            console.print(f"{name}, {side}: {told[side][-1]}")
    whole = {side: together(parts) for side, parts in told.items()}
    for side, total in whole.items():
        console.print(f"all, {side}: {total}")
    rows = [
        Row(side, "always", "looks/frame", total.looks / total.frames, 1.0, runs=1)
        for side, total in whole.items()
    ]
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


def clips(videos: Sequence[Path], *, move: bool, seed: int | None) -> Iterator[tuple[str, Clip]]:
    """Each video, and perhaps what `footage` makes of it."""
    for number, video in enumerate(videos):
        clip = footage.read(video)
        yield video.name, clip
        made = iter(footage.moved(clip) if move else ())
        if seed is not None:
            other = footage.read(videos[(number + 1) % len(videos)])
            made = itertools.chain(made, footage.made(clip, other, (seed, number)))
        for name, kind in made:
            yield f"{video.name}, {name}", kind


def found(pipeline: TopDown, clip: Clip) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The first person's keypoints (n, keypoints, 2) and boxes (n, 4), as in `TopDownResult`."""
    track = pipeline.start(*clip.size)
    times = np.arange(len(clip.frames)) / clip.fps
    results = [
        track.process(np.stack(clip.frames[first : first + CHUNK]), times[first : first + CHUNK])
        for first in range(0, len(clip.frames), CHUNK)
    ]
    return (
        np.concatenate([result.frames[:, 0] for result in results]),
        np.concatenate([result.boxes[:, 0] for result in results]),
    )


def rtmlib() -> Callable[[TopDown, Clip, NDArray[np.float32]], NDArray[np.float32]]:
    """PoseTracker with a look in every tenth frame, its boxes given to the same networks.

    Without its tracking, with which it looked once and then never again. It numbers nobody then:
    of several people, whoever is nearest to the true one counts.
    """
    python, why_not = rtmlib_python()
    if python is None:
        raise SystemExit(f"no rtmlib: {why_not}")
    sys.path.extend(map(str, (python.parents[1] / "lib").glob("*/site-packages")))
    from rtmlib import PoseTracker  # noqa: PLC0415 -- in an environment of its own

    def ask(ours: TopDown, clip: Clip, truth: NDArray[np.float32]) -> NDArray[np.float32]:
        finder = Finder(ours._engine, ours._detector, ours.pose, clip.size)
        tracker = PoseTracker(
            lambda **_: SimpleNamespace(
                det_model=People(finder), pose_model=partial(keypoints, finder)
            ),
            det_frequency=10,
            tracking=False,
        )
        rows = np.full_like(truth, np.nan)
        for row, frame, true in zip(rows, clip.frames, truth, strict=True):
            people, scores = map(np.asarray, tracker(frame))
            away = np.linalg.norm(people / clip.size - true, axis=-1)
            nearest = (
                np.where((true != -1).any(axis=-1), np.nan_to_num(away), 0).sum(axis=1).argmin()
            )
            row[:] = people[nearest] / clip.size
            row[scores[nearest] < ours.pose.score] = -1
        return rows

    return ask


class People:
    """Our detector, as rtmlib asks for it."""

    det_mode = "human"

    def __init__(self, finder: Finder) -> None:
        self.finder = finder

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(people, 4)."""
        return self.finder.people([image])[0][:, :4]


def keypoints(
    finder: Finder, image: NDArray[np.uint8], bboxes: Sequence[NDArray[np.float32]]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Our pose network, as rtmlib asks for it: where nobody is, of the whole picture."""
    height, width = image.shape[:2]
    boxes = np.array(bboxes if len(bboxes) else [[0, 0, width, height]], np.float32)
    return finder.keypoints([image] * len(boxes), boxes)


if __name__ == "__main__":
    main()
