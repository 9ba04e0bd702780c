"""How well a model finds keypoints: OKS and AP on COCO-WholeBody, by pycocotools.

    make bench BENCH=accuracy ARGS="--annotations coco_wholebody_val_v1.0.json --images val2017"
    make bench BENCH=accuracy ARGS="… --card mine.json --boxes given --limit 500"

The data (github.com/jin-s13/COCO-WholeBody, and the pictures of COCO) and the weights
(`posewatch models pull dwpose`) are the user's to get. Pictures go through the same code as videos.
People are found by the detector, or taken from the annotations (`--boxes given`), as papers do that
compare pose networks. A person's score is that of the box times the mean of all confidences above
0.2, as mmpose has it. Each part is judged alone, and all 133 keypoints together; a person of whom
no keypoint of a part is annotated does not count for that part.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.progress import track
from rich.table import Table

from posewatch.models.cache import ModelCache
from posewatch.models.cards import WHOLE_BODY, TopDownCard
from posewatch.service.recipes import plans
from posewatch.vision.engine import OnnxEngine
from posewatch.vision.topdown.finder import Finder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from posewatch.vision.engine import Engine

RESULTS = Path(__file__).parents[2] / "build" / "bench"

_SURE = 0.2

_HAND = [
    *(0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018, 0.024),
    *(0.022, 0.026, 0.017, 0.021, 0.021, 0.032, 0.02, 0.019, 0.022, 0.031),
]
SIGMAS: Mapping[str, list[float]] = MappingProxyType(
    {
        "keypoints": [
            *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
            *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
        ],
        "foot_kpts": [0.068, 0.066, 0.066, 0.092, 0.094, 0.094],
        "face_kpts": [
            *(0.042, 0.043, 0.044, 0.043, 0.04, 0.035, 0.031, 0.025, 0.02, 0.023, 0.029),
            *(0.032, 0.037, 0.038, 0.043, 0.041, 0.045, 0.013, 0.012, 0.011, 0.011, 0.012),
            *(0.012, 0.011, 0.011, 0.013, 0.015, 0.009, 0.007, 0.007, 0.007, 0.012, 0.009),
            *(0.008, 0.016, 0.01, 0.017, 0.011, 0.009, 0.011, 0.009, 0.007, 0.013, 0.008),
            *(0.011, 0.012, 0.01, 0.034, 0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.01),
            *(0.008, 0.009, 0.009, 0.009, 0.007, 0.007, 0.008, 0.011, 0.008, 0.008, 0.008),
            *(0.01, 0.008),
        ],
        "lefthand_kpts": _HAND,
        "righthand_kpts": _HAND,
    }
)
"""Of each part of an annotation: how far people who annotate are apart, in parts of the person's
size (Jin et al. 2020, arXiv 2007.11858; the values of the data set's own evaluation)."""

WHOLE = "whole body"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was found.

    Attributes:
        image: number of the picture in the annotations.
        points: (133, 2) in pixels, as the network orders them.
        scores: (133,).
        box_score: of the detector; 1 where boxes were given.
    """

    image: int
    points: NDArray[np.float64]
    scores: NDArray[np.float32]
    box_score: float

    @property
    def score(self) -> float:
        """How sure it is that this is a person whose keypoints are right."""
        sure = self.scores[self.scores > _SURE]
        return self.box_score * float(sure.mean() if len(sure) else 0.0)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What pycocotools says, each from 0 to 1; -1 where nothing is annotated.

    Attributes:
        ap: average precision over the thresholds of OKS from 0.5 to 0.95.
        ap50: at 0.5.
        ap75: at 0.75.
        ar: average recall.
    """

    ap: float
    ap50: float
    ap75: float
    ar: float


def evaluate(annotations: Mapping[str, Any], people: Iterable[Person]) -> dict[str, Accuracy]:
    """Compare people with annotations, part by part and as a whole.

    Args:
        annotations: COCO-WholeBody's, as they are.
        people: who was found, in the pictures that the annotations name.
    """
    found = list(people)
    edges = (0, *accumulate(len(of_part) for of_part in SIGMAS.values()))
    slices = dict(zip(SIGMAS, map(slice, *zip(*pairwise(edges), strict=True)), strict=True))
    parts = {name: [name] for name in SIGMAS} | {WHOLE: list(SIGMAS)}
    return {
        name: _evaluate(
            annotations,
            members,
            found,
            np.concatenate([np.arange(WHOLE_BODY)[slices[member]] for member in members]),
        )
        for name, members in parts.items()
    }


def _evaluate(
    annotations: Mapping[str, Any],
    members: list[str],
    people: list[Person],
    places: NDArray[np.intp],
) -> Accuracy:
    truth = COCO()
    truth.dataset = {
        "images": annotations["images"],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [_part_of(one, members) for one in annotations["annotations"]],
    }
    found = [
        {
            "image_id": one.image,
            "category_id": 1,
            "keypoints": np.column_stack([one.points, one.scores])[places].ravel().tolist(),
            "score": one.score,
        }
        for one in people
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(found) if found else _nobody(truth), "keypoints")
        judge.params.kpt_oks_sigmas = np.concatenate([SIGMAS[name] for name in members])
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    ap, ap50, ap75, _, _, ar, *_ = map(float, judge.stats)
    return Accuracy(ap, ap50, ap75, ar)


def _nobody(truth: COCO) -> COCO:
    nobody = COCO()
    nobody.dataset = {**truth.dataset, "annotations": []}
    nobody.createIndex()
    return nobody


def _part_of(annotation: Mapping[str, Any], members: list[str]) -> dict[str, Any]:
    """An annotation as if it were of these parts alone."""
    points = [number for name in members for number in annotation[name]]
    kept = ("id", "image_id", "bbox", "area", "iscrowd")
    return {name: annotation[name] for name in kept} | {
        "category_id": 1,
        "keypoints": points,
        "num_keypoints": sum(visible > 0 for visible in points[2::3]),
    }


def find(
    card: TopDownCard,
    engine: Engine,
    annotations: Mapping[str, Any],
    images: Path,
    *,
    given: bool = False,
) -> Iterator[Person]:
    """Look for people in the pictures.

    Args:
        card: of the model, whose network finds 133 keypoints.
        engine: runs it.
        annotations: name the pictures.
        images: folder of the pictures.
        given: whether people's boxes are taken from the annotations.
    """
    boxes: dict[int, list[list[float]]] = {}
    for one in annotations["annotations"]:
        left, top, width, height = one["bbox"]
        boxes.setdefault(one["image_id"], []).append([left, top, left + width, top + height, 1.0])
    plain = card.model_copy(update={"keypoint_order": "network"})
    for image in annotations["images"]:
        path = images / image["file_name"]
        picture = cv2.imread(str(path))
        if picture is None:
            raise SystemExit(f"{path} is not there, or no picture")
        rgb = np.ascontiguousarray(picture[..., ::-1]).astype(np.uint8)
        finder = Finder(engine, *plans(plain), (rgb.shape[1], rgb.shape[0]))
        (people,) = (
            [np.array(boxes.get(image["id"], ()), np.float32)] if given else finder.people([rgb])
        )
        if len(people):
            points, scores = finder.keypoints([rgb] * len(people), people)
            for of_one, sure, box in zip(points, scores, people, strict=True):
                yield Person(image["id"], of_one, sure, float(box[4]))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotations", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--card", default="dwpose", help="name or path of a card that was pulled")
    parser.add_argument("--boxes", choices=("found", "given"), default="found")
    parser.add_argument("--limit", type=int, help="only so many pictures")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    model = ModelCache().require(options.card)
    if not isinstance(model.card, TopDownCard) or model.card.pose.keypoints != WHOLE_BODY:
        raise SystemExit(f"{options.card} does not find the 133 keypoints of COCO-WholeBody")
    annotations = json.loads(options.annotations.read_text(encoding="utf-8"))
    if options.limit is not None:
        annotations["images"] = annotations["images"][: options.limit]
    kept = {image["id"] for image in annotations["images"]}
    annotations["annotations"] = [
        one for one in annotations["annotations"] if one["image_id"] in kept
    ]
    engine = OnnxEngine(
        {name: model.network(name) for name in model.digests}, threads=options.threads
    )
    given = options.boxes == "given"
    people = list(
        track(
            find(model.card, engine, annotations, options.images, given=given),
            "people",
            transient=True,
        )
    )
    told = evaluate(annotations, people)
    table = Table(title=f"{model.card.name}, {len(kept)} pictures, boxes {options.boxes}")
    for heading in ("part", "AP", "AP 0.5", "AP 0.75", "AR"):
        table.add_column(heading)
    for name, one in told.items():
        figures = (one.ap, one.ap50, one.ap75, one.ar)
        table.add_row(name, *(f"{100 * figure:.1f}" for figure in figures))
    Console().print(table)
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows = [{"part": name, "ap": one.ap, "ar": one.ar} for name, one in told.items()]
    (RESULTS / "accuracy.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
