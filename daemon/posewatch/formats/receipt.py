"""The receipt: `NAME.posewatch.json`, beside the input, written last.

It says what became of one version of an input: the results with their digests, or the failure.
A receipt is decoded by `decode`, which ignores fields it does not know and never raises: a damaged
receipt is None, and the job is done again; what others wrote under its name is `Foreign`, and is
left alone.
"""

from __future__ import annotations

import json
from enum import Enum, auto
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, PlainValidator, ValidationError

from posewatch.base.errors import Fault
from posewatch.base.own import OURS, fields_of

FORMAT: Literal[1] = 1
"""Bumped when a reader of today could misunderstand the file."""


def _name(value: Any) -> str:  # noqa: ANN401 -- whatever a hostile file holds
    if not isinstance(value, str):
        raise ValueError("a name is a string")  # noqa: TRY004 -- what pydantic expects
    return value


FileName = Annotated[str, PlainValidator(_name)]
"""A file name, without folders. Lone surrogates, which pydantic's own strings refuse, stand for
bytes that are not UTF-8."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class InputRecord(_Record):
    """Which file, in which version, the work was done on."""

    name: FileName
    size: int
    """Bytes."""
    tag: str
    """Version of the content as the storage tells it (POSIX: modification time in ns)."""
    sha256: str | None = None
    """In hex; None where the input could not be read."""


class ResultRecord(_Record):
    """One result file."""

    name: FileName
    size: int
    """Bytes."""
    sha256: str
    """In hex."""
    tag: str = ""
    """Version of the file as the storage told it when it was published."""


class RecipeRecord(_Record):
    """What was asked for."""

    name: str
    """Name of the recipe."""
    hash: str
    """Digest over everything that can change the results."""
    settings: dict[str, str | int | float | bool] = {}
    """The settings behind the hash, for people."""


class WorkRecord(_Record):
    """How it went; nothing depends on it."""

    frames: int = 0
    """Frames in the results."""
    footage_seconds: float = 0.0
    """Duration of the video."""
    timings: dict[str, float] = {}
    """Seconds for each stage."""
    started: str = ""
    """UTC, ISO 8601."""
    finished: str = ""
    """UTC, ISO 8601."""
    host: str = ""
    """The machine."""
    software: dict[str, str] = {}
    """Versions of what took part."""
    models: dict[str, str] = {}
    """sha256 of each network."""
    provider: str = ""
    """What the networks ran on, as onnxruntime calls it."""
    decoder: str = ""
    """What decoded the video: `cpu` or `nvdec`."""
    decoder_fallback: str = ""
    """Why that was the CPU although a GPU was to."""


class FailureRecord(_Record):
    """Why there are no results."""

    fault: Fault
    """The kind."""
    message: str
    """What is wrong, in words."""
    hint: str = ""
    """What to do about it."""
    readable_frames: int | None = None
    """Frames that could be decoded before the fault, where that is known."""


class Receipt(_Record):
    """The whole file."""

    posewatch: Literal[1] = FORMAT
    """Version of this format."""
    outcome: Literal["done", "failed"]
    """`done`: the results are there; `failed`: see `failure`."""
    input: InputRecord
    recipe: RecipeRecord
    attempt: int
    """Attempt of the claim that wrote this."""
    nonce: str
    """Nonce of that claim, so that no two receipts are ever equal."""
    results: tuple[ResultRecord, ...] = ()
    failure: FailureRecord | None = None
    work: WorkRecord = WorkRecord()


class Foreign(Enum):
    """What stands where a receipt would: whole, and not this posewatch's to replace."""

    OTHER = auto()  # another program's
    NEWER = auto()  # of a later version of this format


def encode(receipt: Receipt) -> bytes:
    """The file's content: JSON for people and programs, two spaces of indent, ASCII only."""
    # By hand, since pydantic's own writer refuses the lone surrogates of an undecodable name.
    return (json.dumps(receipt.model_dump(mode="python"), indent=2, default=str) + "\n").encode()


def decode(data: bytes) -> Receipt | Foreign | None:
    """The receipt in `data`; None when it is damaged, and may be made anew."""
    try:
        content = fields_of(data)
    except ValueError:
        return None
    if content is None:
        return Foreign.OTHER
    if content[OURS] > FORMAT:
        return Foreign.NEWER
    try:
        return Receipt.model_validate(content)
    except (ValidationError, RecursionError):
        return None
