"""One watched folder of each kind, and the hands of a user who is no posewatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from posewatch.storage.contract import Version
from posewatch.storage.faulty import FaultyStorage, HookedFiles
from posewatch.storage.memory import MemoryStorage
from posewatch.storage.posix import PosixStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from posewatch.storage.contract import Storage

KINDS = ("posix", "memory", "faulty-posix", "faulty-memory")


@dataclass(frozen=True, slots=True)
class Folder:
    storage: Storage
    put: Callable[[str, bytes], Version]
    delete: Callable[[str], None]

    def listed(self) -> set[str]:
        return {entry.key for entry in self.storage.scan(lambda _key: False)}


def make_folder(kind: str, root: Path) -> Folder:
    base = kind.removeprefix("faulty-")
    faulty = base != kind
    if base == "memory":
        memory = MemoryStorage()
        storage: Storage = FaultyStorage(memory) if faulty else memory
        return Folder(storage, memory.put, memory.delete)
    posix = PosixStorage(root, HookedFiles() if faulty else None)
    storage = FaultyStorage(posix) if faulty else posix

    def put(key: str, data: bytes) -> Version:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.parent / ".hand"
        fresh.write_bytes(data)
        fresh.rename(path)
        found = path.stat()
        return Version(found.st_size, str(found.st_mtime_ns))

    return Folder(storage, put, lambda key: (root / key).unlink(missing_ok=True))
