"""Whether a file is the one that a card names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from posewatch.base.digest import sha256_of
from posewatch.base.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path


def check_file(path: Path, size: int, sha256: str, *, hint: str) -> None:
    """Compare a file with what a card says of it.

    Args:
        path: of the file.
        size: expected, in bytes.
        sha256: expected, in hex.
        hint: what to do if it is another file.

    Raises:
        ModelError: it cannot be read, or is another file.
    """
    try:
        found = path.stat().st_size
        if found != size:
            raise ModelError(f"{path} has {found} bytes; expected {size}", hint=hint)
        digest = sha256_of(path)
    except OSError as error:
        raise ModelError(
            f"Cannot read {path}: {error.strerror}", hint="Is it the right file?"
        ) from error
    if digest != sha256:
        raise ModelError(f"{path} has sha256 {digest}; expected {sha256}", hint=hint)
