"""From frames to keypoints, with small networks whose answer is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import onnxruntime
import pytest

import topdown_by_hand as by_hand
from posewatch.base.errors import InputError
from posewatch.models.fold import fold
from posewatch.service.recipes import top_down
from posewatch.vision.engine import OnnxEngine
from posewatch.vision.topdown import DetectorPlan, PosePlan, Rule, TopDown
from topdown_nets import BOX, card_of, simcc, yolox

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from posewatch.models.cards import TopDownCard
    from posewatch.vision.engine import Outputs
    from posewatch.vision.topdown import TopDownResult

RED, GREEN, BLUE, GREY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (114, 114, 114)
DETECTOR_SIZE, POSE_SIZE = (128, 96), (48, 64)
NAMES = ("frames", "confidences", "boxes", "box_scores", "track_ids")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[TopDownCard, Path]:
    folder = tmp_path_factory.mktemp("nets")
    return card_of(yolox(folder / "yolox.onnx"), simcc(folder / "simcc.onnx")), folder


@pytest.fixture(scope="module")
def toy(published: tuple[TopDownCard, Path]) -> TopDown:
    card, folder = published
    files = {}
    for network in card.networks:
        files[network.name] = path = folder / f"{network.name}.folded"
        path.write_bytes(fold((folder / network.member).read_bytes(), network, loosen=True))
    return top_down(card, OnnxEngine(files), Rule.LARGEST, 1)


def scene(*cells: tuple[int, int, tuple[int, int, int]], zoom: int = 2) -> NDArray[np.uint8]:
    """A grey frame, `zoom` times the detector's input, some of whose cells are painted."""
    frame = np.full((96 * zoom, 128 * zoom, 3), GREY, np.uint8)
    side = 32 * zoom
    for column, row, colour in cells:
        frame[side * row : side * row + side, side * column : side * column + side] = colour
    return frame


def process(toy: TopDown, *frames: NDArray[np.uint8], step: int = 100) -> TopDownResult:
    """All frames of a video of 25 a second, `step` at a time."""
    height, width = frames[0].shape[:2]
    track = toy.start(width, height)
    parts = [
        track.process(np.stack(frames[at : at + step]), np.arange(len(frames))[at : at + step] / 25)
        for at in range(0, len(frames), step)
    ]
    return type(parts[0])(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in NAMES)
    )


@pytest.mark.parametrize("nonsense", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize(("network", "column"), [("detector", 2), ("detector", 4), ("pose", 2)])
def test_nonsense_is_no_result(nonsense: float, network: str, column: int) -> None:
    class Engine:
        """Somebody in the middle, and one number that means nothing."""

        def infer(self, name: str, batch: NDArray[np.uint8]) -> Outputs:
            answers = {"detector": [[40, 20, 80, 70, 0.9]] * 2, "pose": [[20, 30, 0.9]] * 3}
            answer = np.repeat(np.array([answers[name]], np.float32), len(batch), axis=0)
            if name == network:
                answer[-1, -1, column] = nonsense
            return (answer,)

    toy = TopDown(
        Engine(),
        DetectorPlan("detector", DETECTOR_SIZE, fill=114, score=0.3, overlap=0.45),
        PosePlan("pose", POSE_SIZE, padding=1.25, score=0.3, keypoints=3, openpose=False),
    )
    with pytest.raises(InputError, match=f"the network {network} gives numbers that mean nothing"):
        process(toy, scene(), scene())


def test_keypoints_are_where_the_colours_are(toy: TopDown) -> None:
    """One red person of 80 by 144 px in the middle of cell (1, 1), with a green and a blue dot."""
    frame = scene((1, 1, RED))
    centre = np.array([96.0, 96.0])
    cv2.circle(frame, (110, 70), 4, GREEN, -1)
    cv2.circle(frame, (80, 120), 4, BLUE, -1)
    result = process(toy, frame)
    half = np.array(BOX)  # of a box in a frame of twice the detector's size
    expected = [*(centre - half), *(centre + half)] / np.array([256, 192, 256, 192])
    np.testing.assert_allclose(result.boxes[0, 0], expected, atol=1e-6)
    pixels = result.frames[0, 0] * (256, 192)
    # A pixel of the crop is 3.75 px of the frame: 1.25 * 144 px on 48.
    green, blue = (110, 70), (80, 120)
    for ours, coco in ((4, 10), (10, 16), (3, 8), (14, 2)):
        np.testing.assert_allclose(pixels[ours], green if coco % 3 == 1 else blue, atol=6)
    greens = [place for place in range(18, 134) if (place - 1) % 3 == 1]
    blues = [place for place in range(18, 134) if (place - 1) % 3 == 2]
    np.testing.assert_allclose(pixels[greens], np.tile(green, (len(greens), 1)), atol=6)
    np.testing.assert_allclose(pixels[blues], np.tile(blue, (len(blues), 1)), atol=6)
    assert (result.confidences[0, 0][greens] > 0.9).all()


def random_scene(seed: int) -> NDArray[np.uint8]:
    """A frame of some size with noise, a person, perhaps a second, and a chair."""
    rng = np.random.default_rng(seed)
    zoom = int(rng.integers(1, 5))
    frame = scene((1, 1, RED), (3, int(rng.integers(3)), BLUE), zoom=zoom)
    if seed % 2:
        frame = scene((0, 2, (180, 10, 0)), (2, 0, RED), zoom=zoom)
    noise = rng.integers(0, 40, frame.shape, dtype=np.uint8)
    cropped = cv2.subtract(frame, noise)[: frame.shape[0] - int(rng.integers(8))]
    for _ in range(30):
        place = tuple(int(rng.integers(side)) for side in cropped.shape[1::-1])
        cv2.circle(cropped, place, zoom, tuple(rng.integers(0, 256, 3).tolist()), -1)
    return np.ascontiguousarray(cropped)


@pytest.mark.parametrize("seed", range(12))
def test_keypoints_are_those_of_the_published_pipeline(
    toy: TopDown, published: tuple[TopDownCard, Path], seed: int
) -> None:
    card, folder = published
    detector, pose = (
        onnxruntime.InferenceSession(
            str(folder / network.member), providers=["CPUExecutionProvider"]
        )
        for network in card.networks
    )
    frame = random_scene(seed)
    height, width = frame.shape[:2]
    people = by_hand.people(detector, frame, DETECTOR_SIZE)
    assert people
    result = process(toy, frame)
    found = result.boxes[0, 0] * (width, height, width, height)
    # All are of one size, so that rounding decides who is the largest.
    box = min((box for _, box in people), key=lambda box: np.abs(box - found).max())
    np.testing.assert_allclose(found, box, atol=0.01)
    points, scores = by_hand.keypoints(pose, frame, box, POSE_SIZE)
    np.testing.assert_allclose(result.confidences[0, 0], scores, atol=0.01)
    sure = np.abs(scores - 0.3) > 0.01
    missing = scores < 0.3
    assert (result.frames[0, 0][sure & missing] == -1).all()
    ours = (result.frames[0, 0] * (width, height))[sure & ~missing]
    assert len(ours) > 60
    assert np.abs(ours - points[sure & ~missing]).max() <= 0.1


def test_frames_without_a_person_are_nan(toy: TopDown) -> None:
    empty, chair, person = scene(), scene((1, 1, BLUE)), scene((1, 1, RED))
    result = process(toy, empty, person, chair)
    for array in (getattr(result, name) for name in NAMES):
        assert np.isnan(array[[0, 2]]).all()
        assert np.isfinite(array[1]).all()
    assert result.frames.shape == (3, 1, 134, 2)


@pytest.mark.parametrize("step", [1, 2, 5])
def test_how_a_video_is_cut_makes_no_difference(toy: TopDown, step: int) -> None:
    frames = [
        scene(*((c % 4, 1, RED) for c in (i // 3, i // 3 + 2)[: 1 + i % 2])) for i in range(10)
    ]
    whole, cut = process(toy, *frames), process(toy, *frames, step=step)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(whole, name), getattr(cut, name))


def test_the_same_person_is_followed(toy: TopDown) -> None:
    """Boxes are of one size: the first in the grid's order is the largest of equals."""
    two, other = scene((0, 1, RED), (3, 1, RED)), scene((3, 1, RED))
    moved = scene((1, 1, RED), (3, 1, RED))
    boxes = process(toy, two, two, other, two, moved).boxes[:, 0, 0] * 128
    np.testing.assert_allclose(boxes, [-4, -4, np.nan, -4, np.nan], atol=1e-4)


def test_images_of_another_size_are_refused(toy: TopDown) -> None:
    with pytest.raises(ValueError, match="192, 256, 3"):
        toy.start(256, 192).process(np.zeros((1, 96, 128, 3), np.uint8), np.zeros(1))


class Counting:
    """An engine that sees one person everywhere, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[int, ...]]] = []

    def infer(self, network: str, batch: NDArray[np.uint8]) -> Outputs:
        self.asked.append((network, batch.shape))
        if network == "detector":
            return (np.tile(np.float32([10, 10, 30, 50, 0.9]), (len(batch), 4, 1)),)
        return (np.tile(np.float32([24, 32, 0.5]), (len(batch), 17, 1)),)


def plans(**update: Any) -> tuple[DetectorPlan, PosePlan]:  # noqa: ANN401 -- passed on
    pose = {"padding": 1.25, "score": 0.3, "keypoints": 17, "openpose": False, **update}
    return (
        DetectorPlan("detector", DETECTOR_SIZE, fill=114, score=0.3, overlap=0.45),
        PosePlan("pose", POSE_SIZE, **pose),
    )


def test_the_frames_of_a_call_are_one_batch_of_each_network() -> None:
    engine = Counting()
    result = (
        TopDown(engine, *plans())
        .start(128, 96)
        .process(np.zeros((5, 96, 128, 3), np.uint8), np.arange(5.0))
    )
    assert engine.asked == [("detector", (5, 96, 128, 3)), ("pose", (5, 64, 48, 3))]
    assert result.frames.shape == (5, 1, 17, 2)
    np.testing.assert_allclose(
        result.frames * (128, 96), np.tile((20, 30), (5, 1, 17, 1)), rtol=1e-6
    )


def test_openpose_s_order_needs_the_whole_body() -> None:
    with pytest.raises(ValueError, match="133 keypoints, not 17"):
        plans(openpose=True)
