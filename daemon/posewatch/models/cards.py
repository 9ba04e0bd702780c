"""Model cards: what a model is, where it comes from, and what goes in and out of it.

A card is a JSON file: in this package, or the user's own. It is everything that is known about a
model before a single byte of it is on this machine, and everything a reader of results needs to
know about them.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from posewatch.base.errors import ModelError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

WHOLE_BODY = 133
"""Keypoints of COCO-WholeBody."""

_NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Source(_Record):
    """Where the files of a model come from."""


class WheelSource(Source):
    """The one file of a package index that holds the networks.

    The networks inside are the same on every platform, so a card pins one wheel and it is
    downloaded everywhere, whatever machine and Python ask for it.

    Attributes:
        package: its name in the index.
        version: exact.
        wheel: file name.
        sha256: of the wheel, as the index states it.
        size: of the wheel, bytes.
        python: `--python-version` that pip is told.
        abi: `--abi` that pip is told.
        platform: `--platform` that pip is told.
    """

    package: str
    version: str
    wheel: str
    sha256: Sha256
    size: int
    python: str
    abi: str
    platform: str


class RepositorySource(Source):
    """A repository of models that serves single files as Hugging Face does.

    Attributes:
        endpoint: of the service; `HF_ENDPOINT` can name a mirror.
        repository: owner and name.
        revision: branch, tag or commit. The digests on the card hold, whatever it points to.
    """

    endpoint: str
    repository: str
    revision: str


class Input(_Record):
    """The picture that a converted network looks at: uint8 RGB, `(N, size, size, 3)`, as `input`.

    The crop is bilinear, without antialiasing and without a half-pixel shift. The values 0..255
    are mapped to `low`..`high` inside the graph.

    Attributes:
        size: side in pixels.
        low: what 0 means to the network.
        high: what 255 means to the network.
        border: what lies outside of the image: black (`zero`), or its edge again (`replicate`).
    """

    size: int
    low: float
    high: float
    border: Literal["zero", "replicate"]


class Output(_Record):
    """A float32 output of a network.

    Attributes:
        name: its name in the ONNX file.
        tensor: its name in the TFLite file.
        shape: without the batch axis, which comes first.
        meaning: in words, with units.
        tolerance: how far a value may be from `probe`, in the output's own units.
        probe: for each of the three pictures of `verify.probe_input`, the values that TensorFlow
            Lite itself gives at `verify.probe_indices`.
    """

    name: str
    tensor: str
    shape: tuple[int, ...]
    meaning: str
    tolerance: float
    probe: tuple[tuple[float, ...], ...]


class Network(_Record):
    """One network of a model.

    Attributes:
        name: used for its ONNX file and to ask for it.
        member: path of its file in the source.
        sha256: of that file.
        size: of that file, bytes.
    """

    name: str
    member: str
    sha256: Sha256
    size: int


class TfliteNetwork(Network):
    """A TFLite network, which is converted to ONNX.

    Attributes:
        input: what it looks at.
        outputs: those that are kept, in the order in which a session returns them. What only the
            other outputs need is not converted.
    """

    input: Input
    outputs: tuple[Output, ...]


class Picture(_Record):
    """The picture that a published ONNX network looks at: float32, `(N, 3, height, width)`.

    Attributes:
        width: in pixels.
        height: in pixels.
        channels: the order in which the network was trained to see them.
        mean: taken from the values 0..255 of each channel, in that order.
        std: by which the rest is divided.
    """

    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]
    channels: Literal["RGB", "BGR"]
    mean: tuple[float, float, float]
    std: tuple[
        Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]
    ]


class YoloxDecode(_Record):
    """The output of YOLOX as its authors export it: one row for each cell of each grid.

    A row holds the box's centre within the cell (in cells), the logarithms of its width and height
    (in cells), the probability of an object, and that of each class. The grids follow each other
    in the order of the strides, row by row.

    Attributes:
        kind: `yolox`.
        strides: side of a cell of each grid, in input pixels.
        person: number of the class of people.
    """

    kind: Literal["yolox"]
    strides: tuple[int, ...]
    person: int


class DetectionsDecode(_Record):
    """Boxes out of a network that does its own suppression, as mmdeploy exports RTMDet and YOLOX.

    The first output holds `(N, boxes, 5)`: left, top, right, bottom in input pixels, score; the
    second `(N, boxes)` their classes.

    Attributes:
        kind: `detections`.
        person: number of the class of people.
        most: boxes of one picture that are looked at, best first.
    """

    kind: Literal["detections"]
    person: int
    most: Annotated[int, Field(gt=0)]


class SimccDecode(_Record):
    """SimCC: for each keypoint a row of scores along x (first output), another along y (second).

    Attributes:
        kind: `simcc`.
        split: places in a row for each input pixel.
    """

    kind: Literal["simcc"]
    split: Annotated[float, Field(gt=0)]


class DetectorNetwork(Network):
    """A network that finds people. The picture lies in the top left corner of its input.

    Attributes:
        input: what it looks at.
        decode: what its output means.
        fill: value of the input where there is no picture.
        score: people below it are not believed.
        overlap: of two boxes that overlap by more (intersection over union), the better one stays.
    """

    input: Picture
    decode: Annotated[YoloxDecode | DetectionsDecode, Field(discriminator="kind")]
    fill: Annotated[int, Field(ge=0, le=255)]
    score: float
    overlap: float


class PoseNetwork(Network):
    """A network that finds the keypoints of the one person in its input.

    Attributes:
        input: what it looks at.
        decode: what its outputs mean.
        keypoints: how many it finds.
        padding: factor by which the box of the person is made larger.
        score: keypoints below it count as not found.
    """

    input: Picture
    decode: SimccDecode
    keypoints: Annotated[int, Field(gt=0)]
    padding: float
    score: float


class Component(_Record):
    """A run of keypoints in the result.

    Attributes:
        name: pose, right_hand, left_hand or face.
        count: how many keypoints.
        names: theirs, in order; empty where they go by number.
    """

    name: str
    count: int
    names: tuple[str, ...]


class Card(_Record):
    """A model.

    Attributes:
        name: used on the command line, in recipes and in receipts.
        title: for people.
        licence: SPDX identifier.
        licence_source: where the licence is stated.
        source: where the networks come from.
        networks: in the order of the pipeline.
        components: the keypoints of a result, in order.
        dimensions: the names of the last axis of a result.
    """

    name: Annotated[str, Field(pattern=_NAME)]
    title: str
    licence: str
    licence_source: str
    source: Source | None
    networks: tuple[Network, ...]
    components: tuple[Component, ...]
    dimensions: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Sha256 of the card's content; changes whenever anything in it does."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names in order, such as `pose/nose` or `face/0`."""
        return tuple(
            f"{part.name}/{part.names[index] if part.names else index}"
            for part in self.components
            for index in range(part.count)
        )

    def network(self, name: str) -> Network:
        """The network of that name.

        Raises:
            ModelError: there is none.
        """
        for network in self.networks:
            if network.name == name:
                return network
        known = ", ".join(network.name for network in self.networks)
        raise ModelError(f"{self.name} has no network {name!r}", hint=f"It has: {known}.")


class Calibration(_Record):
    """How far networks of reduced precision are from those that they were made of.

    Measured by `tests/bench/calibration.py`, in pixels of the pictures, over all keypoints that
    both found.

    Attributes:
        against: sha256 of the detector and of the pose network of full precision.
        frames: that were looked at.
        median: half of the keypoints are closer.
        most: 95 % are closer.
        largest: all are.
        lost: part of the keypoints that only one of both found.
        provider: onnxruntime's name for what ran both; older reports do not tell.
    """

    against: tuple[Sha256, Sha256]
    frames: Annotated[int, Field(gt=0)]
    median: Annotated[float, Field(ge=0)]
    most: Annotated[float, Field(ge=0)]
    largest: Annotated[float, Field(ge=0)]
    lost: Annotated[float, Field(ge=0, le=1)]
    provider: str = ""


class WheelCard(Card):
    """A model whose networks are TFLite files in a wheel, see `models.convert`."""

    source: WheelSource
    networks: tuple[TfliteNetwork, ...]


class TopDownCard(Card):
    """A model of two published ONNX networks: one finds people, one the keypoints of a person.

    Attributes:
        name: short, for it is a part of the results' names (`formats.names.LONGEST`).
        source: None where the files have to be given to a pull.
        keypoint_order: `openpose`: the 133 keypoints of COCO-WholeBody in the order of OpenPose,
            with a neck, 134 in all; `network`: as the network gives them.
        calibration: needed by networks of reduced precision.
    """

    name: Annotated[str, Field(pattern=_NAME, max_length=14)]
    source: RepositorySource | None = None
    networks: tuple[DetectorNetwork, PoseNetwork]
    dimensions: tuple[Literal["x"], Literal["y"]] = ("x", "y")
    keypoint_order: Literal["openpose", "network"]
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _names_are_those_of_the_pipeline(self) -> Self:
        if (self.detector.name, self.pose.name) != ("detector", "pose"):
            raise ValueError("the networks should be called detector and pose, in this order")
        return self

    @model_validator(mode="after")
    def _components_are_the_keypoints(self) -> Self:
        found, told = self.pose.keypoints, sum(part.count for part in self.components)
        if self.keypoint_order == "openpose":
            if found != WHOLE_BODY:
                raise ValueError(f"the order of OpenPose needs {WHOLE_BODY} keypoints, not {found}")
            found += 1  # the neck
        if told != found:
            raise ValueError(f"the components have {told} keypoints in all, the results {found}")
        for part in self.components:
            if len(part.names) not in {0, part.count}:
                raise ValueError(f"{part.name} has {part.count} keypoints, {len(part.names)} names")
        return self

    @property
    def detector(self) -> DetectorNetwork:
        """The network that finds people."""
        return self.networks[0]

    @property
    def pose(self) -> PoseNetwork:
        """The network that finds keypoints."""
        return self.networks[1]


AnyCard = WheelCard | TopDownCard
_ANY_CARD: TypeAdapter[AnyCard] = TypeAdapter(
    Annotated[
        Annotated[WheelCard, Tag("wheel")] | Annotated[TopDownCard, Tag("top-down")],
        Discriminator(lambda told: "top-down" if "keypoint_order" in told else "wheel"),
    ]
)


def _folder() -> Traversable:
    return resources.files("posewatch.models") / "cards"


def list_cards() -> tuple[AnyCard, ...]:
    """Every model that this version knows, by name."""
    names = (entry.name for entry in _folder().iterdir() if entry.name.endswith(".json"))
    return tuple(card(name.removesuffix(".json")) for name in sorted(names))


def card(name: str) -> AnyCard:
    """The card of a model.

    Args:
        name: of a model that posewatch knows, or the path of a card of one's own, which ends in
            `.json`; see docs/models.md.

    Raises:
        ModelError: no model has that name, or its card cannot be read.
    """
    return _read_card(Path(name)) if name.endswith(".json") else _known_card(name)


def _read_card(path: Path) -> TopDownCard:
    try:
        return TopDownCard.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"Cannot read the card {path}: {error.strerror}") from error
    except ValidationError as error:
        faults = (
            (".".join(map(str, fault["loc"])), fault["msg"].removeprefix("Value error, "))
            for fault in error.errors()
        )
        told = "; ".join(f"{place}: {what}" if place else what for place, what in faults)
        raise ModelError(
            f"The card {path} is wrong: {told}", hint="docs/models.md tells how one is written."
        ) from error


@cache
def _known_card(name: str) -> AnyCard:
    known = sorted(entry.name.removesuffix(".json") for entry in _folder().iterdir())
    if name not in known:
        raise ModelError(f"No model is called {name!r}", hint=f"Known: {', '.join(known)}.")
    text = (_folder() / f"{name}.json").read_text(encoding="utf-8")
    try:
        return _ANY_CARD.validate_json(text)
    except ValidationError as error:
        raise ModelError(
            f"The card of {name} is damaged: {error}", hint="Install posewatch again."
        ) from error
