"""What the files beside an input are called.

For `talks/0042.mp4`: the receipt `talks/0042.posewatch.json` and results such as
`talks/0042.pose-mediapipe.npz`, so that WebDataset groups them all by `0042`.
"""

from __future__ import annotations

import os

from posewatch.base.errors import Fault, InputError

RECEIPT_SUFFIX = ".posewatch.json"

REFUSAL_SUFFIX = ".posewatch-refused.json"
"""Not that of a receipt, so that no other input's receipt can have the name of a refusal: with
`a.mp4.posewatch.json`, `a.mp4` and `a.mp4.mkv` would take it from each other for ever."""

LONGEST = 255 - len(REFUSAL_SUFFIX)
"""Bytes in the file name of a video. Linux file systems take names of 255 bytes (`NAME_MAX`), and
the longest of those that are written beside it has this suffix."""


def split(key: str) -> tuple[str, str]:
    """The folder of a key (with its trailing `/`, or empty) and the file name."""
    folder, slash, name = key.rpartition("/")
    return folder + slash, name


def stem(key: str) -> str:
    """The key without the last suffix of its file name."""
    base, _, suffix = key.rpartition(".")
    return key if "/" in suffix or not base or base.endswith("/") else base


def is_input(key: str, suffixes: tuple[str, ...]) -> bool:
    """Whether the name is that of a video.

    Programs that copy mark a file that is not whole by a leading dot or by one more suffix
    (`.part`, `.filepart`, `.partial`, `.tmp`, `.1a2b3c4d`): neither is the name of a video. Some of
    them copy to a folder with a leading dot (`.~tmp~`), and desktops keep their trash in one. Nor
    are keys of a bucket that no scan shows as files (`a//b.mp4`), though events tell of them.
    """
    path = f"/{key}"
    odd = "/." in path or "//" in path or "\0" in path
    return not odd and key.lower().endswith(suffixes) and stem(key) != key


def too_long(key: str) -> bool:
    """Whether the name leaves no room for those of the files beside it."""
    # At most four bytes for each character: few names need to be counted.
    return len(key) > LONGEST // 4 and len(os.fsencode(split(key)[1])) > LONGEST


def too_long_error(key: str) -> InputError:
    """What to say of a video with such a name."""
    size = len(os.fsencode(split(key)[1]))
    return InputError(
        Fault.NAME_TOO_LONG,
        f"its name has {size} bytes, which leaves no room for the names of its results",
        hint=f"Give it a shorter name, of {LONGEST} bytes at most",
    )


def receipt_key(key: str) -> str:
    """The receipt of an input."""
    return stem(key) + RECEIPT_SUFFIX


def refusal_key(key: str) -> str:
    """Where it is told that another input has the receipt's name (`0042.mp4` and `0042.mov`)."""
    return key + REFUSAL_SUFFIX


def pose_key(key: str, model: str) -> str:
    """The pose file of an input."""
    return f"{stem(key)}.pose-{model}.npz"


def is_receipt(key: str) -> bool:
    """Whether the name is that of a receipt, be it a refusal."""
    return key.endswith((RECEIPT_SUFFIX, REFUSAL_SUFFIX))


def is_kept(key: str) -> bool:
    """Whether the name is that of a receipt or of a result."""
    _, name = split(key)
    return is_receipt(name) or (".pose-" in name and name.endswith((".npz", ".pose")))
