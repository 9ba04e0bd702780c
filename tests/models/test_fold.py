"""Rewritten networks: bytes in, people or keypoints out, and the same as before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

import standins
from posewatch.base.errors import ModelError
from posewatch.models.cards import DetectionsDecode, DetectorNetwork, PoseNetwork, YoloxDecode
from posewatch.models.fold import fold
from posewatch.models.verify_fold import verify_fold
from topdown_nets import BOX, card_of, detections, simcc, stubborn, yolox

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    AnyNetwork = DetectorNetwork | PoseNetwork

RED, BLUE, GREY = (255, 0, 0), (0, 0, 255), (114, 114, 114)


def cards(tmp_path: Path, detector: Path | None = None, pose: Path | None = None) -> Any:  # noqa: ANN401 -- a pair
    detector = detector or yolox(tmp_path / "any-yolox.onnx")
    return card_of(detector, pose or simcc(tmp_path / "any-simcc.onnx")).networks


def folded(published: Path, network: AnyNetwork, *, loosen: bool = True) -> Path:
    path = published.with_suffix(".folded")
    path.write_bytes(fold(published.read_bytes(), network, loosen=loosen))
    return path


def run(path: Path, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"input": pictures})
    assert isinstance(output, np.ndarray)
    return output


def painted(*cells: tuple[int, int, tuple[int, int, int]]) -> NDArray[np.uint8]:
    """A grey picture for the detector with some cells of 32 px painted."""
    picture = np.full((96, 128, 3), GREY, np.uint8)
    for column, row, colour in cells:
        picture[32 * row : 32 * row + 32, 32 * column : 32 * column + 32] = colour
    return picture


def box_around(x: float, y: float) -> list[float]:
    width, height = BOX
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


@pytest.mark.parametrize("batch", [1, "batch"])
def test_people_come_out_of_yolox_best_first_and_nobody_else(
    tmp_path: Path, batch: int | str
) -> None:
    published = yolox(tmp_path / "yolox.onnx", batch=batch)
    detector, _ = cards(tmp_path, published)
    path = folded(published, detector)
    verify_fold(published, path, detector)
    dim = painted((3, 2, (200, 0, 0)))
    people = run(path, np.stack([painted((1, 0, RED), (3, 1, BLUE)), painted(), dim]))
    assert people.shape == (3, 96 // 8 * 128 // 8 * 21 // 16, 5)
    np.testing.assert_allclose(people[0, 0], [*box_around(48, 16), 1.0], atol=1e-4)
    assert people[0, 1, 4] < 0.01, "a blue chair is nobody"
    assert people[1, 0, 4] < 0.01
    np.testing.assert_allclose(people[2, 0, :4], box_around(112, 80), 1e-5)
    assert people[2, 0, 4] == pytest.approx((200 / 255) ** 2, abs=1e-4)
    assert (np.diff(people[..., 4]) <= 0).all()


def test_the_order_of_the_channels_is_that_of_the_card(tmp_path: Path) -> None:
    published = yolox(tmp_path / "yolox.onnx")
    detector, _ = cards(tmp_path, published)
    picture = detector.input.model_copy(update={"channels": "RGB"})
    wrong = folded(published, detector.model_copy(update={"input": picture}))
    assert run(wrong, painted((1, 0, RED))[None])[0, 0, 4] < 0.01
    assert run(wrong, painted((1, 0, BLUE))[None])[0, 0, 4] == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("batch", "count"), [(1, 133), ("batch", 17)])
def test_keypoints_come_out_of_simcc(tmp_path: Path, batch: int | str, count: int) -> None:
    published = simcc(tmp_path / "simcc.onnx", keypoints=count, batch=batch)
    _, pose = cards(tmp_path, pose=published)
    pose = pose.model_copy(update={"keypoints": count})
    path = folded(published, pose)
    verify_fold(published, path, pose)
    crops = np.zeros((2, 64, 48, 3), np.uint8)
    crops[0, 10, 20, 0], crops[0, 63, 47, 1], crops[0, 0, 0, 2] = 255, 204, 51
    crops[1, 30, 5] = 255
    keypoints = run(path, crops)
    assert keypoints.shape == (2, count, 3)
    dots = [(20, 10, 1.0), (47, 63, 0.8), (0, 0, 0.2)]
    for number in range(count):
        np.testing.assert_allclose(keypoints[0, number], dots[number % 3], atol=1e-4)
        np.testing.assert_allclose(keypoints[1, number], (5, 30, 1.0), atol=1e-4)


def test_what_suppresses_by_itself_gives_people_and_empty_rows(tmp_path: Path) -> None:
    published = detections(tmp_path / "detections.onnx")
    detector, _ = cards(tmp_path, published)
    decode = DetectionsDecode(kind="detections", person=0, most=5)
    detector = detector.model_copy(update={"decode": decode})
    path = folded(published, detector)
    verify_fold(published, path, detector)
    people = run(path, painted()[None])
    assert people.shape == (1, 5, 5)
    np.testing.assert_allclose(people[0, :2, 4], [0.9, 0.6], atol=1e-6)
    np.testing.assert_allclose(people[0, 1, :4], [70, 20, 110, 90])
    assert (people[0, 2:, 4] == 0).all()


def test_networks_of_the_true_architecture_are_rewritten_rightly(tmp_path: Path) -> None:
    """With their batch freed, although YOLOX's is fixed to 1 in three reshapes."""
    detector, pose = cards(
        tmp_path,
        standins.yolox(tmp_path / "yolox.onnx", 0.33, 0.25, 96, apart=True),
        standins.rtmpose(tmp_path / "rtmpose.onnx", 0.167, 0.25, (96, 128)),
    )
    for network in (detector, pose):
        published = tmp_path / network.member
        path = folded(published, network)
        verify_fold(published, path, network)
        pictures = np.random.default_rng(0).integers(
            0, 256, (3, network.input.height, network.input.width, 3), np.uint8
        )
        together = run(path, pictures)
        alone = np.concatenate([run(path, one[None]) for one in pictures])
        np.testing.assert_allclose(together, alone, atol=1e-3)


def test_a_batch_that_cannot_be_freed_is_noticed_and_left(tmp_path: Path) -> None:
    published = stubborn(tmp_path / "stubborn.onnx")
    detector, _ = cards(tmp_path, published)
    with pytest.raises(ModelError, match="stubborn"):
        verify_fold(published, folded(published, detector), detector)
    path = folded(published, detector, loosen=False)
    verify_fold(published, path, detector)
    assert run(path, np.stack([painted((1, 0, RED))] * 2)).shape[0] == 2


def test_the_same_file_comes_out_of_the_same_file(tmp_path: Path) -> None:
    published = yolox(tmp_path / "yolox.onnx")
    detector, _ = cards(tmp_path, published)
    first, second = (fold(published.read_bytes(), detector, loosen=True) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("part", ["detector", "pose"])
def test_a_network_that_was_rewritten_wrongly_is_noticed(tmp_path: Path, part: str) -> None:
    published = tmp_path / f"{part}.onnx"
    (yolox if part == "detector" else simcc)(published)
    detector, pose = cards(tmp_path, **{part: published})
    network = detector if part == "detector" else pose
    changed = {"decode": YoloxDecode(kind="yolox", strides=(32, 16, 8), person=0)}
    if part == "pose":
        changed = {"decode": pose.decode.model_copy(update={"split": 1.5})}
    path = folded(published, network.model_copy(update=changed))
    with pytest.raises(ModelError, match=r"other (people|keypoints)"):
        verify_fold(published, path, network)


def test_other_networks_than_the_card_says_are_refused(tmp_path: Path) -> None:
    detector, pose = cards(tmp_path)
    published = yolox(tmp_path / "yolox.onnx")
    with pytest.raises(ModelError, match="no ONNX file"):
        fold(b"<html>not found</html>", detector, loosen=True)
    with pytest.raises(ModelError, match="simcc needs 2"):
        fold(published.read_bytes(), pose, loosen=True)
    model = onnx.load(published)
    model.opset_import[0].version = 9
    with pytest.raises(ModelError, match="opset 9"):
        fold(model.SerializeToString(), detector, loosen=True)
    model = onnx.load(published)
    model.graph.input.append(helper.make_tensor_value_info("more", 1, [1]))
    with pytest.raises(ModelError, match="not one input but 2"):
        fold(model.SerializeToString(), detector, loosen=True)


def test_another_number_of_keypoints_than_on_the_card_is_noticed(tmp_path: Path) -> None:
    published = simcc(tmp_path / "simcc.onnx", keypoints=17)
    _, pose = cards(tmp_path, pose=published)
    with pytest.raises(ModelError, match="17 keypoints"):
        verify_fold(published, folded(published, pose), pose)
