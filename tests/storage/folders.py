"""One watched folder of each kind, and the hands of a user who is no posewatch."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from posewatch.base.clock import ManualClock
from posewatch.formats import names
from posewatch.storage.contract import Version, staging_key
from posewatch.storage.faulty import FaultyStorage, HookedFiles, HookedObjects
from posewatch.storage.memory import MemoryStorage
from posewatch.storage.posix import PosixStorage
from posewatch.storage.s3 import S3Storage
from posewatch.storage.s3_fence import is_bare
from posewatch.storage.s3_memory import MemoryObjects
from posewatch.storage.s3_objects import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from posewatch.storage.contract import Storage
    from posewatch.storage.s3_client import S3Client
    from posewatch.storage.s3_objects import Body, Content, Found, ObjectStore
    from s3.servers import Server

KINDS = ("posix", "memory", "faulty-posix", "faulty-memory", "s3", "faulty-s3")

SERVERS = ("moto", "ceph")
"""Real S3 servers, see `s3.servers`."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of some kind.

    Attributes:
        storage: what is tested.
        put: writes a file as some other program does.
        delete: removes one as some other program does.
        bucket: whether it is one.
        never: characters that no name in it can have.
    """

    storage: Storage
    put: Callable[[str, bytes], Version]
    delete: Callable[[str], None]
    bucket: bool = False
    never: str = ""

    def listed(self) -> set[str]:
        """What is there, without what is left in a bucket of attempts that did not commit."""
        keys = {entry.key for entry in self.storage.scan(lambda _key: False)}
        receipts = {key for key in keys if names.is_receipt(key)}
        return keys - {key for key in receipts if is_bare(self.storage.read(key))}

    def shelf(self, key: str) -> set[str]:
        """What a listing shows of open staging areas beside an input."""
        return set() if self.bucket else {staging_key(key)}


def write_by_hand(root: Path, key: str, data: bytes) -> Version:
    """Write a local file as a careful program does."""
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.parent / ".hand"
    fresh.write_bytes(data)
    fresh.rename(path)
    found = path.stat()
    return Version(found.st_size, str(found.st_mtime_ns))


def make_folder(kind: str, root: Path) -> Folder:
    base = kind.removeprefix("faulty-")
    faulty = base != kind
    if base == "memory":
        memory = MemoryStorage()
        storage: Storage = FaultyStorage(memory) if faulty else memory
        return Folder(storage, memory.put, memory.delete)
    if base == "s3":
        objects = MemoryObjects()
        return bucket_folder(HookedObjects(objects) if faulty else objects, "", objects)
    posix = PosixStorage(root, HookedFiles() if faulty else None)
    storage = FaultyStorage(posix) if faulty else posix
    return Folder(
        storage,
        put=partial(write_by_hand, root),
        delete=lambda key: (root / key).unlink(missing_ok=True),
    )


class Hand(Protocol):
    """Another program that uses a bucket."""

    def write(self, key: str, data: bytes) -> str: ...
    def delete(self, key: str) -> None: ...


class ServerHand:
    """See `Hand`."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    def write(self, key: str, data: bytes) -> str:
        bucket = self._client.place.bucket
        return self._client._client.put_object(Bucket=bucket, Key=key, Body=data)["ETag"].strip('"')

    def delete(self, key: str) -> None:
        self._client.delete(key)


class ServerBucket(HookedObjects):
    """A part of a real bucket, that looks like a whole one of its own, with a hand in it."""

    def __init__(self, client: S3Client) -> None:
        super().__init__(client)
        self._prefix = f"{secrets.token_hex(8)}/"
        self._hand = ServerHand(client)

    def put(self, key: str, body: Body, expected: str | None) -> str:
        return super().put(self._prefix + key, body, expected)

    def get(self, key: str, limit: int) -> Content | None:
        return super().get(self._prefix + key, limit)

    def pieces(self, key: str, etag: str, first: int, count: int) -> Iterator[bytes]:
        return super().pieces(self._prefix + key, etag, first, count)

    def head(self, key: str) -> Found | None:
        return super().head(self._prefix + key)

    def list(self, prefix: str, page: str | None = None) -> Page:
        found = super().list(self._prefix + prefix, page)
        begin = len(self._prefix)
        return Page([o._replace(key=o.key[begin:]) for o in found.objects], found.following)

    def delete(self, key: str) -> None:
        super().delete(self._prefix + key)

    def write(self, key: str, data: bytes) -> str:
        return self._hand.write(self._prefix + key, data)


def server_folder(server: Server) -> Folder:
    """A folder of its own in a bucket of a real server."""
    made = bucket_folder(server.shared, f"{secrets.token_hex(8)}/", ServerHand(server.shared))
    # moto finds no way for a path of two lines.
    return replace(made, never=made.never + "\n") if server.name == "moto" else made


def bucket_folder(store: ObjectStore, prefix: str, hand: Hand) -> Folder:
    """A folder in a bucket."""
    storage = S3Storage(store, prefix, ManualClock(), names.receipt_key)
    return Folder(
        storage,
        lambda key, data: Version(len(data), hand.write(prefix + key, data)),
        lambda key: hand.delete(prefix + key),
        bucket=True,
        never="\udcff",
    )
