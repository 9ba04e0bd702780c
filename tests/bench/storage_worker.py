"""What the benchmark of buckets measures in processes of their own; see `storage.py`.

python storage_worker.py fetch ENDPOINT BUCKET KEY TARGET
python storage_worker.py scan|memory|boto3 ENDPOINT BUCKET
"""

from __future__ import annotations

import gc
import json
import resource
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

TESTS = Path(__file__).parents[1]
sys.path.append(str(TESTS))

from posewatch.base.clock import SystemClock  # noqa: E402 -- after the path
from posewatch.catalog import Catalog, Rules  # noqa: E402 -- after the path
from posewatch.config import WatchSettings  # noqa: E402 -- after the path
from posewatch.formats import names  # noqa: E402 -- after the path
from posewatch.storage.s3 import S3Storage  # noqa: E402 -- after the path
from posewatch.watch.scan import FolderReader  # noqa: E402 -- after the path
from s3.servers import Server  # noqa: E402 -- after the path

if TYPE_CHECKING:
    from posewatch.base.requests import Answer, Request

SUFFIXES = WatchSettings().suffixes


def fetch(server: Server, bucket: str, key: str, target: str) -> dict[str, float]:
    """One object into the local file, by a process that has talked with the server before."""
    storage = S3Storage(server.client(bucket), "", SystemClock(), names.receipt_key)
    entry = storage.stat(key)
    if entry is None or entry.version is None:
        raise SystemExit(f"there is no {key}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun, cpu = time.perf_counter(), time.process_time()
    storage.fetch(key, entry.version, Path(target), lambda _count: None)
    return {
        "seconds": time.perf_counter() - begun,
        "cpu": time.process_time() - cpu,
        "kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before,
    }


class Watcher:
    """What a daemon does with each scan."""

    def __init__(self, server: Server, bucket: str) -> None:
        self.requests = Counter[str]()
        client = server.client(bucket, "", self._count)
        self._clock = SystemClock()
        storage = S3Storage(client, "", self._clock, names.receipt_key)
        self._reader = FolderReader(storage, SUFFIXES, self._clock)
        self._catalog = Catalog(Rules(SUFFIXES, "0123456789abcdef", settle=0.3))
        storage.stat("nothing")  # what is loaded and connected once

    def _count(self, request: Request, _answer: Answer) -> None:
        self.requests[request.value] += 1

    def scan(self) -> int:
        """One; how many objects there were."""
        scan = self._reader.scan()
        self._catalog.scanned(scan.listing, self._clock.monotonic())
        for key, told in scan.receipts.items():
            self._catalog.receipt_read(key, told)
        self._catalog.settle_up({}, self._clock.monotonic())
        return scan.files


def scan(server: Server, bucket: str) -> dict[str, float]:
    """Two scans; the CPU time of the second."""
    watcher = Watcher(server, bucket)
    watcher.scan()
    watcher.requests.clear()
    cpu = time.process_time()
    objects = watcher.scan()
    cpu = time.process_time() - cpu
    return {"cpu": cpu, "objects": objects, **watcher.requests}


def memory(server: Server, bucket: str) -> dict[str, float]:
    """Bytes for each object that are kept between two scans, and needed at the most during one."""
    watcher = Watcher(server, bucket)
    gc.collect()
    tracemalloc.start()
    objects = watcher.scan()
    gc.collect()
    first, _ = tracemalloc.get_traced_memory()
    watcher.scan()
    gc.collect()
    kept, peak = tracemalloc.get_traced_memory()
    return {"first": first / objects, "kept": kept / objects, "peak": peak / objects}


def boto3(server: Server, bucket: str) -> dict[str, float]:
    """The same listing through boto3's paginator; keys, sizes and ETags are kept."""
    from botocore.session import Session  # noqa: PLC0415 -- only here

    place = server.place(bucket)
    if place.credentials is None:
        raise SystemExit("there are no credentials")
    client = Session().create_client(
        "s3",
        endpoint_url=server.endpoint,
        region_name=place.region,
        aws_access_key_id=place.credentials.access_key,
        aws_secret_access_key=place.credentials.secret_key,
    )
    pages = client.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket, PaginationConfig={"MaxItems": 1}):
        del page  # what is loaded and connected once
    gc.collect()
    cpu = time.process_time()
    found = {
        one["Key"]: (one["Size"], one["ETag"])
        for page in pages.paginate(Bucket=bucket)
        for one in page["Contents"]
    }
    return {"cpu": time.process_time() - cpu, "objects": len(found)}


WAYS = {"fetch": fetch, "scan": scan, "memory": memory, "boto3": boto3}


def main() -> None:
    """Do what is asked, and tell the figures as JSON."""
    way, name, endpoint, *arguments = sys.argv[1:]
    json.dump(WAYS[way](Server(name, endpoint), *arguments), sys.stdout)


if __name__ == "__main__":
    main()
