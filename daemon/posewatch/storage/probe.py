"""Whether a folder really does what sharing it safely needs: asked once at start, not believed."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from posewatch.base.errors import (
    ChangedError,
    ExistsError,
    FencedError,
    SettingsError,
    StorageError,
    UnsupportedError,
)
from posewatch.storage.contract import HIDDEN_PREFIX, staging_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from posewatch.storage.backing import Backing
    from posewatch.storage.contract import Storage

HINT: Final = (
    "posewatch needs a local file system, NFS, or a bucket, to which it goes directly: "
    'run "posewatch run s3://BUCKET/PREFIX", or set [folder] bucket if this folder shows one'
)


def probe(storage: Storage, backing: Backing | None = None) -> None:
    """Try out what claims and publishing rest on, with hidden files that are removed again.

    Args:
        storage: the watched folder.
        backing: what backs it, where that is known.

    Raises:
        SettingsError: the folder cannot be shared safely; says why.
        StorageError: there is no telling now; to be tried again.
    """
    if backing is not None and "nocto" in backing.options:
        raise SettingsError(
            f"{backing.mount_point} is mounted with the option nocto, which lets daemons miss each "
            "other's claims",
            hint="Mount it without that option",
        )
    lock = f"{HIDDEN_PREFIX}probe-{secrets.token_hex(8)}"
    try:
        _claim(storage, lock)
        _publish(storage, lock)
    except UnsupportedError as error:
        raise SettingsError(
            f"the folder cannot be shared safely: {error.message}", hint=HINT
        ) from error
    finally:
        for key in (lock, f"{lock}-result", staging_key(lock)):
            with suppress(StorageError):
                storage.sweep(key)


def _claim(storage: Storage, lock: str) -> None:
    one, two = (secrets.token_bytes(16) for _ in range(2))
    storage.create(lock, one)
    _refuses(ExistsError, lambda: storage.create(lock, two), "the same file was created twice")
    storage.overwrite(lock, one, two)
    _demand(storage.read(lock) == two, "a small file does not keep what is written to it")
    _refuses(
        ChangedError,
        lambda: storage.overwrite(lock, one, two),
        "a file was overwritten that was not what it was expected to be",
    )


def _publish(storage: Storage, lock: str) -> None:
    result, (first, second) = f"{lock}-result", (secrets.token_hex(16) for _ in range(2))
    area, rival = storage.stage(first, lock), storage.stage(second, lock)
    area.add(result, b"one")
    rival.add(result, b"two")
    version = area.publish(result, None)
    _refuses(ExistsError, lambda: rival.publish(result, None), "a result was published twice")
    current = rival.publish(result, version)
    _demand(storage.read(result) == b"two", "a result was not replaced")
    area.add(result, b"three")
    storage.fence([first, second], lock)
    _refuses(FencedError, lambda: area.publish(result, current), "a fenced result was published")
    _refuses(FencedError, lambda: storage.stage(first, lock), "a fenced attempt could go on")


def _refuses(kind: type[StorageError], operation: Callable[[], object], else_it: str) -> None:
    try:
        operation()
    except kind:
        return
    raise UnsupportedError(else_it)


def _demand(condition: bool, else_it: str) -> None:  # noqa: FBT001 -- it is all there is to say
    if not condition:
        raise UnsupportedError(else_it)
