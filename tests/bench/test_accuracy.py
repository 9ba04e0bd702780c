"""The accuracy harness on people whose keypoints are known."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest

import planted
from bench.accuracy import SIGMAS, WHOLE, Person, evaluate
from posewatch.models.cache import ModelCache
from posewatch.models.pull import pull
from topdown_nets import card_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

BENCH = Path(__file__).with_name("accuracy.py")
COUNTS = {name: len(sigmas) for name, sigmas in SIGMAS.items()}
PARTS = [*SIGMAS, WHOLE]
AREA = 150.0 * 300.0


def annotation(number: int, image: int, points: NDArray[np.float64]) -> dict[str, Any]:
    """A person whose keypoints are all annotated, as COCO-WholeBody tells of it."""
    left, top = points.min(axis=0)
    width, height = points.max(axis=0) - (left, top)
    told: dict[str, Any] = {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "bbox": [left, top, width, height],
        "area": AREA,
        "iscrowd": 0,
    }
    start = 0
    for name, count in COUNTS.items():
        part = points[start : start + count]
        told[name] = np.column_stack([part, np.full(count, 2)]).ravel().tolist()
        start += count
    return told


def scene() -> tuple[dict[str, Any], list[Person]]:
    """Three pictures of two people each, and who was found: everybody, exactly."""
    rng = np.random.default_rng(0)
    annotations, people = [], []
    for image in (1, 2, 3):
        for beside in (0, 400):
            points = rng.uniform((beside, 20), (beside + 150, 320), (133, 2))
            annotations.append(annotation(len(annotations) + 1, image, points))
            scores = rng.uniform(0.5, 1, 133).astype(np.float32)
            people.append(Person(image, points, scores, 0.9))
    images = [{"id": image, "file_name": f"{image}.png"} for image in (1, 2, 3)]
    return {"images": images, "annotations": annotations}, people


def moved(people: list[Person], by: NDArray[np.float64]) -> list[Person]:
    """The same people, each keypoint so many pixels to the right."""
    aside = np.column_stack([by, np.zeros(133)])
    return [Person(one.image, one.points + aside, one.scores, one.box_score) for one in people]


def test_who_finds_everything_is_perfect() -> None:
    told = evaluate(*scene())
    assert list(told) == PARTS
    for one in told.values():
        assert (one.ap, one.ap50, one.ap75, one.ar) == pytest.approx((1, 1, 1, 1))


def test_keypoints_that_are_off_by_a_known_distance_give_the_ap_that_follows() -> None:
    """Each by so much that its similarity is 0.72, which five of ten thresholds let pass."""
    annotations, people = scene()
    sigmas = np.concatenate(list(SIGMAS.values()))
    by = np.sqrt(-np.log(0.72) * 2 * AREA) * 2 * sigmas
    for one in evaluate(annotations, moved(people, by)).values():
        assert (one.ap, one.ap50, one.ap75) == pytest.approx((0.5, 1, 0))


def test_a_part_that_is_off_is_the_only_one_that_suffers() -> None:
    annotations, people = scene()
    by = np.zeros(133)
    by[-21:] = 1000
    told = evaluate(annotations, moved(people, by))
    assert told["righthand_kpts"].ap == 0
    assert {
        name: one.ap for name, one in told.items() if name not in {"righthand_kpts", WHOLE}
    } == {name: pytest.approx(1) for name in SIGMAS if name != "righthand_kpts"}
    assert told[WHOLE].ap == pytest.approx(0.7), "112 of 133 pass the thresholds up to 0.8"


def test_who_is_missed_or_invented_costs_what_it_should() -> None:
    annotations, people = scene()
    half = evaluate(annotations, people[::2])[WHOLE]
    assert half.ar == pytest.approx(0.5)
    assert half.ap == pytest.approx(0.5, abs=0.01)
    nowhere = people[0].points + 5000
    invented = [Person(image, nowhere, np.ones(133, np.float32), 1.0) for image in (1, 2, 3)]
    assert evaluate(annotations, people + invented)[WHOLE].ap < 0.8
    nobody = evaluate(annotations, [])[WHOLE]
    assert (nobody.ap, nobody.ar) == (0, 0)


def test_parts_that_nobody_annotated_are_not_judged() -> None:
    annotations, people = scene()
    for one in annotations["annotations"]:
        one["foot_kpts"] = [0] * 18
    told = evaluate(annotations, people)
    assert told["foot_kpts"].ap == -1
    assert told[WHOLE].ap == pytest.approx(1)


@pytest.mark.parametrize("boxes", ["found", "given"])
def test_from_pictures_to_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, boxes: str
) -> None:
    """The command as a user runs it, on drawn figures and networks that find them."""
    size = (640, 360)
    truth = planted.film(tmp_path / "figure.mp4", 4, size)
    images, annotations = [], []
    with av.open(str(tmp_path / "figure.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0)):
            cv2.imwrite(str(tmp_path / f"{number}.png"), frame.to_ndarray(format="bgr24"))
            images.append({"id": number, "file_name": f"{number}.png"})
            told = annotation(number + 1, number, truth[number][np.arange(133) % planted.DOTS])
            left, top, right, bottom = planted.body(number / planted.FPS, size)
            told["bbox"] = [left, top, right - left, bottom - top]
            annotations.append(told)
    (tmp_path / "truth.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    published = planted.build("yolox_nano", "rtmpose_t", tmp_path / "nets")
    own = tmp_path / "own.json"
    own.write_text(card_of(*published, name="own").model_dump_json())
    monkeypatch.setenv("POSEWATCH_MODELS", str(tmp_path / "models"))
    pull(str(own), ModelCache(), given=[tmp_path / "nets"])
    arguments = ["--annotations", tmp_path / "truth.json", "--images", tmp_path, "--card", own]
    done = subprocess.run(  # noqa: S603 -- our own file
        [sys.executable, BENCH, *arguments, "--boxes", boxes],
        check=True,
        capture_output=True,
        text=True,
    )
    assert f"own, 4 pictures, boxes {boxes}" in done.stdout
    rows = json.loads((BENCH.parents[2] / "build" / "bench" / "accuracy.json").read_text())
    figures = {row["part"]: row["ap"] for row in rows}
    assert figures["keypoints"] == pytest.approx(1), figures
    assert figures[WHOLE] > 0.9, figures
