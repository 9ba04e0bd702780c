"""Buckets for real daemons, and what became of them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from posewatch.base.requests import Answer, Request
from posewatch.formats import names, receipt
from s3.servers import KEY, SECRET
from videos import make_video

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from posewatch.formats.receipt import Receipt
    from real.daemons import Daemon, Settings
    from s3.proxy import Write
    from s3.servers import Server

PREFIX = "in/"
"""Of the watched folder, so that a key that is not made of it would be noticed."""


History = dict[str, dict[tuple[str, str], set[str]]]
"""For each video: the nonces of its receipts, by version and recipe."""


class Bucket:
    """A new bucket with a folder in it, in the hands of a user who is no posewatch.

    Args:
        server: where it is.
        scratch: an empty folder for copies.

    Attributes:
        address: of the folder in it.
        inputs: sha256 of each input as it was put, in hex.
        etags: of each input.
    """

    def __init__(self, server: Server, scratch: Path) -> None:
        self.name = server.bucket()
        self.address = f"s3://{self.name}/{PREFIX}".rstrip("/")
        self.inputs: dict[str, str] = {}
        self.etags: dict[str, str] = {}
        self._client = server.client(self.name)
        self._scratch = scratch

    def put(self, key: str, data: bytes) -> None:
        """Write a file into the folder."""
        boto = self._client._client
        answer = boto.put_object(Bucket=self.name, Key=PREFIX + key, Body=data)
        self.etags[key] = answer["ETag"].strip('"')
        self.inputs[key] = hashlib.sha256(data).hexdigest()

    def put_video(self, key: str, frames: int = 3, number: int = 0) -> None:
        """Write a small video into the folder; no two numbers give the same."""
        path = self._scratch / f"made-{os.path.basename(key)}"  # noqa: PTH119 -- it is a key
        self.put(key, make_video(path, frames=frames, size=(96 + 2 * number, 64)).read_bytes())
        path.unlink()

    def put_videos(self, keys: Iterable[str], frames: int) -> None:
        """Write small videos into the folder, no two of which are the same."""
        for number, key in enumerate(keys):
            self.put_video(key, frames, number)

    def get(self, key: str) -> bytes | None:
        """A whole file of the folder; None where there is none."""
        content = self._client.get(PREFIX + key, 1 << 40)
        return content.data if content is not None else None

    def delete(self, key: str) -> None:
        """Remove a file of the folder."""
        self._client.delete(PREFIX + key)

    def keys(self) -> list[str]:
        """Everything in the folder."""
        found, page = [], None
        while True:
            listed = self._client.list(PREFIX, page)
            found += [item.key.removeprefix(PREFIX) for item in listed.objects]
            page = listed.following
            if page is None:
                return found

    def copy(self) -> Path:
        """The folder as it is now, as a local one."""
        folder = self._scratch / "copy"
        shutil.rmtree(folder, ignore_errors=True)
        for key in self.keys():
            data = self.get(key)
            if data is None:  # a lock that is gone by now
                continue
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder

    def receipt(self, key: str) -> Receipt | None:
        """What is recorded of a video, if anything is."""
        data = self.get(names.receipt_key(key))
        found = receipt.decode(data) if data is not None else None
        return found if isinstance(found, receipt.Receipt) else None


def bucket_settings(endpoint: str, passwd: Path, settings: Settings | None = None) -> Settings:
    """Settings with which a daemon reaches a bucket.

    Args:
        endpoint: of the server, or of a door of the proxy.
        passwd: where to keep the keys.
        settings: those that differ.
    """
    passwd.write_text(f"{KEY}:{SECRET}\n")
    passwd.chmod(0o600)
    folder = {"endpoint": endpoint, "region": "us-east-1", "passwd_file": os.fspath(passwd)}
    given = settings or {}
    return {
        "recipe": {"mode": "static"},
        **given,
        "folder": {**folder, **given.get("folder", {})},
    }


def committed(writes: Iterable[Write]) -> History:
    """Every receipt that was ever committed, also those that were overwritten.

    A stamp (`posewatch.storage.s3_fence`) over a receipt repeats the receipt, nonce and all.
    """
    found: History = defaultdict(lambda: defaultdict(set))
    for write in writes:
        if not names.is_receipt(write.key):
            continue
        content = receipt.decode(write.body)
        if isinstance(content, receipt.Receipt):
            video = write.key.removeprefix(PREFIX)
            video = f"{names.split(video)[0]}{content.input.name}"
            found[video][content.input.tag, content.recipe.hash].add(content.nonce)
    return found


SERIES = re.compile(r'posewatch_storage_requests_total\{operation="(\w+)",outcome="(\w+)"\} (\S+)')


def requests_of(daemons: Iterable[Daemon]) -> Counter[tuple[Request, Answer]]:
    """The requests that daemons tell that they have sent."""
    found: Counter[tuple[Request, Answer]] = Counter()
    for daemon in daemons:
        for request, answer, count in SERIES.findall(daemon.get("/metrics")[1]):
            found[Request(request), Answer(answer)] += int(float(count))
    return +found
