"""Every setting, parsed once at start and never changed afterwards.

The file is TOML; each setting has a default, so no file is needed. `docs/settings.md` lists them
all, and a test keeps it complete.
"""

from __future__ import annotations

import os
import re
import tomllib
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from posewatch.base.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

GIB = 1 << 30

MOST = (1 << 63) - 1
"""The operating system counts in 64 bits with a sign."""

_DETECT = re.compile(r"auto|always|every ([1-9][0-9]{0,2})")

NOT_VIDEOS = frozenset({".json", ".npz", ".pose", ".lock"})
"""What posewatch itself writes beside a video."""


class PoseModel(StrEnum):
    """What finds the keypoints."""

    MEDIAPIPE = "mediapipe"
    DWPOSE = "dwpose"


class PoseMode(StrEnum):
    """How MediaPipe Holistic goes from frame to frame."""

    STATIC = "static"
    TRACKING = "tracking"


class SignerRule(StrEnum):
    """Who is followed, of several people."""

    LARGEST = "largest"
    CENTRAL = "central"
    MOST_MOTION = "most-motion"
    FIRST = "first"


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,  # `port = true` is a mistake, not port 1
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class FolderSettings(_Section):
    """The watched folder, and the bucket behind it. `folder = "…"` is short for its `path`."""

    path: str | None = None
    """The watched folder, or `s3://BUCKET/PREFIX`, when it is not given on the command line."""
    bucket: str | None = None
    """`s3://BUCKET/PREFIX` that the folder shows, where posewatch cannot find out by itself."""
    endpoint: str | None = None
    """URL of the store, for others than AWS."""
    region: str | None = None
    """Region of the bucket. Default: as AWS tools are configured, or `us-east-1`."""
    addressing: Literal["auto", "path", "virtual"] = "auto"
    """Where requests name the bucket. `auto`: in the host at AWS, in the path elsewhere."""
    passwd_file: Annotated[Path | None, Field(strict=False)] = None
    """File with `ACCESS_KEY:SECRET_KEY`, as s3fs has it. Default: as AWS tools are configured."""
    profile: str | None = None
    """Profile of the AWS configuration."""
    single_writer: bool = False
    """Promise that no other daemon watches the folder, for a store on which claims are not safe."""
    share: str | None = None
    """`2/5`: work on the second of five shares of the videos, for a store on which claims are not
    safe. Each daemon needs another one."""

    @field_validator("bucket")
    @classmethod
    def _bucket_is_an_address(cls, bucket: str | None) -> str | None:
        if bucket is not None and not bucket.startswith("s3://"):
            raise ValueError("Input should be s3://BUCKET or s3://BUCKET/PREFIX")
        return bucket


class WatchSettings(_Section):
    """How new videos are noticed."""

    scan_interval: Annotated[float, Field(ge=0.05, le=86_400)] = 10.0
    """Seconds between two scans of the whole folder."""
    idle_interval: Annotated[float, Field(ge=0.05, le=86_400)] = 60.0
    """Seconds between two scans of a bucket for which there is nothing to do: each costs a request
    for 1,000 objects. Any other folder is scanned every `scan_interval`."""
    settle: Annotated[float, Field(ge=0, le=3600)] = 0.3
    """Seconds that a file must stay unchanged after a program closed it on this machine."""
    inotify: bool = True
    """Whether to listen for writes made on this machine, beside scanning."""
    sqs: str | None = None
    """URL of an SQS queue that gets the bucket's events: new videos are seen at once then."""
    suffixes: Annotated[tuple[str, ...], Field(strict=False)] = (
        ".mp4",
        ".mkv",
        ".mov",
        ".webm",
        ".avi",
        ".m4v",
        ".mpg",
        ".mpeg",
        ".ts",
        ".mts",
        ".wmv",
        ".flv",
    )
    """Name endings of videos, in any case. Every other file is left alone."""

    @field_validator("suffixes")
    @classmethod
    def _suffixes_are_those_of_videos(cls, suffixes: tuple[str, ...]) -> tuple[str, ...]:
        for suffix in suffixes:
            if not suffix.startswith(".") or suffix != suffix.lower() or "/" in suffix:
                raise ValueError("Suffixes should be a dot and what follows it, in lower case")
            if suffix in {".", *NOT_VIDEOS}:
                raise ValueError("Suffixes should be those of videos")
        return suffixes


class ClaimSettings(_Section):
    """Who works on what, and for how long a silent worker is believed to live."""

    ttl: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    """Seconds without a beat after which another daemon takes a video over. The same for all
    daemons that share a folder."""
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """How many workers may die on a video before it is recorded as failed."""


class WorkSettings(_Section):
    """How the work is done."""

    videos_in_flight: Annotated[int, Field(ge=1, le=256)] = min(8, len(os.sched_getaffinity(0)))
    """Videos worked on at the same time; each takes about one CPU core."""
    prefetch: Annotated[int, Field(ge=0, le=64)] = 1
    """Videos fetched ahead, so that the next one is there when one is done."""
    device: Literal["auto", "cpu", "cuda", "tensorrt"] = "auto"
    """Where the networks run. `cuda` and `tensorrt` are errors where they cannot be used; `auto`
    takes CUDA if it can, else the CPU."""
    require_gpu: bool = False
    """Whether it is an error if `auto` finds no GPU that can be used."""
    gpus: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(strict=False)] = ()
    """Numbers of the GPUs to use, as CUDA counts them. Default: all that there are."""
    tf32: bool = True
    """Whether GPUs from Ampere on may multiply in TF32: many times faster, with factors rounded to
    10 bits, as in onnxruntime's default. Without it, they come as near to a CPU as float32 can."""
    grace: Annotated[float, Field(ge=0, le=86_400)] = 20.0
    """Seconds that running videos may take to finish after SIGTERM, before they are given back."""
    batch: Annotated[int, Field(ge=1, le=256)] = 16
    """Frames (and at most this many crops) in one run of a network."""


class RecipeSettings(_Section):
    """What is made of each video. A change makes the results of earlier recipes outdated.

    `recipe = "…"` is short for its `pose`.
    """

    pose: Annotated[PoseModel, Field(strict=False)] = PoseModel.MEDIAPIPE
    """The pose model. `dwpose` has to be pulled first: `posewatch models pull dwpose`."""
    card: Annotated[Path | None, Field(strict=False)] = None
    """Of `dwpose`, a card of one's own: other networks of the same families. Its path ends in
    `.json`."""
    mode: Annotated[PoseMode, Field(strict=False)] = PoseMode.STATIC
    """Of `mediapipe`: `static` is what published datasets used; `tracking` is faster and
    smoother."""
    detect: str = "always"
    """Of `dwpose`, in which frames people are looked for: `always`; `every 10` frames; or `auto`,
    where it is needed, which is six times as fast on a CPU. In between, people are followed by
    their keypoints."""
    people: Annotated[int, Field(ge=1, le=32)] = 1
    """Of `dwpose`, how many people a result holds, at most. The first is chosen by `signer`."""
    signer: Annotated[SignerRule, Field(strict=False)] = SignerRule.LARGEST
    """Of `dwpose`, who comes first where several people are: the `largest`, the most `central`, who
    moves hands and face most (`most-motion`), or the `first`, of whom the detector is most sure."""

    precision: Literal["float32", "int16"] = "float32"
    """How coordinates are kept: `int16` in 1/16 of a pixel, which takes about half of the bytes."""
    formats: Annotated[tuple[Literal["npz", "pose"], ...], Field(strict=False)] = ("npz",)
    """Which files are made: `pose` adds a `.pose` file for the library pose-format."""

    @field_validator("formats")
    @classmethod
    def _the_pose_file_is_among_them(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        if "npz" not in formats:
            raise ValueError('Input should have "npz" in it, which the others are made of')
        return formats

    @field_validator("card")
    @classmethod
    def _card_is_a_file(cls, card: Path | None, info: ValidationInfo) -> Path | None:
        if card is not None and card.suffix != ".json":
            raise ValueError("Input should be the path of a card, which ends in .json")
        if card is not None and info.data.get("pose") is not PoseModel.DWPOSE:
            raise ValueError('Input should be left out where recipe.pose is not "dwpose"')
        return card

    @field_validator("detect")
    @classmethod
    def _detect_is_often_enough(cls, detect: str) -> str:
        if not _DETECT.fullmatch(detect):
            raise ValueError("Input should be always, auto, or every N such as every 10, N to 999")
        return detect

    @property
    def detect_every(self) -> int | None:
        """In every how manieth frame people are looked for; None: where it is needed."""
        found = _DETECT.fullmatch(self.detect)
        return None if self.detect == "auto" else int((found and found[1]) or 1)


class DecodeSettings(_Section):
    """How videos are decoded, and limits on what one may ask of this machine."""

    device: Literal["cpu", "nvdec"] = "cpu"
    """What decodes videos. `nvdec`, the video decoder of NVIDIA's GPUs, is an error where it cannot
    be used; the CPU decodes what it does not take. Never tried on a GPU yet."""
    max_pixels: Annotated[int, Field(ge=1, le=MOST)] = 8192 * 8192
    """Pixels in one frame; a larger one is a failure."""
    stall_seconds: Annotated[float, Field(gt=0, le=86_400)] = 120.0
    """Seconds without a frame after which the decoder is stopped."""
    memory_bytes: Annotated[int, Field(ge=256 << 20, le=MOST)] = 4 * GIB
    """Address space that a decoder process may take; with `nvdec`, memory of its own."""


class CacheSettings(_Section):
    """Local copies of the videos that are being worked on."""

    path: Annotated[Path | None, Field(strict=False)] = None
    """Folder of the copies. Default: `posewatch/inputs` in the user's cache directory."""
    limit_bytes: Annotated[int, Field(ge=1 << 20, le=MOST)] = 20 * GIB
    """What the copies of all daemons of this user on this machine may take together."""


class HttpSettings(_Section):
    """Metrics and health over HTTP."""

    enabled: bool = True
    """Whether to serve them at all."""
    host: str = "127.0.0.1"
    """Address to listen on. Nothing is asked of callers, so keep it on loopback."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 9477
    """Port to listen on; 0 takes any free one and logs it."""
    page: Literal["auto", "always", "never"] = "auto"
    """Whether the status page, which names videos, is shown to whoever asks. `auto`: if `host` is
    on loopback."""


class IdleSettings(_Section):
    """Stopping the machine when there is nothing to do."""

    action: Literal["none", "command", "poweroff", "ec2-stop", "ec2-terminate"] = "none"
    """What is done when there has been nothing to do for `minutes`: `command` is run, the machine
    is switched off, or stopped or terminated by EC2's API."""
    minutes: Annotated[float, Field(gt=0, le=10_080)] = 15.0
    """Minutes without anything to do for this machine. What others work on does not count."""
    grace: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """Seconds between the warning and the action, in which a new video calls it off."""
    command: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Program and arguments; no shell. It is run once, and again only when there was work again,
    or when it failed."""
    stay: Annotated[Path, Field(strict=False)] = Path("/run/posewatch/stay")
    """While this file is there, the machine stays on."""

    @model_validator(mode="after")
    def _command_is_there(self) -> Self:
        if self.action == "command" and not self.command:
            raise ValueError('With action = "command", command should be a program')
        return self


class LogSettings(_Section):
    """What is told, and how."""

    style: Literal["auto", "console", "json", "journal"] = "auto"
    """`auto`: lines for people on a terminal, journal fields under systemd, JSON elsewhere."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important messages that are still told."""


_SHORT: Mapping[str, str] = MappingProxyType({"folder": "path", "recipe": "pose"})
"""Sections that may be a text instead of a table, and the setting that it stands for."""


class Settings(_Section):
    """All settings."""

    folder: FolderSettings = FolderSettings()
    watch: WatchSettings = WatchSettings()
    claims: ClaimSettings = ClaimSettings()
    work: WorkSettings = WorkSettings()
    recipe: RecipeSettings = RecipeSettings()
    decode: DecodeSettings = DecodeSettings()
    cache: CacheSettings = CacheSettings()
    http: HttpSettings = HttpSettings()
    idle: IdleSettings = IdleSettings()
    log: LogSettings = LogSettings()

    @field_validator(*_SHORT, mode="before")
    @classmethod
    def _sections_may_be_short(cls, value: object, info: ValidationInfo) -> object:
        name = info.field_name or ""
        return {_SHORT[name]: value} if isinstance(value, str) else value


def load(
    path: Path | None, overrides: Mapping[str, Mapping[str, object]] | None = None
) -> Settings:
    """Read the settings.

    Args:
        path: the TOML file, or None for the defaults.
        overrides: from the command line, section by section; they win over the file.

    Raises:
        SettingsError: the file cannot be read, is not TOML, or a setting is unknown or wrong;
            the message names the file and the setting.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SettingsError(
                f"cannot read the settings file {path}: {error.strerror}"
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not valid TOML: {error}") from error
    for section, given in (overrides or {}).items():
        table = values.setdefault(section, {})
        if isinstance(table, str) and section in _SHORT:
            table = values[section] = {_SHORT[section]: table}
        if isinstance(table, dict):
            table.update(given)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(
            _explain(error, path), hint="docs/settings.md lists them all"
        ) from error


_IN_TOML: Mapping[str, str] = MappingProxyType(
    {
        "model_type": "Input should be a table",
        "path_type": "Input should be a path",
        "tuple_type": "Input should be a list",
    }
)
"""What pydantic says in the words of Python."""


def _explain(error: ValidationError, path: Path | None) -> str:
    where = f"in {path}: " if path else ""
    faults = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"]) or "settings"
        if item["type"] == "extra_forbidden":
            faults.append(f"there is no setting {name}")
        else:
            told = _IN_TOML.get(item["type"], item["msg"].removeprefix("Value error, "))
            faults.append(f"{name}: {told}, not {item['input']!r}")
    return where + "; ".join(faults)


def user_cache(*parts: str, environ: Mapping[str, str]) -> Path:
    """A folder below the user's cache directory (XDG base directory specification).

    Falls back to `/var/tmp` for a user without a home, such as a system service.
    """
    base = Path(environ.get("XDG_CACHE_HOME") or ".")
    if not base.is_absolute():  # the specification: a relative one is to be ignored
        base = Path(environ.get("HOME") or ".", ".cache")
    if not base.is_absolute():
        base = Path("/var/tmp")  # noqa: S108 -- what is made below it is private to the user
    return base.joinpath("posewatch", *parts)
