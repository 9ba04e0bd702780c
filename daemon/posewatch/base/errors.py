"""The errors that posewatch raises on purpose.

Each message says what is wrong and where; `hint` says what to do about it. Anything else that is
raised is a bug, and is logged with its traceback.
"""

from __future__ import annotations

from enum import StrEnum


class PosewatchError(Exception):
    """Base of all of them.

    Args:
        message: what is wrong and where, in plain words, without a full stop.
        hint: what the reader can do about it; may be empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class SettingsError(PosewatchError):
    """A setting or an argument is wrong. The process ends with exit status 2."""


class ModelError(PosewatchError):
    """A model is missing, damaged, or could not be pulled or loaded."""


class Fault(StrEnum):
    """Why an input cannot be worked on: the `code` of a failure, and a metric label."""

    EMPTY = "empty"  # zero bytes
    NOT_A_FILE = "not-a-file"  # a directory, a FIFO, a device
    DENIED = "denied"  # no permission to read it
    NOT_A_VIDEO = "not-a-video"  # no container that FFmpeg knows
    NO_VIDEO_STREAM = "no-video-stream"  # audio or subtitles only
    NO_FRAMES = "no-frames"  # a video stream of which no frame could be decoded
    TRUNCATED = "truncated"  # ends before its container says that it does
    DAMAGED = "damaged"  # some frame could not be decoded
    TOO_LARGE = "too-large"  # more pixels or bytes than the settings allow
    CRASHED = "crashed"  # killed the decoder or the worker, again and again
    STALLED = "stalled"  # the decoder made no progress
    OVERFLOW = "overflow"  # a network gave numbers for it that mean nothing
    NAME_TAKEN = "name-taken"  # another video, or a foreign file, owns the result's name
    NAME_TOO_LONG = "name-too-long"  # the names of results would be longer than a name may be


class InputError(PosewatchError):
    """The input is at fault: trying again without changing it cannot help.

    It is recorded beside the input as its failure.

    Args:
        fault: the kind of failure.
        message: as in `PosewatchError`.
        hint: as in `PosewatchError`.
        readable_frames: how many frames could be decoded before the fault, where that is known.
    """

    def __init__(
        self, fault: Fault, message: str, *, hint: str = "", readable_frames: int | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.fault = fault
        self.readable_frames = readable_frames


class DecoderCrashedError(PosewatchError):
    """The decoder process died. The same input may work again, on another try."""


class HardwareFailedError(PosewatchError):
    """A GPU does not decode a video, or failed while it did. Only the CPU may blame the video."""


class HardwareDeclinedError(HardwareFailedError):
    """The video is none for a GPU, with which nothing is wrong."""


class StorageError(PosewatchError):
    """Something about the watched folder. The subclasses say what; all leave the input alone."""


class MissingError(StorageError):
    """There is no such file (any more)."""


class ExistsError(StorageError):
    """An exclusive creation found a file of that name."""


class ChangedError(StorageError):
    """The file is not the version that was expected."""


class FencedError(StorageError):
    """A newer attempt has taken this job over; this one can publish nothing any more."""


class FullError(StorageError):
    """No space, or no quota, is left."""


class ReadOnlyError(StorageError):
    """The folder cannot be written to at all."""


class DeniedError(StorageError):
    """No permission for this file or folder."""


class UnmountedError(StorageError):
    """The folder is not the one that was there at the start: unmounted, or a dead mount."""


class UnsupportedError(StorageError):
    """The storage cannot do what sharing a folder safely needs."""


class UnavailableError(StorageError):
    """Any other failure of the storage; trying again later may help."""
