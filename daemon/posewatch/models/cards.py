"""Model cards: what a model is, where it comes from, and what goes in and out of it.

A card is a JSON file in this package. It is everything that is known about a model before a single
byte of it is on this machine, and everything a reader of results needs to know about them.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from posewatch.base.errors import ModelError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Source(_Record):
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


class Input(_Record):
    """The picture that a network looks at: uint8 RGB, `(N, size, size, 3)`, named `input`.

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
        member: path of the TFLite file in the wheel.
        sha256: of the TFLite file.
        size: of the TFLite file, bytes.
        input: what it looks at.
        outputs: those that are kept, in the order in which a session returns them. What only the
            other outputs need is not converted.
    """

    name: str
    member: str
    sha256: Sha256
    size: int
    input: Input
    outputs: tuple[Output, ...]


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

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    title: str
    licence: str
    licence_source: str
    source: Source
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


def _folder() -> Traversable:
    return resources.files("posewatch.models") / "cards"


def list_cards() -> tuple[Card, ...]:
    """Every model that this version knows, by name."""
    names = (entry.name for entry in _folder().iterdir() if entry.name.endswith(".json"))
    return tuple(card(name.removesuffix(".json")) for name in sorted(names))


@cache
def card(name: str) -> Card:
    """The card of a model.

    Raises:
        ModelError: no model has that name, or its card is damaged.
    """
    known = sorted(entry.name.removesuffix(".json") for entry in _folder().iterdir())
    if name not in known:
        raise ModelError(f"No model is called {name!r}", hint=f"Known: {', '.join(known)}.")
    text = (_folder() / f"{name}.json").read_text(encoding="utf-8")
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        raise ModelError(
            f"The card of {name} is damaged: {error}", hint="Install posewatch again."
        ) from error
