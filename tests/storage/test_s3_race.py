"""Real clients, at the same time, on real servers."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from posewatch.base.clock import SystemClock
from posewatch.base.errors import ExistsError
from posewatch.formats import names
from posewatch.storage.s3 import S3Storage
from posewatch.storage.s3_memory import MemoryObjects

if TYPE_CHECKING:
    from posewatch.storage.s3_objects import ObjectStore
    from s3.servers import Server

WRITERS = 16


def race(store: ObjectStore, keys: int) -> Counter[str]:
    """How many of the writers believe that they have each key."""
    start, won = threading.Barrier(WRITERS), list[str]()

    def compete(number: int) -> None:
        storage = S3Storage(store, "race/", SystemClock(), names.receipt_key)
        start.wait()
        for key in (f"{key}.lock" for key in range(keys)):
            try:
                storage.create(key, b"%d" % number)
            except ExistsError:
                continue
            assert storage.read(key) == b"%d" % number
            won.append(key)

    threads = [threading.Thread(target=compete, args=(n,)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(won)


def test_of_sixteen_writers_one_wins_each_key_in_memory() -> None:
    assert race(MemoryObjects(), 500) == {f"{key}.lock": 1 for key in range(500)}


@pytest.mark.parametrize("name", ["moto", "ceph"])
def test_of_sixteen_writers_one_wins_each_key(request: pytest.FixtureRequest, name: str) -> None:
    server: Server = request.getfixturevalue(f"{name}_server")
    assert race(server.client(server.bucket()), 40) == {f"{key}.lock": 1 for key in range(40)}


@pytest.mark.long
def test_of_sixteen_writers_one_wins_each_of_500_keys(ceph_server: Server) -> None:
    store = ceph_server.client(ceph_server.bucket())
    assert race(store, 500) == {f"{key}.lock": 1 for key in range(500)}
