"""What each error number of the operating system means for a watched folder."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from posewatch.base.errors import (
    DeniedError,
    ExistsError,
    FullError,
    MissingError,
    ReadOnlyError,
    StorageError,
    UnavailableError,
    UnmountedError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MEANING: Final[Mapping[int, type[StorageError]]] = {
    errno.ENOENT: MissingError,
    errno.ENOTDIR: MissingError,  # a folder on the way became a file
    errno.ELOOP: MissingError,  # links that lead to each other lead to no file
    errno.EEXIST: ExistsError,
    errno.ENOTEMPTY: ExistsError,
    errno.ENOSPC: FullError,
    errno.EDQUOT: FullError,
    errno.EFBIG: FullError,
    errno.EROFS: ReadOnlyError,
    errno.EACCES: DeniedError,
    errno.EPERM: DeniedError,
    errno.EISDIR: DeniedError,  # somebody's directory stands where our file should
    errno.ENXIO: DeniedError,  # somebody's FIFO or socket
    errno.ENAMETOOLONG: DeniedError,  # no room for `.lock` after the input's name
    errno.EILSEQ: DeniedError,  # a file system that takes UTF-8 names only
    errno.EOPNOTSUPP: UnsupportedError,
    errno.ENOSYS: UnsupportedError,
    errno.EXDEV: UnsupportedError,
    errno.EMLINK: UnsupportedError,
    # A dead FUSE process, a server that forgot the export, a device that was pulled out
    errno.ENOTCONN: UnmountedError,
    errno.ECONNABORTED: UnmountedError,
    errno.ESHUTDOWN: UnmountedError,
    errno.ESTALE: UnmountedError,
    errno.ENODEV: UnmountedError,
}
"""Every other number is `UnavailableError`: EIO, ETIMEDOUT, EBUSY, EMFILE, the unknown ones."""

HINTS: Final[Mapping[int, str]] = {
    errno.ENOSPC: "Make room in the folder; the work goes on by itself",
    errno.EDQUOT: "Make room in the folder, or raise the quota; the work goes on by itself",
    errno.EROFS: "Mount the folder writable, or allow writing in the service (ReadWritePaths=); "
    "the work goes on by itself",
    errno.EACCES: "Give the user that posewatch runs as the permission to read and write there",
    errno.ENAMETOOLONG: "Give the video a shorter name: posewatch writes files with longer ones "
    "beside it",
}


def translate(error: OSError, doing: str) -> StorageError:
    """The error of ours for one of the operating system.

    Args:
        error: what was raised.
        doing: what was tried and on what, to follow "could not".
    """
    number = error.errno or 0
    kind = MEANING.get(number, UnavailableError)
    reason = os.strerror(number) if number else str(error)
    return kind(f"could not {doing}: {reason}", hint=HINTS.get(number, ""))
