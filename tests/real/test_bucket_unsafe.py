"""A store that ignores the condition of a write: refused for several daemons, fine for one each."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from real.buckets import Bucket, bucket_settings, committed
from real.daemons import assert_whole, digests, leftovers, until, write_settings
from s3.proxy import CONDITIONS, Proxy
from s3.servers import KEY, SECRET, Server, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from real.daemons import Daemon, Fleet, Settings

FRAMES = 3
SETTINGS: Settings = {"watch": {"scan_interval": 0.5}, "claims": {"ttl": 3.0}}


@contextmanager
def rclone(folder: Path) -> Iterator[Server]:
    """rclone's own S3 server, where it is installed: it knows no conditions at all."""
    program = shutil.which("rclone")
    if program is None:
        pytest.skip("there is no rclone here")
    port = free_ports(1)
    where = ("--addr", f"127.0.0.1:{port}", "--auth-key", f"{KEY},{SECRET}")
    process = subprocess.Popen(  # noqa: S603 -- found above
        [program, "serve", "s3", *where, "--config", os.devnull, folder],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        until(lambda: b"Starting s3 server" in process.stderr.readline(), "rclone serves")
        yield Server("rclone", f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(params=["moto", "rclone"])
def careless(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that overwrites whatever is there."""
    if request.param == "moto":
        moto: Server = request.getfixturevalue("moto_server")
        with Proxy(moto.endpoint, strip=CONDITIONS) as proxy:
            yield Server("moto", proxy.door("all"))
    else:
        served = tmp_path / "served"
        served.mkdir()
        with rclone(served) as server:
            yield server


def all_done(bucket: Bucket, videos: list[str], daemon: Daemon) -> None:
    def missing() -> list[str]:
        return [key for key in videos if bucket.receipt(key) is None]

    until(lambda: not missing(), lambda: f"all are done: {missing()}\n{daemon.told()}", every=0.3)
    until(lambda: not leftovers(bucket.copy()), "leftovers go", every=0.3)
    copy = bucket.copy()
    for key in videos:
        assert_whole(copy / key, FRAMES)
    assert digests(copy) == bucket.inputs


def test_it_is_refused_and_one_daemon_may_have_it(
    careless: Server, fleet: Fleet, tmp_path: Path
) -> None:
    bucket = Bucket(careless, tmp_path)
    videos = [f"{number}.mp4" for number in range(4)]
    bucket.put_videos(videos, FRAMES)
    settings = bucket_settings(careless.endpoint, tmp_path / "passwd", SETTINGS)
    file = fleet.home.path / "refused.toml"
    write_settings(file, settings, fleet.home.path / "cache")
    done = fleet.home.command("run", bucket.address, "--config", file)
    assert done.returncode == 2
    cannot = f"error: {bucket.address} cannot be shared by several daemons: the server ignores"
    assert f"{cannot} If-None-Match" in done.stderr
    assert "--single-writer" in done.stderr
    assert "--share 1/n" in done.stderr
    assert sorted(bucket.keys()) == videos, "nothing is left of the attempt"
    daemon = fleet.daemon(bucket.address, settings, "--single-writer").start()
    all_done(bucket, videos, daemon)
    # A new version is done, too, over what is there.
    bucket.put_video(videos[0], FRAMES, 9)
    tag = bucket.etags[videos[0]]
    until(lambda: _tag(bucket, videos[0]) == tag, "the new version is done", every=0.3)
    all_done(bucket, videos, daemon)
    assert daemon.stop() == 0


def _tag(bucket: Bucket, key: str) -> str | None:
    receipt = bucket.receipt(key)
    return receipt.input.tag if receipt is not None else None


def test_two_daemons_with_a_share_each_do_everything_once(
    moto_server: Server, fleet: Fleet, tmp_path: Path
) -> None:
    bucket = Bucket(moto_server, tmp_path)
    videos = [f"{number}.mp4" for number in range(16)]
    bucket.put_videos(videos, FRAMES)
    with Proxy(moto_server.endpoint, strip=CONDITIONS) as proxy:
        first, second = (
            fleet.daemon(
                bucket.address,
                bucket_settings(proxy.door(share), tmp_path / "passwd", SETTINGS),
                *("--share", share),
                name=f"share-{share[0]}",
            ).start()
            for share in ("1/2", "2/2")
        )
        all_done(bucket, videos, first)
        for number in range(2):
            bucket.put_video(videos[number], FRAMES, 20 + number)
            tag = bucket.etags[videos[number]]
            until(lambda n=number, tag=tag: _tag(bucket, videos[n]) == tag, "anew", every=0.3)
        all_done(bucket, videos, first)
        claims = [{line["video"] for line in one.said("claimed")} for one in (first, second)]
        for one in (first, second):
            assert one.stop() == 0
    assert claims[0] | claims[1] == set(videos)
    assert claims[0] & claims[1] == set()
    assert all(claims)
    history = committed(proxy.writes)
    assert set(history) == set(videos)
    for versions in history.values():
        assert all(len(nonces) == 1 for nonces in versions.values())
