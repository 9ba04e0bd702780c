"""Servers that keep what sharing rests on, and servers that only seem to."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import ManualClock, SystemClock
from posewatch.base.errors import (
    ChangedError,
    ReadOnlyError,
    SettingsError,
    StorageError,
    UnavailableError,
    UnmountedError,
)
from posewatch.storage.faulty import HookedObjects, Operation
from posewatch.storage.s3_memory import MemoryObjects
from posewatch.storage.s3_objects import Page
from posewatch.storage.s3_probe import Promises, check_safe, probe
from posewatch.storage.s3_sure import MisconfiguredError
from s3.proxy import CONDITIONS, Proxy
from s3.servers import Server

if TYPE_CHECKING:
    from posewatch.storage.s3_objects import Body

SAFE = Promises(unsafe="", md5=True)


class Bucket(MemoryObjects):
    """A bucket with some faults."""

    quoted = True

    def __init__(
        self,
        *,
        creates_twice: bool = False,
        replaces_anything: bool = False,
        wants_quotes: bool = True,
        never_replaces: bool = False,
        lists_late: bool = False,
        encrypts: bool = False,
    ) -> None:
        super().__init__()
        self._creates_twice = creates_twice
        self._replaces_anything = replaces_anything
        self._wants_quotes = wants_quotes
        self._never_replaces = never_replaces
        self._lists_late = lists_late
        self._encrypts = encrypts

    def put(self, key: str, body: Body, expected: str | None) -> str:
        there = self.head(key)
        if expected is not None and (self._never_replaces or self.quoted != self._wants_quotes):
            raise ChangedError("412")
        if (expected is None and self._creates_twice) or (
            expected is not None and self._replaces_anything
        ):
            expected = there.etag if there is not None else None
        return super().put(key, body, expected)

    def write(self, key: str, data: bytes, mark: str = "") -> str:
        secret = hashlib.sha1(data, usedforsecurity=False).digest() if self._encrypts else b""
        return super().write(key, secret or data, mark)

    def list(self, prefix: str, page: str | None = None) -> Page:
        return Page((), None) if self._lists_late else super().list(prefix, page)


def test_a_good_bucket_is_left_as_it_was() -> None:
    bucket, sent = Bucket(), list[str]()

    def hook(operation: Operation) -> None:
        if not operation.after:
            sent.append(operation.name)

    store = HookedObjects(bucket, hook)
    store.quoted = True  # type: ignore[attr-defined]  # what HookedObjects does without
    assert probe(store, "in/", ManualClock()) == SAFE  # type: ignore[arg-type]
    assert bucket.list("").objects == []
    assert len(sent) == 8
    check_safe(SAFE, "s3://videos")


def test_a_bucket_that_wants_no_quotes() -> None:
    bucket = Bucket(wants_quotes=False)
    assert probe(bucket, "", ManualClock()) == SAFE
    assert not bucket.quoted


def test_a_bucket_whose_etags_cannot_be_told_before() -> None:
    assert probe(Bucket(encrypts=True), "", ManualClock()) == Promises(unsafe="", md5=False)


@pytest.mark.parametrize(
    ("bucket", "why"),
    [
        (Bucket(creates_twice=True), "the server ignores If-None-Match"),
        (Bucket(replaces_anything=True), "the server ignores If-Match"),
        (Bucket(never_replaces=True), "the server refuses If-Match"),
        (Bucket(lists_late=True), "a listing does not show"),
    ],
)
def test_a_bucket_that_breaks_a_promise_is_unsafe(bucket: Bucket, why: str) -> None:
    promises = probe(bucket, "", ManualClock())
    assert why in promises.unsafe
    with pytest.raises(SettingsError, match=why) as caught:
        check_safe(promises, "s3://videos")
    assert "--single-writer" in caught.value.hint
    assert "--share" in caught.value.hint


@pytest.mark.parametrize(
    "error", [MisconfiguredError("the wrong region"), UnmountedError("none"), ReadOnlyError("no")]
)
def test_what_does_not_pass_is_a_setting(error: StorageError) -> None:
    def fail(_operation: Operation) -> None:
        raise error

    with pytest.raises(SettingsError, match=error.message):
        probe(HookedObjects(MemoryObjects(), fail), "", ManualClock())  # type: ignore[arg-type]


def test_what_may_pass_is_tried_again_later() -> None:
    def fail(_operation: Operation) -> None:
        raise UnavailableError("no route")

    with pytest.raises(UnavailableError):
        probe(HookedObjects(MemoryObjects(), fail), "", ManualClock())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["moto", "ceph"])
def test_real_servers_can_be_shared(request: pytest.FixtureRequest, name: str) -> None:
    server: Server = request.getfixturevalue(f"{name}_server")
    client = server.client(server.bucket())
    client.quoted = True
    assert probe(client, "in/", SystemClock()) == SAFE
    assert client.quoted == (name == "moto")
    assert client.list("").objects == []


def test_a_server_that_ignores_the_condition_is_found_out(moto_server: Server) -> None:
    bucket = moto_server.bucket()
    with Proxy(moto_server.endpoint, strip=CONDITIONS) as proxy:
        client = Server("a deaf one", proxy.door("all")).client(bucket)
        # HEAD is not needed: where nothing is refused, nobody looks again.
        assert "ignores If-None-Match" in probe(client, "", SystemClock()).unsafe
