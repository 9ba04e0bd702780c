"""The fields that a log message can carry beside its words.

The vocabulary is closed (mypy refuses any other name), because people search their journals by
these names and build alerts on them; no field is for secrets. `docs/operations.md` lists them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from typing import Unpack

ATTRIBUTE = "posewatch_fields"
"""The attribute of a `logging.LogRecord` that holds the fields."""


@dataclass(frozen=True, slots=True)
class About:
    """What a field is.

    Attributes:
        meaning: a phrase, with the unit.
        shown: whether the lines for people show it too.
    """

    meaning: str
    shown: bool = True


class Fields(TypedDict, total=False):
    """All fields. File names are given as they are; escaping is the business of the renderer."""

    video: Annotated[str, About("the input's path in the watched folder")]
    file: Annotated[str, About("another file's path in the watched folder: a lock, a result")]
    folder: Annotated[str, About("the watched folder")]
    path: Annotated[str, About("a local file or folder outside the watched one")]
    outcome: Annotated[str, About("how the work on the video ended", shown=False)]
    fault: Annotated[str, About("what is wrong with the input, as in its receipt")]
    reason: Annotated[str, About("why, in one or a few words")]
    attempt: Annotated[int, About("number of the claim on this video, from 1", shown=False)]
    owner: Annotated[str, About("host and process that hold a claim")]
    recipe: Annotated[str, About("what is made of the video", shown=False)]
    stage: Annotated[str, About("part of the work")]
    frames: Annotated[int, About("video frames")]
    readable_frames: Annotated[int, About("frames that could be decoded before a fault")]
    video_seconds: Annotated[float, About("playing time", shown=False)]
    seconds: Annotated[float, About("time that it took, or will take")]
    fps: Annotated[float, About("frames worked on in one second")]
    latency_seconds: Annotated[float, About("from the last write to the claim", shown=False)]
    bytes: Annotated[int, About("size", shown=False)]
    files: Annotated[int, About("number of files")]
    videos: Annotated[int, About("number of videos")]
    count: Annotated[int, About("number of repetitions")]
    retry_seconds: Annotated[float, About("time until the next try")]
    setting: Annotated[str, About("name of a setting")]
    model: Annotated[str, About("name of a model")]
    network: Annotated[str, About("name of a network of a model")]
    provider: Annotated[str, About("execution provider that runs the networks")]
    device: Annotated[str, About("what the networks run on, such as a GPU's number and name")]
    version: Annotated[str, About("version of posewatch, or of what the message is about")]
    address: Annotated[str, About("where the daemon listens")]
    signal: Annotated[str, About("name of a received signal")]
    child_pid: Annotated[int, About("process id of a decoder", shown=False)]


def fields(**values: Unpack[Fields]) -> dict[str, Mapping[str, object]]:
    """Fields for one message: `log.info("done", extra=fields(video=key, frames=250))`."""
    return {ATTRIBUTE: values}


def about() -> dict[str, About]:
    """What each field is, in their order."""
    hints = get_type_hints(Fields, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


class FieldLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds the same fields to every message; those of the message win."""

    def process(
        self, msg: object, kwargs: MutableMapping[str, Any]
    ) -> tuple[object, MutableMapping[str, Any]]:
        """Called by `logging` for each message."""
        extra = dict(kwargs.get("extra") or {})
        extra[ATTRIBUTE] = {**(self.extra or {}), **extra.get(ATTRIBUTE, {})}
        kwargs["extra"] = extra
        return msg, kwargs


def bind(log: logging.Logger | FieldLogger, **values: Unpack[Fields]) -> FieldLogger:
    """A logger for one piece of work, such as `bind(log, video=key, attempt=2)`."""
    if isinstance(log, FieldLogger):
        return FieldLogger(log.logger, {**(log.extra or {}), **values})
    return FieldLogger(log, values)
