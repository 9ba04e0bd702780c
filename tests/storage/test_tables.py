"""The table of error numbers, what backs a path, and the probe."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import (
    SettingsError,
    StorageError,
    UnavailableError,
)
from posewatch.storage.backing import Backing, backing_of, parse
from posewatch.storage.contract import Storage, Version, is_hidden, staging_key
from posewatch.storage.errnos import HINTS, MEANING, translate
from posewatch.storage.faulty import FaultyStorage, HookedFiles, Operation
from posewatch.storage.memory import MemoryStorage
from posewatch.storage.posix import PosixStorage
from posewatch.storage.probe import probe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from posewatch.storage.contract import Sighting, Staging

MOUNTINFO = r"""21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
22 21 0:5 / /proc rw shared:2 - proc proc rw
40 21 0:40 / /mnt/two\040words rw - nfs4 server:/a\040b rw,vers=4.2,nocto,hard
41 21 0:41 /sub /mnt/videos rw - fuse.s3fs s3fs rw,user_id=0
42 41 0:42 / /mnt/videos rw - nfs server:/videos rw
43 21 0:43 / /mnt/videos-too rw - cifs //server/x rw
a broken line
"""


@pytest.mark.parametrize("number", sorted(errno.errorcode))
def test_every_error_number_has_a_meaning(number: int) -> None:
    error = translate(OSError(number, os.strerror(number)), "read 'x'")
    assert isinstance(error, StorageError)
    assert os.strerror(number) in str(error)
    assert type(error) is MEANING.get(number, UnavailableError)


def test_hints_are_for_errors_that_have_a_meaning() -> None:
    assert HINTS.keys() <= MEANING.keys()


def test_an_error_without_a_number() -> None:
    error = translate(OSError("odd"), "read 'x'")
    assert isinstance(error, UnavailableError)
    assert error.message == "could not read 'x': odd"


@pytest.mark.parametrize(
    ("path", "fstype", "network"),
    [
        ("/home/me", "ext4", False),
        ("/mnt/two words/x", "nfs4", True),
        ("/mnt/videos", "nfs", True),
        ("/mnt/videos/x/y", "nfs", True),
        ("/mnt/videos-too", "cifs", True),
        ("/mnt/videos-three", "ext4", False),
    ],
)
def test_the_mount_that_backs_a_path(path: str, fstype: str, network: bool) -> None:  # noqa: FBT001 -- a table
    backing = parse(MOUNTINFO, path)
    assert (backing.fstype, backing.network) == (fstype, network)


def test_what_is_known_of_a_mount() -> None:
    backing = parse(MOUNTINFO, "/mnt/two words")
    assert backing.source == "server:/a b"
    assert "nocto" in backing.options
    assert parse("", "/x") == Backing()


def test_this_machine_says_what_backs_a_path(tmp_path: Path) -> None:
    assert backing_of(tmp_path, tmp_path / "no-such-file") == Backing()
    (tmp_path / "mountinfo").write_text(MOUNTINFO.replace("/mnt/two\\040words", str(tmp_path)))
    assert backing_of(tmp_path, tmp_path / "mountinfo").fstype == "nfs4"


def test_the_staging_directory_is_hidden_and_beside_the_input() -> None:
    key = staging_key("a/b/x.mp4")
    assert key.startswith("a/b/.posewatch-")
    assert is_hidden(key)
    assert not is_hidden(".posewatch-x/y")
    assert staging_key("x.mp4") == key.removeprefix("a/b/")
    assert staging_key("b\udcff.mp4") != staging_key("b\udcfe.mp4")


# --- the probe


class Sloppy(MemoryStorage):
    """A storage that breaks one promise."""

    def __init__(self, flaw: str) -> None:
        super().__init__()
        self.flaw = flaw

    def create(self, key: str, data: bytes) -> None:
        if self.flaw == "create":
            self.put(key, data)
        else:
            super().create(key, data)

    def overwrite(self, key: str, old: bytes, new: bytes) -> None:
        if self.flaw == "overwrite":
            self.put(key, new)
        elif self.flaw != "lost":
            super().overwrite(key, old, new)

    def fence(self, tokens: Iterable[str], beside: str) -> None:
        if self.flaw == "open-areas":
            shelf = self._folder.shelves[staging_key(beside)]
            for token in tokens:
                shelf.setdefault(token, None)
        elif self.flaw != "fence":
            super().fence(tokens, beside)

    def stage(  # type: ignore[override]
        self, token: str, beside: str, sighting: Sighting | None = None
    ) -> Staging:
        area = super().stage(token, beside, sighting)
        return Rash(self, area, self.flaw)


class Rash:
    def __init__(self, storage: MemoryStorage, inner: Staging, flaw: str) -> None:
        self.storage, self.inner, self.flaw = storage, inner, flaw

    def add(self, key: str, source: Path | bytes) -> Version:
        return self.inner.add(key, source)

    def publish(self, key: str, expected: Version | None) -> Version:
        if self.flaw == "publish" and expected is None:
            self.storage.delete(key)
        if self.flaw == "replace" and expected is not None:
            return expected
        return self.inner.publish(key, expected)

    def discard(self) -> None:
        self.inner.discard()


@pytest.mark.parametrize(
    "flaw", ["create", "overwrite", "lost", "publish", "replace", "fence", "open-areas"]
)
def test_the_probe_refuses_a_storage_that_breaks_a_promise(flaw: str) -> None:
    storage = Sloppy(flaw)
    with pytest.raises(SettingsError, match="cannot be shared safely"):
        probe(storage)
    assert list(storage.scan(lambda _key: False)) == []


def test_the_probe_names_a_mount_without_links(tmp_path: Path) -> None:
    def hook(operation: Operation) -> None:
        if operation.name == "link":
            raise OSError(errno.EPERM, "Operation not permitted")

    with pytest.raises(SettingsError, match=r"no link\(2\).*s3://BUCKET"):
        probe(PosixStorage(tmp_path, HookedFiles(hook)))
    assert list(tmp_path.iterdir()) == []


def test_the_probe_refuses_a_mount_that_remembers_too_much() -> None:
    backing = parse(MOUNTINFO, "/mnt/two words")
    with pytest.raises(SettingsError, match="nocto"):
        probe(MemoryStorage(), backing)
    probe(MemoryStorage(), replace(backing, options=frozenset({"rw"})))


def test_trouble_while_probing_is_no_verdict() -> None:
    def hook(operation: Operation) -> None:
        if operation.name == "publish":
            raise UnavailableError("later")

    inner = MemoryStorage()
    with pytest.raises(UnavailableError):
        probe(FaultyStorage(inner, hook))
    assert list(inner.scan(lambda _key: False)) == []


# --- the hooks


def test_every_method_has_a_hook_before_and_after(tmp_path: Path) -> None:
    seen: list[Operation] = []
    storage: Storage = FaultyStorage(MemoryStorage(), seen.append)
    storage.create("x", b"1")
    entry = storage.stat("x")
    assert entry is not None
    assert entry.version is not None
    storage.fetch("x", entry.version, tmp_path / "x", lambda _count: None)
    storage.look("x")
    storage.overwrite("x", b"1", b"2")
    storage.remove("x", storage.read("x"))
    area = storage.stage("t1", "x")
    area.add("y", b"1")
    area.publish("y", None)
    area.discard()
    storage.fence([], "x")
    storage.sweep(".posewatch-x")
    list(storage.scan(lambda _key: False))
    kinds = (Storage, type(area))
    public = {name: it for kind in kinds for name, it in vars(kind).items() if name[0] != "_"}
    methods = {name for name, it in public.items() if callable(it)}
    assert {operation.name for operation in seen if not operation.after} == methods
    assert {operation.name for operation in seen if operation.after} == methods


def test_an_error_after_an_operation_is_a_lost_answer() -> None:
    def hook(operation: Operation) -> None:
        if operation.after and operation.name == "create":
            raise UnavailableError("the answer got lost")

    storage = FaultyStorage(MemoryStorage(), hook)
    with pytest.raises(UnavailableError):
        storage.create("x", b"1")
    assert storage.read("x") == b"1"


def test_every_file_operation_has_a_hook() -> None:
    from posewatch.storage.files import Files  # noqa: PLC0415 -- only this test needs it

    assert {n for n in vars(Files) if n[0] != "_"} == {n for n in vars(HookedFiles) if n[0] != "_"}
