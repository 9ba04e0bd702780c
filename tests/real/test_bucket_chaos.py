"""Daemons on one bucket behind a proxy that loses, cuts, delays and repeats what passes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import pytest

from posewatch.base.errors import Fault as InputFault
from posewatch.formats import receipt
from posewatch.storage.s3_fence import Fence, is_bare, stamped
from real.buckets import Bucket, bucket_settings, committed, requests_of
from real.daemons import assert_whole, digests, failure_of, is_leftover, leftovers, until
from s3.proxy import Chaos, Fault, Proxy, Write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from real.buckets import History
    from real.daemons import Daemon, Fleet, Settings
    from s3.servers import Server

FRAMES = 3


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of it.

    Attributes:
        videos: good ones.
        bad: files that are no videos.
        anew: videos that are replaced by others after they were done.
        kills: how often one of the daemons is killed.
        hangs: answers that never come: each costs its daemon 20 s, and in real time.
    """

    videos: int
    bad: int
    anew: int
    kills: int
    hangs: float = 0.0


QUICK = Scale(videos=24, bad=2, anew=2, kills=2)
WHOLE = Scale(videos=110, bad=6, anew=8, kills=8, hangs=0.15)

# Nobody is to blame a video for the killings.
SETTINGS: Settings = {
    "claims": {"ttl": 4.0, "max_attempts": 50},
    "watch": {"scan_interval": 1.0},
    "work": {"videos_in_flight": 3, "prefetch": 2},
}


class Play:
    """One bucket, the proxy before it, and its daemons."""

    def __init__(self, server: Server, fleet: Fleet, proxy: Proxy, scratch: Path) -> None:
        self.bucket = Bucket(server, scratch)
        self.proxy = proxy
        self._fleet = fleet
        self._passwd = scratch / "passwd"

    def daemon(self, name: str) -> Daemon:
        """Another one, behind a door of its own."""
        settings = bucket_settings(self.proxy.door(name), self._passwd, SETTINGS)
        return self._fleet.daemon(self.bucket.address, settings, name=name).start()

    def unfinished(self, keys: list[str]) -> list[str]:
        """Those without a receipt for the version that is there; costs no request."""
        done = committed(list(self.proxy.writes))
        etags = self.bucket.etags
        return [k for k in keys if etags[k] not in {tag for tag, _ in done.get(k, {})}]

    def finish(self, keys: list[str], teller: Daemon, seconds: float) -> None:
        """Wait until none is unfinished."""

        def told() -> str:
            return f"all end: {self.unfinished(keys)}\n{teller.told()}"

        until(lambda: not self.unfinished(keys), told, seconds, every=0.2)

    def leftovers(self) -> list[str]:
        """In the bucket, now."""
        return [key for key in self.bucket.keys() if is_leftover(key)]  # noqa: SIM118 -- no mapping

    def pause_at_work(self, daemon: Daemon) -> list[str]:
        """Stop a daemon in the middle of videos; those."""

        def working() -> list[str]:
            return self.unfinished([line["video"] for line in daemon.said("claimed")])

        daemon.says("claimed", seconds=120)
        while True:
            until(working, "it holds a video")
            daemon.pause()
            # What it held may have been done just before it stood; look again.
            if held := working():
                return held
            daemon.go_on()

    def account(self, daemons: list[Daemon]) -> None:
        """Every request, and what became of it, is in the metrics of who sent it."""

        def differ() -> str:
            told = requests_of(daemons)
            return f"too many: {told - sent}, too few: {sent - told}"

        with self.proxy.held():
            sent = self.proxy.counted(*(daemon.name for daemon in daemons))
            assert sent
            until(lambda: requests_of(daemons) == sent, differ, 10, every=0.2)


@pytest.mark.parametrize(
    ("server", "scale", "seed"),
    [
        pytest.param("moto", QUICK, 1, id="moto"),
        pytest.param("ceph", QUICK, 2, id="ceph", marks=pytest.mark.long),
        pytest.param("moto", WHOLE, 3, id="moto-whole", marks=pytest.mark.long),
        pytest.param("ceph", WHOLE, 4, id="ceph-whole", marks=pytest.mark.long),
    ],
)
def test_four_daemons_one_killed_one_paused_and_a_bad_line(
    *,
    server: str,
    scale: Scale,
    seed: int,
    fleet: Fleet,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    backend: Server = request.getfixturevalue(f"{server}_server")
    random = Random(seed)
    plan = Chaos(seed, 0.15, {**Chaos.USUAL, Fault.HANG: scale.hangs})
    with Proxy(backend.endpoint, plan) as proxy:
        play = Play(backend, fleet, proxy, tmp_path)
        bucket = play.bucket
        videos = [f"{'abcd'[number % 4]}/{number:03}.mp4" for number in range(scale.videos)]
        bad = [f"a/bad-{number}.mp4" for number in range(scale.bad)]
        bucket.put_videos(videos, FRAMES)
        for number, key in enumerate(bad):
            bucket.put(key, b"this is no video %d" % number)
        first = dict(bucket.etags)
        killed, paused, *steady = map(play.daemon, ("killed", "paused", "steady", "other"))
        held = play.pause_at_work(paused)
        stood_since = time.monotonic()
        for _ in range(scale.kills):
            time.sleep(random.uniform(0.1, 4.0))  # any moment: also before it has begun
            killed.kill()
            killed.start()
        play.finish(held, steady[0], 120)
        until(lambda: time.monotonic() > stood_since + 6.0, "the lease has been over for long")
        paused.go_on()
        play.finish(videos[: scale.anew], steady[0], 240)
        for number, key in enumerate(videos[: scale.anew]):
            bucket.put_video(key, FRAMES, 500 + number)
        play.finish([*videos, *bad], steady[0], 400)
        paused.says("the claim was lost")
        until(lambda: not play.leftovers(), lambda: f"they go: {play.leftovers()}", 240, every=0.2)
        assert proxy.failures == []
        play.account([paused, *steady])
        for each in fleet.daemons:
            assert each.ready().stop() == 0
    # It was not for nothing.
    assert set(plan.done) >= set(Chaos.USUAL)
    _assert_one_receipt_each(committed(proxy.writes), first, bucket)
    _assert_all_ended(bucket, videos, bad)
    assert not [line for each in fleet.daemons for line in each.log() if "traceback" in line]


def test_history_tells_receipts_of_one_version_apart_from_stamps_over_them() -> None:
    def written(nonce: str, *, tag: str = "1", fence: Fence | None = None) -> Write:
        content = receipt.Receipt(
            outcome="failed",
            input=receipt.InputRecord(name="a.mp4", size=1, tag=tag, sha256=""),
            recipe=receipt.RecipeRecord(name="r", hash="h"),
            attempt=1,
            nonce=nonce,
        )
        data = receipt.encode(content)
        data = stamped(data, fence) if fence is not None else data
        return Write("in/b/a.posewatch.json", data, "")

    stamps = [
        Write("in/b/a.posewatch.json", stamped(None, Fence()), ""),
        Write("in/b/a.npz", b"", ""),
    ]
    once = [written("one"), written("one", fence=Fence("token")), written("two", tag="2")]
    assert committed(stamps) == {}
    assert committed(once) == {"b/a.mp4": {("1", "h"): {"one"}, ("2", "h"): {"two"}}}
    assert committed([*once, written("three")])["b/a.mp4"]["1", "h"] == {"one", "three"}


def _assert_one_receipt_each(history: History, first: Mapping[str, str], bucket: Bucket) -> None:
    """One for each version of an input and recipe, in all that was ever written."""
    assert set(history) == set(bucket.etags)
    for key, versions in history.items():
        assert all(len(nonces) == 1 for nonces in versions.values()), (key, versions)
        assert {tag for tag, _ in versions} == {first[key], bucket.etags[key]}
        assert len({recipe for _, recipe in versions}) == 1


def _assert_all_ended(bucket: Bucket, videos: list[str], bad: list[str]) -> None:
    """No input was changed, each has whole results or one failure, and nothing is left over."""
    copy = bucket.copy()
    assert digests(copy) == bucket.inputs
    for key in videos:
        assert_whole(copy / key, FRAMES)
    for key in bad:
        failure = failure_of(copy / key)
        assert failure is not None
        assert failure.fault is InputFault.NOT_A_VIDEO
    assert leftovers(copy) == []
    assert not [path for path in copy.rglob("*.json") if is_bare(path.read_bytes())]
